"""The decorators that make numba kernels of functions. Nothing is compiled before its first call.

Kernels are without fast-math and let go of the GIL; a division by zero gives infinity or NaN, as in NumPy,
because a check before every division would keep loops from being vectorised.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_SOURCES = zlib.crc32(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py"))))


def kernel(function: F) -> F:
    """A kernel to be called from Python, cached on disk.

    numba's cache on disk notices a change of the file a kernel is written in, but not of kernels of other
    files that it calls. So what marks a cached kernel as current is a checksum of all sources of this room.
    """
    compiled: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    if compiled is not function:  # as it is when numba is told not to compile
        compiled._cache._cache_file._source_stamp = _SOURCES
    return cast(F, compiled)


def part(function: F) -> F:
    """A kernel to be called by kernels only, and cached with them."""
    return cast(F, njit(nogil=True, error_model="numpy")(function))
