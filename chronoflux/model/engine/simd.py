"""Eight numbers computed with at once, in the lanes of the processor's vector registers.

A compiler makes vectors of a loop where it can prove that nothing written is read again. Where it cannot, as
with numbers gathered from here and there, kernels say it themselves: an ``Eight`` is added, subtracted,
multiplied and divided lane by lane, with another or with one number for all. Rounding is that of one number
alone. Without the compiler an ``Eight`` is a NumPy array.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

from chronoflux.model.engine.arrays import Floats

LANES = 8
Eight = Floats
"""In signatures: float64 (LANES,)."""


def take(array: Floats, row: int) -> Eight:
    """The numbers in that row of LANES of the flat `array`."""
    return array[LANES * row : LANES * (row + 1)].copy()


def put(array: Floats, row: int, numbers: Eight) -> None:
    """Write `numbers` into that row of the flat `array`."""
    array[LANES * row : LANES * (row + 1)] = numbers


def all_of(number: float) -> Eight:
    """The same number in all lanes."""
    return np.full(LANES, number)


def least(a: Eight, b: Eight | float) -> Eight:
    """The lesser in each lane."""
    return np.where(a < b, a, b)


def greatest(a: Eight, b: Eight | float) -> Eight:
    """The greater in each lane."""
    return np.where(a > b, a, b)


def pick(a: Eight | float, b: Eight | float, less: Eight | float, otherwise: Eight | float) -> Eight:
    """In each lane `less` where a < b, `otherwise` elsewhere."""
    return np.where(a < b, less, otherwise)


def some(a: Eight, b: Eight | float) -> bool:
    """Whether a < b in any lane."""
    return bool(np.any(a < b))


def root(a: Eight) -> Eight:
    """Square roots."""
    return np.sqrt(a)


def floor(a: Eight) -> Eight:
    """The next whole numbers below."""
    return np.floor(a)


def size(a: Eight) -> Eight:
    """Absolute values."""
    return np.abs(a)


_DOUBLE, _BITS = ir.DoubleType(), ir.IntType(LANES)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_ALIGNED = 8


class _EightType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Eight")


_EIGHT = _EightType()


@register_model(_EightType)
class _EightModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _vector(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """An Eight as it is, one number in all lanes."""
    if kind == _EIGHT:
        return value
    number = context.cast(builder, value, kind, types.float64)
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), lanes)


def _compiled(function: Callable[..., Any], instruction: Callable[..., Any], result: Any = _EIGHT) -> None:
    """Compile a function of Eights, and numbers for all lanes, to an instruction."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(args, signature.args, strict=True)
        return instruction(builder, *(_vector(context, builder, value, kind) for value, kind in pairs))

    @intrinsic
    def one(typing: Any, a: Any) -> Any:
        return result(a), generate

    @intrinsic
    def two(typing: Any, a: Any, b: Any) -> Any:
        return result(a, b), generate

    @intrinsic
    def four(typing: Any, a: Any, b: Any, less: Any, otherwise: Any) -> Any:
        return result(a, b, less, otherwise), generate

    def of_one(a):  # type: ignore[no-untyped-def]
        return (lambda a: one(a)) if a == _EIGHT else None  # type: ignore[call-arg]

    def of_two(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: two(a, b)) if _EIGHT in (a, b) else None  # type: ignore[call-arg]

    def of_four(a, b, less, otherwise):  # type: ignore[no-untyped-def]
        return lambda a, b, less, otherwise: four(a, b, less, otherwise)  # type: ignore[call-arg]

    choices: dict[int, Any] = {1: of_one, 2: of_two, 4: of_four}
    overload(function)(choices[len(inspect.signature(function).parameters)])


def _selection(sign: str) -> Callable[..., Any]:
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(sign, a, b), a, b)


def _called(name: str) -> Callable[..., Any]:
    def call(builder: Any, a: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")  # type: ignore[no-untyped-call]
        return builder.call(function, [a])

    return call


def _any_less(builder: Any, a: Any, b: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_ordered("<", a, b), _BITS), _BITS(0))


def _pick(builder: Any, a: Any, b: Any, less: Any, otherwise: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), less, otherwise)


_compiled(operator.add, lambda builder, a, b: builder.fadd(a, b))
_compiled(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_compiled(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_compiled(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_compiled(least, _selection("<"))
_compiled(greatest, _selection(">"))
_compiled(pick, _pick)
_compiled(some, _any_less, types.boolean)
_compiled(root, _called("sqrt"))
_compiled(floor, _called("floor"))
_compiled(size, _called("fabs"))


@intrinsic
def _take(typing: Any, array: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        return builder.load(place, align=_ALIGNED, typ=_VECTOR)

    return _EIGHT(array, types.intp), generate


@intrinsic
def _put(typing: Any, array: Any, row: Any, numbers: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        builder.store(args[2], builder.bitcast(place, ir.PointerType(_VECTOR)), align=_ALIGNED)
        return context.get_dummy_value()

    return types.void(array, types.intp, numbers), generate


@intrinsic
def _all_of(typing: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _vector(context, builder, args[0], signature.args[0])

    return _EIGHT(number), generate


@overload(take)
def _take_compiled(array, row):  # type: ignore[no-untyped-def]
    return lambda array, row: _take(array, row)  # type: ignore[call-arg]


@overload(put)
def _put_compiled(array, row, numbers):  # type: ignore[no-untyped-def]
    return lambda array, row, numbers: _put(array, row, numbers)  # type: ignore[call-arg]


@overload(all_of)
def _all_of_compiled(number):  # type: ignore[no-untyped-def]
    return lambda number: _all_of(number)  # type: ignore[call-arg]
