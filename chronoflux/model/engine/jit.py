"""Decorators that compile functions to numba kernels. Nothing is compiled before its first call.

Kernels are compiled without fast-math and release the GIL. A division by zero gives infinity or NaN, as in
NumPy, because a check before every division would prevent vectorised loops.

Compiled kernels are cached on disk where a folder for them exists or can be written. The cache only saves
time: without one, or with a damaged one, kernels are compiled in each process, and a warning says how to get
one.

This is the only file that uses private interfaces of numba: ``numba.core``, ``_nrt``, and attributes with an
underscore. ``tests/util/test_private_interfaces.py`` names each of them.
"""

from __future__ import annotations

import functools
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

_ENGINE = Path(__file__).parent
_WITHOUT_KERNELS = {
    *("__init__.py", "choice.py", "plain.py", "store.py", "thread_pool.py"),
    *("picture.py", "point_cloud.py", "static_image.py"),
}
"""Files of the engine and of pictures that no kernel depends on."""


@functools.cache
def _checksum(folder: Path) -> int:
    """Checksum of the sources in a folder that kernels may depend on."""
    files = sorted(path for path in folder.glob("*.py") if path.name not in _WITHOUT_KERNELS)
    return zlib.crc32(b"".join(path.read_bytes() for path in files))


class _ReadOnlyLocator(InTreeCacheLocator):
    """The ``__pycache__`` beside the source, even where it is read-only, as in a container image."""

    def ensure_cache_path(self) -> None:
        """See :meth:`numba.core.caching._CacheLocator.ensure_cache_path`; OSError if it does not exist."""
        path = Path(self.get_cache_path())  # type: ignore[no-untyped-call]
        if not path.is_dir():
            raise FileNotFoundError(path)


class _ReadOnlyImpl(CompileResultCacheImpl):
    _locator_classes = [_ReadOnlyLocator]  # noqa: RUF012 - as numba has it


class _ReadOnlyCache(FunctionCache):
    _impl_class = _ReadOnlyImpl


class KernelCache(NumbaCache):
    """The cache of one kernel: read beside its source, then from numba's folder; written to the latter only.

    No error of the cache ends a computation.

    Parameters
    ----------
    function
        The Python function.
    stamp
        Marks a cached kernel as current; None: the checksum of the file that it is written in.
    """

    problem: str | None = None
    """Why kernels of this process cannot be cached, if they cannot; shared by all kernels."""

    def __init__(self, function: Callable[..., Any], stamp: object = None) -> None:
        self._writable = self._opened(FunctionCache, function, stamp)
        beside = self._opened(_ReadOnlyCache, function, stamp)
        same = beside and self._writable and beside.cache_path == self._writable.cache_path
        self._readable = [cache for cache in (None if same else beside, self._writable) if cache]

    @staticmethod
    def _opened(kind: type[Any], function: Callable[..., Any], stamp: object) -> Any:
        try:
            cache = kind(function)
        except (RuntimeError, OSError):  # no usable folder
            return None
        if stamp is not None:
            cache._cache_file._source_stamp = stamp
        return cache

    @property
    def cache_path(self) -> str | None:
        """The folder where kernels are written; None: there is none."""
        return None if self._writable is None else cast(str, self._writable.cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for these types, or None if it has to be compiled."""
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
        """Cache a compiled kernel, if possible."""
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
        """Delete the cached kernels."""
        self._attempt(None if self._writable is None else self._writable.flush)


def cache_on_disk(compiled: Any, stamp: object = None) -> Any:
    """Cache a compiled function on disk, by :class:`KernelCache`; return it."""
    if hasattr(compiled, "py_func"):  # absent with NUMBA_DISABLE_JIT
        compiled._cache = KernelCache(compiled.py_func, stamp)
    return compiled


def _compiled(function: Any, *, _nrt: bool = True, **options: Any) -> Any:
    return cast(Any, njit)(nogil=True, error_model="numpy", _nrt=_nrt, **options)(function)


def cached_kernel(function: F) -> F:
    """A kernel to call from Python, cached on disk.

    numba's cache notices changes of the file that a kernel is written in, but not of kernels in other files
    that it calls. So checksums of the engine and of the kernel's own folder mark a cached kernel as current.
    """
    folder = Path(function.__code__.co_filename).parent
    return cast(F, cache_on_disk(_compiled(function), (_checksum(_ENGINE), _checksum(folder))))


def device_function(function: F) -> F:
    """A kernel that only kernels call, and that neither makes nor returns arrays; cached with its callers.

    So it does not count references to its arguments. That would take hundreds of atomic instructions per
    tick, on words that all threads write.
    """
    return cast(F, _compiled(function, _nrt=False))


def inlined(function: F) -> F:
    """A device function that is copied into its caller: for short ones with many arguments."""
    return cast(F, _compiled(function, _nrt=False, forceinline=True))


def allocating(function: F) -> F:
    """A device function that makes arrays. Another one may call it if it returns none of them."""
    return cast(F, _compiled(function))
