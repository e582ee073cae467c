"""Saved simulations: one ``.npz`` file, from which a simulation continues bit for bit.

Its arrays are those of :meth:`Simulation.save`; the entry ``simulation`` holds the rest as JSON in UTF-8,
including the format version. Pickle is neither written nor read.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import open_regular, replace_file
from chronoflux.version import VERSION

if TYPE_CHECKING:
    from chronoflux.model.simulation import Simulation

ENTRY = "simulation"
POSITION = "log"
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError)
"""Exceptions that zipfile and NumPy raise for damaged content."""


def save_simulation(simulation: Simulation, path: str | os.PathLike[str]) -> Path:
    """Save a simulation in its current state. Return the file's path, which usually ends in ``.npz``.

    An existing file is replaced atomically: concurrent readers, and the disk after a power loss, have the
    complete old file or the complete new one.

    Raises
    ------
    LogError
        When the file cannot be written.

    Examples
    --------
    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60), seed=1)
    >>> simulation.advance(100)
    >>> cf.save_simulation(simulation, "swarm.npz").name
    'swarm.npz'
    """
    target = Path(path)
    try:
        replace_file(target, pack_simulation(simulation))
    except OSError as error:
        raise LogError(target, f"cannot be written ({error.strerror or error})") from error
    return target


def pack_simulation(simulation: Simulation, position: dict[str, int] | None = None) -> memoryview:
    """Return the content of such a file. `position` is that of the run's log: see :class:`RunLog`."""
    saved = simulation.save()
    arrays = {name: value for name, value in saved.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in saved.items() if name not in arrays}
    if position is not None:
        rest[POSITION] = position
    text = json.dumps({"chronoflux": VERSION} | rest, allow_nan=False).encode()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, **{ENTRY: np.frombuffer(text, np.uint8)})
    return content.getbuffer()


def load_simulation(path: str | os.PathLike[str]) -> Simulation:
    """Load a simulation saved by :func:`save_simulation`. It continues bit for bit like the original.

    Raises
    ------
    LogError
        When the file cannot be read, is not a saved simulation, is damaged, or comes from a newer ChronoFlux.

    Examples
    --------
    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60), seed=1)
    >>> simulation.advance(100)
    >>> copy = cf.load_simulation(cf.save_simulation(simulation, "swarm.npz"))
    >>> copy.advance(100)
    >>> simulation.advance(100)
    >>> copy.tick, bool((copy.state.phi == simulation.state.phi).all())
    (200, True)
    """
    return load_saved_state(path)[0]


def load_saved_state(path: str | os.PathLike[str]) -> tuple[Simulation, dict[str, int] | None]:
    """Load a simulation and its log position, None when it has none. Raises as :func:`load_simulation`.

    The position has the ``seq`` of the next record, the number of the next of its ``inputs``, how often the
    run was ``resumed`` (-1 when unknown), and the ``tick``.
    """
    from chronoflux.model.simulation import FORMAT, Simulation  # loads numba: readers of logs do without

    source = Path(path)
    entries = _read(source)
    try:
        saved = json.loads(entries.pop(ENTRY).tobytes())
        version, made_by, position = saved["format"], saved.pop("chronoflux"), saved.pop(POSITION, None)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LogError(source, "is not a simulation saved by ChronoFlux") from error
    if isinstance(version, int) and version > FORMAT:
        raise LogError(
            source,
            f"was saved by a newer ChronoFlux, {made_by} (format {version}; this one reads up to {FORMAT}): "
            "update ChronoFlux to load it",
        )
    try:
        simulation = Simulation.load(saved | entries)
        return simulation, None if position is None else _position(position, simulation.tick)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise LogError(
            source, f"does not hold a valid simulation ({type(error).__name__}: {error})"
        ) from error


def _position(noted: Any, tick: int) -> dict[str, int]:
    numbers = {name: int(noted[name]) for name in ("seq", "inputs")}
    return numbers | {"resumed": int(noted.get("resumed", -1)), "tick": tick}


def _read(source: Path) -> dict[str, Any]:
    """Return the entries of an ``.npz`` file after comparing each with its checksum."""
    try:
        with open_regular(source) as file:
            if file.read(4) != b"PK\x03\x04":
                raise LogError(source, "is not a simulation saved by ChronoFlux (not an .npz file)")
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                found = {name.removesuffix(".npy"): _entry(archive, name) for name in archive.namelist()}
            if len(found) != _entries(file):
                raise ValueError("its directory does not list all of its entries")
            return found
    except OSError as error:
        raise LogError(source, f"cannot be read ({error.strerror or error})") from error
    except (*_DAMAGE, MemoryError) as error:
        raise LogError(source, f"is damaged ({error}): use an earlier copy") from error


_END = struct.Struct("<4s4H2LH")  # end of a zip file without comment, as NumPy writes it


def _entries(file: BinaryIO) -> int:
    """Return the number of entries by the end record: a damaged length in the directory may hide entries."""
    file.seek(-_END.size, os.SEEK_END)
    mark, _, _, _, total, *_ = _END.unpack(file.read(_END.size))
    return total if mark == b"PK\5\6" else -1


def _entry(archive: zipfile.ZipFile, name: str) -> Any:
    """Read an array entry completely, since only the end of the entry compares its checksum."""
    content = io.BytesIO(archive.read(name))
    array = np.lib.format.read_array(content, allow_pickle=False)
    if content.read(1):
        raise ValueError(f"{name} holds more than its header says")
    return array
