"""Phases and positions on disk: a Zarr store (format 3), appended block by block and read through xarray.

The store is a group with the dimensions ``tick`` and ``oscillator``: coordinates ``tick`` (int64), ``t``
(float64, s) and ``oscillator`` (int64), and one array (tick, oscillator) for each recorded quantity.

Each chunk ends with a crc32c, written by Zarr's own codec; the group's attributes hold one of its metadata.

The store is readable at any moment, also while it is written and after a kill. Arrays grow one by one; then
the group's consolidated metadata, which hold the matching lengths, are replaced atomically. xarray and
zarr-python use these lengths, so readers do not see rows that are not yet counted in them.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from chronoflux.errors import LogError, ParameterError
from chronoflux.model.recording import Block
from chronoflux.telemetry.format.layout import open_regular, replace_file
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import xarray
    import zarr

    from chronoflux.model.simulation import Simulation

STORE = "phases.zarr"
"""Name of the store in a run folder."""
FORMAT = 1
"""Version of the store layout."""
MOST_COLUMNS = 1 << 20
"""Maximum number of oscillators in a chunk (8 MiB)."""
MEANING = {
    "tick": ("1", "tick"),
    "t": ("s", "simulated time"),
    "oscillator": ("1", "number of the oscillator"),
    "x": ("px", "position across"),
    "y": ("px", "position down"),
    "vx": ("px/frame", "velocity across; a frame is 1/60 s"),
    "vy": ("px/frame", "velocity down; a frame is 1/60 s"),
    "phi": ("rad", "phase, in [0, 2π)"),
}
"""Unit and long name of each array."""
INSTALL = "needs zarr and xarray: python -m pip install 'chronoflux[phases]'"


SUM = "crc32c"
"""Attribute of the group that holds the checksum of its metadata."""


def phase_checks() -> Any:
    """Import the module for checksums, which needs the optional dependency Zarr."""
    return import_module("chronoflux.telemetry.format.phase_checks")


def _protection() -> dict[str, Any]:
    """Return the arguments that make Zarr compress chunks and add checksums."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return {"compressors": [ZstdCodec(level=0, checksum=False), Crc32cCodec()], "config": _ALL_CHUNKS}


_ALL_CHUNKS = {"write_empty_chunks": True}  # so that a missing chunk file is known to be damage


class PhaseStore:
    """A new store to which blocks of one recording are appended. It is a context manager.

    Parameters
    ----------
    path
        A folder that does not exist yet, usually ``*.zarr``.
    dtype
        ``"float64"`` (exact) or ``"float32"`` (half the size).
    attributes
        Further attributes of the group; values must be JSON-serialisable.
    chunk_rows
        Rows in a chunk; by default the number of rows of the first block.

    Raises
    ------
    LogError
        When `path` exists already or cannot be written, or when zarr is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str = "float64",
        attributes: dict[str, Any] | None = None,
        chunk_rows: int | None = None,
    ) -> None:
        if dtype not in ("float64", "float32"):
            raise ParameterError("dtype", dtype, "'float64' or 'float32'")
        self.path: Path = Path(path)
        self.rows: int = 0
        """Number of rows in the store."""
        self._dtype, self._chunk_rows = dtype, chunk_rows
        self._arrays: dict[str, zarr.Array[Any]] = {}
        zarr = _library("zarr", self.path)
        if self.path.exists():
            raise LogError(self.path, "exists already: name a new store")
        facts = {"chronoflux": VERSION, "format": FORMAT} | (attributes or {})
        with self._writing():
            self._group = zarr.create_group(self.path, zarr_format=3, attributes=facts)
        self._protected = True

    @classmethod
    def reopen(cls, path: str | os.PathLike[str], last_tick: int) -> Self:
        """Open an existing store to continue after `last_tick`; later rows are removed first.

        Raises
        ------
        LogError
            When it is not a ChronoFlux store, has no rows, or cannot be written.
        """
        path = Path(path)
        zarr = _library("zarr", path)
        facts = _check(path)
        counted = facts["consolidated_metadata"]["metadata"]
        store = cls.__new__(cls)
        store._protected = SUM in facts["attributes"]
        store.path, store._dtype, store._chunk_rows = path, "", None
        with store._writing():
            store._group = zarr.open_group(path, mode="r+", use_consolidated=False)
            store._arrays = {name: store._group[name] for name in counted if name != "oscillator"}
            rows = counted["tick"]["shape"][0]
            store.rows = int(np.searchsorted(store._arrays["tick"][:rows], last_tick, side="right"))
            for name in store._arrays:
                counted[name]["shape"][0] = store.rows
            store._write_metadata(facts)  # shorten what readers see first, then the arrays
            for array in store._arrays.values():
                array.resize((store.rows, *array.shape[1:]))
        return store

    @property
    def columns(self) -> int | None:
        """Number of recorded oscillators; None before the first block."""
        return next((array.shape[1] for array in self._arrays.values() if array.ndim == 2), None)

    def append(self, block: Block, oscillators: Any = None) -> None:
        """Append the rows of a block.

        Parameters
        ----------
        block
            Rows to append: ``tick`` (rows,), ``t`` (rows,) in s, and values (rows, m) in the units of
            :data:`MEANING`. The first block sets which quantities are recorded.
        oscillators
            Numbers of the recorded oscillators, int64 (m,); by default 0 to m - 1. Only used with the first
            block.

        Raises
        ------
        LogError
            When the block cannot be written.
        """
        with self._writing():
            if not self._arrays:
                self._create(block, oscillators)
            rows = self.rows + len(block)
            for name, values in {"tick": block.tick, "t": block.t, **block.values}.items():
                array = self._arrays[name]
                array.resize((rows, *array.shape[1:]))
                array[self.rows : rows] = values
            self._publish()
            self.rows = rows

    def _create(self, block: Block, oscillators: Any) -> None:
        columns = next(iter(block.values.values())).shape[1]
        numbers = np.arange(columns) if oscillators is None else np.asarray(oscillators, np.int64)
        along = self._add("oscillator", "int64", ("oscillator",), (columns,), (columns,))
        along[:] = numbers
        chunk = (self._chunk_rows or len(block), min(columns, MOST_COLUMNS))
        arrays = {}
        for name in ("tick", "t"):
            kind = "int64" if name == "tick" else "float64"
            arrays[name] = self._add(name, kind, ("tick",), (0,), (max(len(block), 1024),))
        for name in block.values:
            dims = ("tick", "oscillator")
            arrays[name] = self._add(name, self._dtype, dims, (0, columns), chunk)
        self._arrays = arrays

    def _add(
        self, name: str, dtype: str, dims: tuple[str, ...], shape: tuple[int, ...], chunks: tuple[int, ...]
    ) -> Any:
        facts = dict(zip(("units", "long_name"), MEANING[name], strict=True))
        if len(dims) == 2:
            facts["coordinates"] = "t"
        fill = np.nan if dtype.startswith("float") else 0
        return self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            dimension_names=dims,
            attributes=facts,
            fill_value=fill,
            overwrite=True,  # an earlier attempt may have failed half way, as on a full disk
            **(_protection() if self._protected else {}),
        )

    def _publish(self) -> None:
        """Write the group's metadata with the lengths of all arrays atomically."""
        own = json.loads((self.path / "zarr.json").read_bytes())
        names = ("oscillator", *self._arrays)
        counted = {name: json.loads((self.path / name / "zarr.json").read_bytes()) for name in names}
        consolidated = {"kind": "inline", "must_understand": False, "metadata": counted}
        self._write_metadata(own | {"consolidated_metadata": consolidated})

    def _write_metadata(self, group: dict[str, Any]) -> None:
        if self._protected:
            group["attributes"] |= {SUM: phase_checks().checksum(group)}
        replace_file(self.path / "zarr.json", json.dumps(group).encode())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LogError(self.path, f"cannot be written ({error.strerror or error})") from error
        except RuntimeError as error:  # the interpreter is shutting down and accepts no more work
            raise LogError(self.path, f"cannot be written ({error})") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(self.path, f"is damaged: move it away ({error})") from error

    def close(self) -> None:
        """Close the store. All blocks are on disk already."""
        self._group.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def record_phases(
    simulation: Simulation,
    path: str | os.PathLike[str],
    ticks: int,
    every: int = 1,
    what: Sequence[str] | str = "phi",
    *,
    of: Any = None,
    dtype: str = "float64",
) -> Path:
    """Advance `simulation` by `ticks` and write `what` (default: phases) every `every` ticks to a new store.

    The arguments are those of :meth:`Simulation.record <chronoflux.model.simulation.Simulation.record>` and
    :class:`PhaseStore`. Memory use is one block, whatever the length; each block is on disk before the next
    is computed. The store's attributes hold parameters and seed.

    Raises
    ------
    ParameterError, LogError
        As raised by these two, as early as each error can be detected.

    Examples
    --------
    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60), seed=1)
    >>> cf.record_phases(simulation, "phases.zarr", ticks=100, every=10).name
    'phases.zarr'
    >>> simulation.tick
    100
    """
    blocks = simulation.record(ticks, every, what, of=of)
    facts = {"params": simulation.params.to_dict(), "seed": simulation.seed, "every": int(every)}
    with PhaseStore(path, dtype=dtype, attributes=facts) as store:
        for block in blocks:
            store.append(block, of)
    return store.path


def load_phases(source: str | os.PathLike[str], *, strict: bool = False) -> xarray.Dataset:
    """Open a store as a Dataset that is read from disk on access; `source` is the store or its run folder.

    Dimensions are ``tick`` and ``oscillator``, with the coordinate ``t`` in s; each variable has ``units``.
    Close it after use, or use it in a ``with`` statement.

    Reading a chunk checks its checksum and the range of its values. Damaged values are NaN, and a UserWarning
    names file and rows; with `strict`, a LogError is raised instead. Rows with a damaged tick are left out.
    Stores of an older ChronoFlux have no checksums: one UserWarning says so.

    Raises
    ------
    LogError
        When there is no store, it cannot be read, it comes from a newer ChronoFlux, its metadata are damaged,
        or xarray is not installed.

    Examples
    --------
    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60), seed=1)
    >>> path = cf.record_phases(simulation, "phases.zarr", ticks=100, every=10)
    >>> with cf.load_phases(path) as phases:
    ...     print(dict(phases.sizes), phases.phi.units)
    {'tick': 10, 'oscillator': 60} rad
    """
    path = Path(source)
    path = path / STORE if (path / STORE).is_dir() else path
    library = _library("xarray", path)
    zarr = _library("zarr", path)
    group = _check(path)
    checks = phase_checks()
    if not checks.is_protected(group):
        text = "has no checksums, because an older ChronoFlux recorded it: damage may go unnoticed"
        warnings.warn(f"{LogError(path, text)}", UserWarning, stacklevel=2)
    arrays = checks.arrays_of(path, group)
    store = checks.CheckedStore(zarr.storage.LocalStore(path, read_only=True), arrays, strict)
    try:
        data: xarray.Dataset = library.open_zarr(store, consolidated=True, chunks=None)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise LogError(path, f"cannot be read as phases ({error})") from error
    data.attrs.pop(SUM, None)
    return _without_damage(data, arrays, store.faults)


def _without_damage(data: xarray.Dataset, arrays: Any, faults: Any) -> xarray.Dataset:
    """Drop rows whose tick is damaged, and the oscillator numbers if those are damaged."""
    known = np.ones(data.sizes.get("tick", 0), np.bool_)
    for name, place in faults:
        if name == "tick":
            known[slice(*arrays[name].rows(place))] = False
    if any(name == "oscillator" for name, _ in faults):
        data = data.drop_vars("oscillator")
    return data if known.all() else data.isel(tick=np.flatnonzero(known))


def faults_of_phases(path: Path) -> list[str]:
    """Check a store. Return its faults, a line each with file and rows; empty when it has none.

    All data are read, one chunk at a time.
    """
    try:
        group = _facts_of(path)
        if not group.get("consolidated_metadata"):
            return []
        _library("zarr", path)
        checks = phase_checks()
        if found := checks.faults_of(path, group):
            return list(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with load_phases(path) as data:
                if (np.diff(data.tick.values) <= 0).any():
                    return [f"{path}: its ticks do not increase"]
    except LogError as error:
        return [str(error)]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        return [f"{path}: is damaged ({error})"]
    return []


def check_phases(path: Path) -> str | None:
    """Return the faults found by :func:`faults_of_phases` in one line; None when there are none."""
    return "; ".join(faults_of_phases(path)) or None


def has_checksums(path: Path) -> bool:
    """Return whether a store's damage can be detected. Raises LogError when `path` is no ChronoFlux store."""
    group = _facts_of(path)
    return not group.get("consolidated_metadata") or SUM in group["attributes"]


def is_bare(path: Path) -> bool:
    """Return whether `path` is a ChronoFlux store that has no rows yet."""
    try:
        names = [found.name for found in path.iterdir()]
        if "zarr.json" not in names:
            return all(name.endswith(".partial") for name in names)
        return not _facts_of(path).get("consolidated_metadata")
    except (OSError, LogError):
        return False


def _check(path: Path) -> dict[str, Any]:
    """Return :func:`_facts_of`. Raises LogError when the store has no rows."""
    facts = _facts_of(path)
    if not facts.get("consolidated_metadata"):
        raise LogError(path, "has no rows yet: its recording has just begun, or ended before its first block")
    return facts


def _facts_of(path: Path) -> dict[str, Any]:
    """Return the group's metadata. Raises LogError when `path` is not a ChronoFlux store."""
    if not (path / "zarr.json").exists():
        raise LogError(path, f"holds no phases: looked for a Zarr store, or a run folder with {STORE}")
    try:
        with open_regular(path / "zarr.json") as file:
            group: dict[str, Any] = json.loads(file.read())
        facts = group.get("attributes", {})
        version, ours = facts.get("format"), "chronoflux" in facts
    except (OSError, ValueError, AttributeError) as error:
        raise LogError(path, f"cannot be read as phases ({error})") from error
    if not ours or not isinstance(version, int):
        raise LogError(path, "was not recorded by ChronoFlux")
    if version > FORMAT:
        known = f"format {version}; this one reads up to {FORMAT}"
        raise LogError(path, f"was recorded by a newer ChronoFlux ({known}): update it to read this")
    if SUM in facts and not group.get("consolidated_metadata"):  # both are written together
        raise LogError(path / "zarr.json", "is damaged: its number of rows is missing")
    if group.get("consolidated_metadata") and find_spec("zarr"):
        checks = phase_checks()
        said = facts.get(SUM)
        if checks.is_protected(group) and said != checks.checksum(group):
            raise LogError(path / "zarr.json", "is damaged: its checksum does not match")
    return group


def _library(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise LogError(path, INSTALL) from error
