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


def _compiled(function: Any, *, _nrt: bool = True, **options: Any) -> Any:
    return cast(Any, njit)(nogil=True, error_model="numpy", _nrt=_nrt, **options)(function)


def kernel(function: F) -> F:
    """A kernel to be called from Python, cached on disk.

    numba's cache on disk notices a change of the file a kernel is written in, but not of kernels of other
    files that it calls. So what marks a cached kernel as current is a checksum of all sources of this room.
    """
    compiled = _compiled(function, cache=True)
    if compiled is not function:  # as it is when numba is told not to compile
        compiled._cache._cache_file._source_stamp = _SOURCES
    return cast(F, compiled)


def part(function: F) -> F:
    """A kernel to be called by kernels only, and cached with them, that makes no arrays and returns none.

    So it need not count who uses those it is given. Counting takes indivisible instructions, hundreds a tick,
    on words that all threads write.
    """
    return cast(F, _compiled(function, _nrt=False))


def inner(function: F) -> F:
    """A part that is copied into whoever calls it: for short ones with much to be handed over."""
    return cast(F, _compiled(function, _nrt=False, forceinline=True))


def maker(function: F) -> F:
    """The same for one that does make arrays. A part may call it if it returns none of them."""
    return cast(F, _compiled(function))
