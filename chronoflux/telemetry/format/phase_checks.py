"""Integrity checks of a phase store: each chunk has a crc32c, and so does the group's metadata.

Each chunk file is checked by itself: its bytes against its checksum, and its values against their range.
Damaged chunks are read as missing; all others are read normally.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from chronoflux.errors import ChronofluxError, LogError
from chronoflux.model.params import Params
from chronoflux.telemetry.format.layout import check_regular, open_regular

SUM = "crc32c"
"""Codec name of chunk checksums, and name of the attribute that holds the metadata's checksum."""
_SUM_BYTES = 4
_ROUNDED = 1 + 1e-6  # float32 may round up past the end of a range


def checksum(group: dict[str, Any]) -> str:
    """Return the checksum of a group's metadata, which covers everything except the checksum itself."""
    rest = group | {"attributes": {k: v for k, v in group.get("attributes", {}).items() if k != SUM}}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return f"{google_crc32c.value(text.encode()):08x}"


def is_protected(group: dict[str, Any]) -> bool:
    """Return whether a store has checksums. Stores that an older ChronoFlux recorded have none."""
    return SUM in group.get("attributes", {}) or any(
        codec.get("name") == SUM for meta in _arrays(group).values() for codec in meta["codecs"]
    )


def _arrays(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (group.get("consolidated_metadata") or {}).get("metadata") or {}
    return found


class Chunked(NamedTuple):
    """An array of a store: shape, chunk grid, codecs and the largest value allowed."""

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    codecs: list[str]
    most: float

    def keys(self) -> Iterator[tuple[int, ...]]:
        """Return the grid indices of all chunks."""
        counts = (math.ceil(size / chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))
        return itertools.product(*map(range, counts))

    def rows(self, place: tuple[int, ...]) -> tuple[int, int]:
        """Return the valid rows of a chunk: first row, and the row after the last."""
        first = place[0] * self.chunks[0]
        return first, min(first + self.chunks[0], self.shape[0])

    def fault(self, place: tuple[int, ...], content: bytes | None) -> str | None:
        """Return what is wrong with a chunk of this content; None when nothing is."""
        first, end = self.rows(place)
        if end <= first:
            return None
        if content is None:
            # Older stores do not write chunks of whole numbers that are all 0.
            why = "is missing" if SUM in self.codecs or self.dtype.kind == "f" else None
        else:
            why = self._damage(content, end - first)
        return why and f"{self.name} {why} in rows {first} to {end - 1}"

    def _damage(self, content: bytes, rows: int) -> str | None:
        if SUM in self.codecs:
            content, told = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
            if google_crc32c.value(content) != int.from_bytes(told, "little"):
                return "is damaged: its checksum does not match"
        try:
            values = self._values(content)
        except (ValueError, RuntimeError, OverflowError, MemoryError) as error:
            return f"is damaged ({error})"
        return None if values is None else self._out_of_range(values[:rows])

    def _values(self, content: bytes) -> NDArray[Any] | None:
        """Return the decoded values; None when the array uses codecs that ChronoFlux does not write."""
        if not {"bytes", "zstd", SUM}.issuperset(self.codecs):
            return None
        raw = Zstd().decode(content) if "zstd" in self.codecs else content
        return np.frombuffer(raw, self.dtype).reshape(self.chunks)

    def _out_of_range(self, values: NDArray[Any]) -> str | None:
        counted = values[:, : self.shape[1]] if values.ndim == 2 else values
        if self.name == "tick" and (counted < 0).any() | (np.diff(counted) <= 0).any():
            return "is damaged: its values do not increase"
        if self.dtype.kind == "f" and not np.isfinite(counted).all():
            return "is damaged: its values are not finite"
        low, high = (counted.min(), counted.max()) if counted.size else (0, 0)
        if low < 0 and self.name not in ("vx", "vy"):
            return f"is damaged: {low:g} is below 0"
        return f"is damaged: {high:g} is above {self.most:g}" if high > self.most * _ROUNDED else None


def arrays_of(path: Path, group: dict[str, Any]) -> dict[str, Chunked]:
    """Return the arrays of a store by name. Raises LogError when the metadata are damaged."""
    most = {"phi": math.tau}
    # A store that was not made from a simulation has no world size: its positions need only be finite.
    with contextlib.suppress(KeyError, TypeError, ValueError, ChronofluxError):
        most |= zip(("x", "y"), Params.from_dict(group["attributes"]["params"]).world, strict=True)
    found = {}
    try:
        for name, meta in _arrays(group).items():
            dtype = np.dtype(meta["data_type"]).newbyteorder("<")
            chunks = tuple(map(int, meta["chunk_grid"]["configuration"]["chunk_shape"]))
            codecs = [codec["name"] for codec in meta["codecs"]]
            shape = tuple(map(int, meta["shape"]))
            if len(shape) != len(chunks) or min(chunks, default=0) < 1:
                raise ValueError(f"{name} has shape {shape} in chunks of {chunks}")
            found[name] = Chunked(name, shape, chunks, dtype, codecs, most.get(name, math.inf))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LogError(path / "zarr.json", f"is damaged ({error})") from error
    return found


def faults_of(path: Path, group: dict[str, Any]) -> list[str]:
    """Check all chunks of a store. Return the faults found, a line each with file and rows."""
    found = []
    for name, array in arrays_of(path, group).items():
        for place in array.keys():  # noqa: SIM118 - `array` is not a dict
            file = path.joinpath(name, "c", *map(str, place))
            try:
                with open_regular(file) as opened:
                    content: bytes | None = opened.read()
            except FileNotFoundError:
                content = None
            except OSError as error:
                found.append(f"{file}: cannot be read ({error.strerror or error})")
                continue
            if fault := array.fault(place, content):
                found.append(f"{file}: {fault}")
        own = path / name / "zarr.json"
        try:
            with open_regular(own) as opened:
                said = json.loads(opened.read())
            if said | {"shape": None} != _arrays(group)[name] | {"shape": None}:
                found.append(f"{own}: differs from the group's zarr.json, which is used instead")
        except (OSError, ValueError, TypeError) as error:
            found.append(f"{own}: is damaged ({error})")
    return found


class CheckedStore(WrapperStore[LocalStore]):
    """A store on disk that reports each damaged chunk once and reads it as missing."""

    def __init__(self, store: LocalStore, arrays: dict[str, Chunked], strict: bool = False) -> None:
        super().__init__(store)
        self._arrays, self._strict = arrays, strict
        self.faults: dict[tuple[str, tuple[int, ...]], str] = {}
        """Faults found so far, by array name and chunk index."""

    def _with_store(self, store: LocalStore) -> CheckedStore:
        other = CheckedStore(store, self._arrays, self._strict)
        other.faults = self.faults
        return other

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file's content; None for a damaged chunk."""
        name, _, rest = key.partition("/c/")
        array = self._arrays.get(name)
        file = Path(self._store.root) / key
        try:
            check_regular(file)
            value = await self._store.get(key, prototype, byte_range)
        except FileNotFoundError:
            value = None
        if array is None or not rest or byte_range is not None:
            return value
        place = tuple(map(int, rest.split("/")))
        content = None if value is None else value.to_bytes()
        fault = await asyncio.to_thread(array.fault, place, content)
        if fault is None:
            return value
        if (name, place) not in self.faults:
            self.faults[name, place] = fault
            error = LogError(file, fault)
            if self._strict:
                raise error
            warnings.warn(f"{error}; the rest is loaded", UserWarning, stacklevel=2)
        return None
