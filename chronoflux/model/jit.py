"""The decorators that make numba kernels of functions. Nothing is compiled before its first call.

Kernels are serial, without fast-math, and let go of the GIL. numba's cache on disk notices a change of
the file a kernel is written in, but not of the functions it calls in other files: hence `kernel` and `part`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """A kernel cached on disk: for functions that call kernels of their own file only."""
    return cast(F, njit(cache=True, nogil=True)(function))


def part(function: F) -> F:
    """A kernel that may call kernels of other files: not cached, to be called by other kernels."""
    return cast(F, njit(nogil=True)(function))


def inlined(function: F) -> F:
    """Code of its callers, spared the reference counting that passing arrays costs; of one file with them."""
    return cast(F, njit(inline="always")(function))
