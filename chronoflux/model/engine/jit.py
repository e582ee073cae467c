"""The decorators that make numba kernels of functions. Nothing is compiled before its first call.

Kernels are without fast-math and let go of the GIL; a division by zero gives infinity or NaN, as in NumPy,
because a check before every division would keep loops from being vectorised.

Compiled kernels are cached on disk where a folder for them can be written or is there already. The cache only
saves time: without one, or with a damaged one, kernels are compiled in each process, and a warning says how
to get one.

This is the only file that uses what numba keeps to itself: ``numba.core``, ``_nrt``, and attributes with an
underscore. ``tests/util/test_private_interfaces.py`` names each of them.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator
from numba.core.caching import _Cache as NumbaCache
from numba.core.cgutils import get_or_insert_function as get_or_insert_function
from numba.core.datamodel.models import PrimitiveModel as PrimitiveModel

F = TypeVar("F", bound=Callable[..., Any])

logger: logging.Logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[2]
_PLAIN = {"plain.py", "choice.py", "picture.py", "static_image.py", "point_cloud.py"}  # no kernel uses them
_FILES = sorted(
    path
    for path in [*_PACKAGE.glob("model/**/*.py"), *_PACKAGE.glob("render/*.py")]
    if path.name not in _PLAIN
)
_SOURCES = zlib.crc32(b"".join(path.read_bytes() for path in _FILES))


class _ReadOnlyLocator(InTreeCacheLocator):
    """The ``__pycache__`` beside the source, also where it may only be read, as in a finished image."""

    def ensure_cache_path(self) -> None:
        """See :meth:`numba.core.caching._CacheLocator.ensure_cache_path`; OSError when it is not there."""
        path = Path(self.get_cache_path())  # type: ignore[no-untyped-call]
        if not path.is_dir():
            raise FileNotFoundError(path)


class _ReadOnlyImpl(CompileResultCacheImpl):
    _locator_classes = [_ReadOnlyLocator]  # noqa: RUF012 - as numba has it


class _ReadOnlyCache(FunctionCache):
    _impl_class = _ReadOnlyImpl


class KernelCache(NumbaCache):
    """The cache of one kernel: read beside its source, then where numba may write; written there only.

    Nothing that happens to the cache ends a computation.

    Parameters
    ----------
    function
        The Python function.
    stamp
        What marks a cached kernel as current; None: the checksum of the file that it is written in.
    """

    problem: str | None = None
    """Why kernels of this process are not kept, if something went wrong; shared by all kernels."""

    def __init__(self, function: Callable[..., Any], stamp: object = None) -> None:
        self._writable = self._opened(FunctionCache, function, stamp)
        beside = self._opened(_ReadOnlyCache, function, stamp)
        same = beside and self._writable and beside.cache_path == self._writable.cache_path
        self._readable = [cache for cache in (None if same else beside, self._writable) if cache]

    @staticmethod
    def _opened(kind: type[Any], function: Callable[..., Any], stamp: object) -> Any:
        try:
            cache = kind(function)
        except (RuntimeError, OSError):  # no folder that can be used
            return None
        if stamp is not None:
            cache._cache_file._source_stamp = stamp
        return cache

    @property
    def cache_path(self) -> str | None:
        """Where kernels are written; None: nowhere."""
        return None if self._writable is None else cast(str, self._writable.cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for these types, or None where it has to be compiled."""
        for cache in self._readable:
            try:
                found = cache.load_overload(sig, target_context)
            except Exception as error:  # noqa: BLE001 - a damaged file may raise anything when it is unpickled
                logger.info("%s: a damaged cache of kernels is written anew (%r)", cache.cache_path, error)
                self._attempt(cache.flush if cache is self._writable else None)
                continue
            if found is not None:
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel, if that is possible."""
        if self._writable is None:
            self._complain("no folder for them can be written")
        else:
            self._attempt(lambda: self._writable.save_overload(sig, data))

    def _attempt(self, step: Callable[[], object] | None) -> None:
        try:
            if step is not None:
                step()
        except Exception as error:  # noqa: BLE001 - a full disk, a folder taken away, a damaged index
            self._complain(f"{self.cache_path}: {error}")

    @staticmethod
    def _complain(why: str) -> None:
        if KernelCache.problem is None:
            KernelCache.problem = why
            logger.warning(
                "compiled kernels cannot be kept (%s): each process compiles its own, for up to a minute; "
                "set NUMBA_CACHE_DIR to a folder that can be written",
                why,
            )

    def enable(self) -> None:
        """See :meth:`numba.core.caching._Cache.enable`."""
        for cache in self._readable:
            cache.enable()

    def disable(self) -> None:
        """See :meth:`numba.core.caching._Cache.disable`."""
        for cache in self._readable:
            cache.disable()

    def flush(self) -> None:
        """Forget what was kept."""
        self._attempt(None if self._writable is None else self._writable.flush)


def cached(compiled: Any, stamp: object = None) -> Any:
    """Have a compiled function cached on disk, as :class:`KernelCache` does; returns it."""
    if hasattr(compiled, "py_func"):  # not when numba is told not to compile
        compiled._cache = KernelCache(compiled.py_func, stamp)
    return compiled


def _compiled(function: Any, *, _nrt: bool = True, **options: Any) -> Any:
    return cast(Any, njit)(nogil=True, error_model="numpy", _nrt=_nrt, **options)(function)


def cached_kernel(function: F) -> F:
    """A kernel to be called from Python, cached on disk.

    numba's cache on disk notices a change of the file a kernel is written in, but not of kernels of other
    files that it calls. So what marks a cached kernel as current is a checksum of all sources of the model.
    """
    return cast(F, cached(_compiled(function), _SOURCES))


def device_function(function: F) -> F:
    """A kernel to be called by kernels only, and cached with them, that makes no arrays and returns none.

    So it need not count who uses those it is given. Counting takes indivisible instructions, hundreds a tick,
    on words that all threads write.
    """
    return cast(F, _compiled(function, _nrt=False))


def inlined(function: F) -> F:
    """A part that is copied into whoever calls it: for short ones with much to be handed over."""
    return cast(F, _compiled(function, _nrt=False, forceinline=True))


def allocating(function: F) -> F:
    """The same for one that does make arrays. A part may call it if it returns none of them."""
    return cast(F, _compiled(function))
