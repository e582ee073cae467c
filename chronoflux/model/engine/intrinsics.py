"""Operations that become single LLVM instructions: eight lanes at once, fused multiply-add, atomic words.

The functions that kernels call lie where they belong (:mod:`~chronoflux.model.engine.simd`,
:mod:`~chronoflux.model.engine.math_functions`, :mod:`~chronoflux.model.engine.barrier`), each with the same
in Python. Here is only how numba compiles them. This is the only file that imports llvmlite.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any, TypeAlias

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, register_model

from chronoflux.model.engine.jit import PrimitiveModel, get_or_insert_function

LANES = 8
"""Numbers in a vector."""
ROUNDER = 1.5 * 2.0**52
"""Added to a float64 below 2**51, it leaves the nearest integer in the lowest bits."""
SINGLE_ROUNDER = 1.5 * 2.0**23
"""The same for a float32 below 2**22."""

Instruction: TypeAlias = Callable[..., Any]
"""A function of numba's instruction builder and LLVM values that returns an LLVM value."""

_DOUBLE, _INT64, _BITS = ir.DoubleType(), ir.IntType(64), ir.IntType(LANES)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_ALIGNMENT = 8
_WORD_SIZE = 8


def _has_fma() -> bool:
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM cannot tell on every system
        features = {}
    return bool(features.get("fma", platform.machine() not in ("x86_64", "AMD64")))


HAS_FMA = _has_fma()
"""Whether this processor multiplies and adds in one instruction, rounded once."""


# -- numbers ----------------------------------------------------------------------------------------------


@intrinsic
def fused_multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a·b + c``, rounded once where the processor can; of three float32, a float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args) if HAS_FMA else builder.fadd(builder.fmul(args[0], args[1]), args[2])

    kind = types.float32 if a == b == c == types.float32 else types.float64
    return kind(kind, kind, kind), generate


@intrinsic
def power_of_two(typing: Any, n: Any) -> Any:
    """``2ⁿ`` for an integer given as a float64 or float32, by writing the exponent's bits."""
    single = n == types.float32
    word, rounder = ir.IntType(32 if single else 64), SINGLE_ROUNDER if single else ROUNDER
    bias, mantissa = (127, 23) if single else (1023, 52)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shifted = builder.bitcast(builder.fadd(args[0], args[0].type(rounder)), word)
        exponent = builder.shl(builder.add(shifted, word(bias)), word(mantissa))
        return builder.bitcast(exponent, args[0].type)

    kind = types.float32 if single else types.float64
    return kind(kind), generate


# -- words that several threads use -----------------------------------------------------------------------


@intrinsic
def atomic_add_word(typing: Any, words: Any, place: Any, more: Any) -> Any:
    """Add to one int64 of an array in one indivisible step; return its value before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = builder.gep(array.data, [args[1]])
        return builder.atomic_rmw("add", word, args[2], "seq_cst")

    return types.int64(words, types.intp, types.int64), generate


@intrinsic
def atomic_load_word(typing: Any, words: Any, place: Any) -> Any:
    """Load one int64 of an array, and see everything that was written before it was stored."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = builder.gep(array.data, [args[1]])
        return builder.load_atomic(word, "acquire", _WORD_SIZE, typ=_INT64)

    return types.int64(words, types.intp), generate


@intrinsic
def yield_processor(typing: Any) -> Any:
    """Let another thread run on this processor."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "SwitchToThread" if os.name == "nt" else "sched_yield"
        kind = ir.FunctionType(ir.IntType(32), ())
        function = get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        builder.call(function, ())
        return context.get_dummy_value()

    return types.void(), generate


# -- vectors of eight float64 -----------------------------------------------------------------------------


class _Float64x8Type(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Float64x8")


FLOAT64X8 = _Float64x8Type()
"""The numba type of a vector."""


@register_model(_Float64x8Type)
class _Float64x8Model(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _vector(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """A vector as it is; a scalar copied to all lanes."""
    if kind == FLOAT64X8:
        return value
    number = context.cast(builder, value, kind, types.float64)
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), lanes)


@intrinsic
def vector_load(typing: Any, array: Any, row: Any) -> Any:
    """The numbers in a row of LANES of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        return builder.load(place, align=_ALIGNMENT, typ=_VECTOR)

    return FLOAT64X8(array, types.intp), generate


@intrinsic
def vector_store(typing: Any, array: Any, row: Any, numbers: Any) -> Any:
    """Write a vector into a row of LANES of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.gep(data, [builder.mul(args[1], args[1].type(LANES))])
        builder.store(args[2], builder.bitcast(place, ir.PointerType(_VECTOR)), align=_ALIGNMENT)
        return context.get_dummy_value()

    return types.void(array, types.intp, numbers), generate


@intrinsic
def vector_splat(typing: Any, number: Any) -> Any:
    """A vector with the same number in all lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _vector(context, builder, args[0], signature.args[0])

    return FLOAT64X8(number), generate


def lanewise(instruction: Instruction, operands: int, *, condition: bool = False) -> Any:
    """An intrinsic that applies an instruction to 1, 2 or 4 vectors or scalars.

    With `condition` its result is a bool, else a vector.
    """
    result: Any = types.boolean if condition else FLOAT64X8

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

    return {1: one, 2: two, 4: four}[operands]


def vector_function(name: str) -> Instruction:
    """The instruction of an LLVM function of one vector: sqrt, floor or fabs."""

    def call(builder: Any, a: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")  # type: ignore[no-untyped-call]
        return builder.call(function, [a])

    return call


def selection(sign: str) -> Instruction:
    """The instruction that keeps ``a`` in the lanes where ``a sign b``, and ``b`` elsewhere."""
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(sign, a, b), a, b)


def select_where_less(builder: Any, a: Any, b: Any, less: Any, otherwise: Any) -> Any:
    """`less` in the lanes where a < b, `otherwise` elsewhere."""
    return builder.select(builder.fcmp_ordered("<", a, b), less, otherwise)


def less_in_any_lane(builder: Any, a: Any, b: Any) -> Any:
    """Whether a < b in any lane."""
    return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_ordered("<", a, b), _BITS), _BITS(0))
