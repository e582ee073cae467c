"""Eight numbers computed with at once, in the lanes of the processor's vector registers.

A compiler makes vectors of a loop where it can prove that nothing written is read again. Where it cannot, as
with numbers gathered from scattered places, kernels say it themselves: a ``Float64x8`` is added, subtracted,
multiplied and divided lane by lane, with another or with one number for all lanes. Rounding is that of scalar
float64. Without the compiler a ``Float64x8`` is a NumPy array.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload, register_model

from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.jit import PrimitiveModel, get_or_insert_function

LANES = 8
Float64x8 = Floats
"""In signatures: float64 (LANES,)."""


def load(array: Floats, row: int) -> Float64x8:
    """The numbers in that row of LANES of the flat `array`."""
    return array[LANES * row : LANES * (row + 1)].copy()


def store(array: Floats, row: int, numbers: Float64x8) -> None:
    """Write `numbers` into that row of the flat `array`."""
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
    """In each lane `less` where a < b, `otherwise` elsewhere."""
    return np.where(a < b, less, otherwise)


def any_less(a: Float64x8, b: Float64x8 | float) -> bool:
    """Whether a < b in any lane."""
    return bool(np.any(a < b))


def sqrt(a: Float64x8) -> Float64x8:
    """Square roots."""
    return np.sqrt(a)


def floor(a: Float64x8) -> Float64x8:
    """The next whole numbers below."""
    return np.floor(a)


def absolute(a: Float64x8) -> Float64x8:
    """Absolute values."""
    return np.abs(a)


_DOUBLE, _BITS = ir.DoubleType(), ir.IntType(LANES)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_ALIGNED = 8


class _Float64x8Type(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Float64x8")


_FLOAT64X8 = _Float64x8Type()


@register_model(_Float64x8Type)
class _Float64x8Model(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _vector(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """A Float64x8 as it is, one number in all lanes."""
    if kind == _FLOAT64X8:
        return value
    number = context.cast(builder, value, kind, types.float64)
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), lanes)


def _compiled(
    function: Callable[..., Any], instruction: Callable[..., Any], result: Any = _FLOAT64X8
) -> None:
    """Compile a function of Float64x8, and numbers for all lanes, to an instruction."""

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
        return (lambda a: one(a)) if a == _FLOAT64X8 else None  # type: ignore[call-arg]

    def of_two(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: two(a, b)) if _FLOAT64X8 in (a, b) else None  # type: ignore[call-arg]

    def of_four(a, b, less, otherwise):  # type: ignore[no-untyped-def]
        return lambda a, b, less, otherwise: four(a, b, less, otherwise)  # type: ignore[call-arg]

    choices: dict[int, Any] = {1: of_one, 2: of_two, 4: of_four}
    overload(function)(choices[len(inspect.signature(function).parameters)])


def _selection(sign: str) -> Callable[..., Any]:
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(sign, a, b), a, b)


def _called(name: str) -> Callable[..., Any]:
    def call(builder: Any, a: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")  # type: ignore[no-untyped-call]
        return builder.call(function, [a])

    return call


def _any_less(builder: Any, a: Any, b: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_ordered("<", a, b), _BITS), _BITS(0))


def _select(builder: Any, a: Any, b: Any, less: Any, otherwise: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), less, otherwise)


_compiled(operator.add, lambda builder, a, b: builder.fadd(a, b))
_compiled(operator.sub, lambda builder, a, b: builder.fsub(a, b))
_compiled(operator.mul, lambda builder, a, b: builder.fmul(a, b))
_compiled(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
_compiled(minimum, _selection("<"))
_compiled(maximum, _selection(">"))
_compiled(select, _select)
_compiled(any_less, _any_less, types.boolean)
_compiled(sqrt, _called("sqrt"))
_compiled(floor, _called("floor"))
_compiled(absolute, _called("fabs"))


@intrinsic
def _load(typing: Any, array: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        return builder.load(place, align=_ALIGNED, typ=_VECTOR)

    return _FLOAT64X8(array, types.intp), generate


@intrinsic
def _store(typing: Any, array: Any, row: Any, numbers: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        builder.store(args[2], builder.bitcast(place, ir.PointerType(_VECTOR)), align=_ALIGNED)
        return context.get_dummy_value()

    return types.void(array, types.intp, numbers), generate


@intrinsic
def _splat(typing: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _vector(context, builder, args[0], signature.args[0])

    return _FLOAT64X8(number), generate


@overload(load)
def _load_compiled(array, row):  # type: ignore[no-untyped-def]
    return lambda array, row: _load(array, row)  # type: ignore[call-arg]


@overload(store)
def _store_compiled(array, row, numbers):  # type: ignore[no-untyped-def]
    return lambda array, row, numbers: _store(array, row, numbers)  # type: ignore[call-arg]


@overload(splat)
def _splat_compiled(number):  # type: ignore[no-untyped-def]
    return lambda number: _splat(number)  # type: ignore[call-arg]
