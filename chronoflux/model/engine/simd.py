"""Eight float64 at once, in the lanes of the processor's vector registers.

A compiler vectorises a loop where it can prove that no written value is read again. Where it cannot, for
example for numbers gathered from scattered places, kernels say so themselves: a ``Float64x8`` is added,
subtracted, multiplied and divided lane by lane, with another one or with a scalar. It rounds as scalar
float64 does. Without the compiler a ``Float64x8`` is a NumPy array.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.intrinsics import (
    FLOAT64X8,
    Instruction,
    lanewise,
    less_in_any_lane,
    select_where_less,
    selection,
    vector_function,
    vector_load,
    vector_splat,
    vector_store,
)
from chronoflux.model.engine.intrinsics import LANES as LANES

Float64x8 = Floats
"""In signatures: float64 (LANES,)."""


def load(array: Floats, row: int) -> Float64x8:
    """The numbers in a row of LANES of the flat `array`."""
    return array[LANES * row : LANES * (row + 1)].copy()


def store(array: Floats, row: int, numbers: Float64x8) -> None:
    """Write `numbers` into a row of LANES of the flat `array`."""
    array[LANES * row : LANES * (row + 1)] = numbers


def splat(number: float) -> Float64x8:
    """The same number in all lanes."""
    return np.full(LANES, number)


def minimum(a: Float64x8, b: Float64x8 | float) -> Float64x8:
    """The lesser in each lane."""
    return np.where(a < b, a, b)


def maximum(a: Float64x8, b: Float64x8 | float) -> Float64x8:
    """The greater in each lane."""
    return np.where(a > b, a, b)


def select(
    a: Float64x8 | float, b: Float64x8 | float, less: Float64x8 | float, otherwise: Float64x8 | float
) -> Float64x8:
    """`less` in the lanes where a < b, `otherwise` elsewhere."""
    return np.where(a < b, less, otherwise)


def any_less(a: Float64x8, b: Float64x8 | float) -> bool:
    """Whether a < b in any lane."""
    return bool(np.any(a < b))


def sqrt(a: Float64x8) -> Float64x8:
    """Square roots."""
    return np.sqrt(a)


def floor(a: Float64x8) -> Float64x8:
    """The largest integers that are not greater."""
    return np.floor(a)


def absolute(a: Float64x8) -> Float64x8:
    """Absolute values."""
    return np.abs(a)


def _compiled(function: Callable[..., Any], instruction: Instruction, *, condition: bool = False) -> None:
    """Compile a function of vectors, and of scalars for all lanes, to an instruction."""
    operands = len(inspect.signature(function).parameters)
    call = lanewise(instruction, operands, condition=condition)

    def of_one(a):  # type: ignore[no-untyped-def]
        return (lambda a: call(a)) if a == FLOAT64X8 else None

    def of_two(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: call(a, b)) if FLOAT64X8 in (a, b) else None

    def of_four(a, b, less, otherwise):  # type: ignore[no-untyped-def]
        return lambda a, b, less, otherwise: call(a, b, less, otherwise)

    choices: dict[int, Any] = {1: of_one, 2: of_two, 4: of_four}
    overload(function)(choices[operands])


_compiled(operator.add, lambda builder, a, b: builder.fadd(a, b))
_compiled(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_compiled(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_compiled(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_compiled(minimum, selection("<"))
_compiled(maximum, selection(">"))
_compiled(select, select_where_less)
_compiled(any_less, less_in_any_lane, condition=True)
_compiled(sqrt, vector_function("sqrt"))
_compiled(floor, vector_function("floor"))
_compiled(absolute, vector_function("fabs"))


@overload(load)
def _load_compiled(array, row):  # type: ignore[no-untyped-def]
    return lambda array, row: vector_load(array, row)  # type: ignore[call-arg]


@overload(store)
def _store_compiled(array, row, numbers):  # type: ignore[no-untyped-def]
    return lambda array, row, numbers: vector_store(array, row, numbers)  # type: ignore[call-arg]


@overload(splat)
def _splat_compiled(number):  # type: ignore[no-untyped-def]
    return lambda number: vector_splat(number)  # type: ignore[call-arg]
