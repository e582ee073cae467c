"""`load` and `load_peerings`: read logs of any version and condition into tidy pandas frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chronoflux.errors import LogError
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.records import FLOATS, REFUSALS, Peering, parse_peerings
from chronoflux.telemetry.read.columns import Coded, Masked, Table
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import LOOKED_FOR, Source
from chronoflux.telemetry.read.old_names import with_unique_names
from chronoflux.telemetry.read.prefetch import make_ready
from chronoflux.telemetry.read.table import current_rows, read_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("time", "node", "room", "run", "seq", "tick", "t", "at", "mono", "type"),
    *("H", "psi", "omega", "tau", "H_local", "H_mesh", "nodes", "intents", "peers", "portal"),
)
"""Columns of every frame of `load`; additional metrics (float64) and ``data`` follow them."""
PEERING_COLUMNS = (
    *("time", "at", "node", "run", "peer", "R", "dpsi", "rtt_ms", "offset_ms", "uncertainty_ms", "via"),
)
"""Columns of `load_peerings`."""

_NAMES = ("node", "room", "run", "type")

Rows: TypeAlias = NDArray[np.intp] | slice


def load(source: Source, *, strict: bool = False) -> pd.DataFrame:
    """Read logs into one frame with one row per record, in the order they were written.

    Parameters
    ----------
    source
        A run folder, a folder of runs, a file, a glob, or a list of these. Files are JSON Lines or JSON
        arrays, also ``.gz`` or ``.zst``, written by this or (both exports) by the first ChronoFlux; or
        Parquet: closed segments and, when named explicitly, files of ``python -m chronoflux.logs export``.
    strict
        Raise at the first fault instead of counting it.

    Returns
    -------
    DataFrame
        ``time`` (datetime64[us, UTC]); ``node``, ``room``, ``run``, ``type`` (str); ``seq``, ``tick``,
        ``mono`` (ns), ``nodes``, ``intents``, ``peers`` (Int64); ``t`` (s), ``at`` (ms), ``H``, ``psi``,
        ``omega``, ``tau``, ``H_local``, ``H_mesh`` (float64); ``portal`` (boolean); additional metrics
        (float64); and ``data``, a dict of the rest of the record, or None. The dtypes are the same for every
        source. ``frame.attrs["report"]`` counts torn and bad lines, gaps and repeats in ``seq``, clock
        steps, dropped records, unknown schema versions and superseded records; one UserWarning sums up all
        but the last.

    Raises
    ------
    LogError
        When there is no log or it has no record; with `strict`, at the first fault, naming file and line.

    Examples
    --------
    A node that runs alone for 5 simulated seconds logs into the folder ``logs``.

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     options = {"server": None, "params": params, "seed": 1, "speed": "max", "duration": 5}
    ...     node = await cf.join("lab", node_id="n1", **options)
    ...     await node.wait_closed()
    >>> asyncio.run(main())
    >>> frame = cf.load("logs")
    >>> frame[frame.type == "telemetry"][["node", "t", "nodes", "peers"]].round(1).reset_index(drop=True)
      node    t  nodes  peers
    0   n1  1.0     60      0
    1   n1  2.0     60      0
    2   n1  3.0     60      0
    3   n1  4.0     60      0
    4   n1  5.0     60      0
    """
    tables, report = _read(source, strict=strict, peerings=False)
    frame = _frame(tables)
    frame.attrs["report"] = report.to_dict()
    _warn(report)
    return frame


def load_peerings(source: Source, *, strict: bool = False) -> pd.DataFrame:
    """Read what nodes knew about their peers: one row per peer and record; see :func:`load`.

    Returns
    -------
    DataFrame
        ``time`` and ``at`` (ms) of the record, ``node``, ``run``, ``peer``; the peer's ``R`` and phase
        difference ``dpsi`` (rad); ``rtt_ms``, ``offset_ms``, ``uncertainty_ms`` of its clock; ``via``, the
        path to it: a link (``direct``, or ``turn`` through a TURN server), the signaling server's
        ``relay``, or ``server``, messages that it forwards to old clients. Without peers it has no rows.

    Raises
    ------
    LogError
        As :func:`load`.

    Examples
    --------
    A node that runs alone logs no peers.

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     options = {"server": None, "params": params, "seed": 1, "speed": "max", "duration": 5}
    ...     node = await cf.join("lab", node_id="n1", **options)
    ...     await node.wait_closed()
    >>> asyncio.run(main())
    >>> frame = cf.load_peerings("logs")
    >>> len(frame), list(frame.columns[:5])
    (0, ['time', 'at', 'node', 'run', 'peer'])
    """
    import pandas as pd

    tables, report = _read(source, strict=strict, peerings=True)
    rows: list[int] = []
    found: list[Peering] = []
    first = 0
    for table, kept in tables:
        for position, row in enumerate(np.arange(len(table))[kept].tolist()):
            for peering in _peerings_of(table, row, report):
                rows.append(first + position)
                found.append(peering)
        first += _count(table, kept)
    frame = _frame(tables)[["time", "at", "node", "run"]].take(rows).reset_index(drop=True)
    for name in ("R", "dpsi", "rtt_ms", "offset_ms", "uncertainty_ms"):
        frame[name] = np.array([getattr(peering, name) for peering in found], dtype=np.float64)
    frame["peer"] = pd.array([peering.id for peering in found], dtype="str")
    frame["via"] = pd.array([peering.via for peering in found], dtype="str")
    frame = frame[list(PEERING_COLUMNS)]
    frame.attrs["report"] = report.to_dict()
    _warn(report)
    return frame


def _read(source: Source, *, strict: bool, peerings: bool) -> tuple[list[tuple[Table, Rows]], Report]:
    report = Report(strict=strict)
    tables, runs = [], with_unique_names(distinct_runs(source, report))
    make_ready(runs)
    for run in runs:
        if peerings and run.exported:
            raise LogError(run.files[0], "is an export, which holds no peerings: give the run's folder")
        table = read_table(run, report, peerings=peerings)
        kept = current_rows(table, run)
        report.superseded += len(table) - _count(table, kept)
        tables.append((table, kept))
    if not report.records:
        raise LogError(_named(source), f"holds no record{_because(report)}; looked for {LOOKED_FOR}")
    return tables, report


def _count(table: Table, kept: Rows) -> int:
    return len(table) if isinstance(kept, slice) else len(kept)


def _named(source: Source) -> str:
    names = [source] if isinstance(source, str | os.PathLike) else list(source)
    return ", ".join(os.fspath(name) for name in names)


def _because(report: Report) -> str:
    summary = report.summary()
    return f" ({summary})" if summary else ""


def _warn(report: Report) -> None:
    if summary := report.summary():
        warnings.warn(f'{summary}; the rest was read, see frame.attrs["report"]', UserWarning, stacklevel=3)


def _peerings_of(table: Table, row: int, report: Report) -> Sequence[Peering]:
    raw = table.peerings.get(row)
    if raw is None:
        return ()
    try:
        return parse_peerings(raw)
    except REFUSALS as error:
        report.fault("bad", *table.place(row), f"unreadable peerings ({error})")
        return ()


def _frame(tables: Sequence[tuple[Table, Rows]]) -> pd.DataFrame:
    """Join all tables in one frame; columns of the tables are released when used, to save memory."""
    import pandas as pd
    import pyarrow as pa  # pandas has imported it by now

    def whole(name: str) -> Masked:
        return _taken([(table.whole.pop(name), kept) for table, kept in tables])

    further = list(dict.fromkeys(name for table, _ in tables for name in table.floats if name not in FLOATS))
    columns: dict[str, Any] = {
        name: pd.arrays.IntegerArray(*whole(name))
        for name in ("seq", "tick", "mono", "nodes", "intents", "peers")
    }
    times = whole("timestamp").values
    columns["time"] = pd.DatetimeIndex(np.multiply(times, 1000, out=times).view("M8[us]")).tz_localize("UTC")
    columns["portal"] = pd.arrays.BooleanArray(
        *_taken([(table.logic.pop("portal"), kept) for table, kept in tables])
    )
    for name in (*FLOATS, *further):
        columns[name] = _joined([_floats(table, name)[kept] for table, kept in tables])

    def text(name: str) -> Any:
        codes, texts = _merged((table.texts.pop(name), kept) for table, kept in tables)
        if len(texts) == 1 and not codes.any():  # one room, one run: twice as fast
            return pd.array(pa.repeat(pa.scalar(texts[0], pa.large_string()), len(codes)), dtype="str")
        return pd.array(texts, dtype="str").take(codes, allow_fill=True)

    with ThreadPoolExecutor(2, thread_name_prefix="texts") as pool:
        found = pool.map(text, _NAMES)
        columns["data"] = _objects(tables)
        columns |= zip(_NAMES, found, strict=True)
    return pd.DataFrame({name: columns[name] for name in (*COLUMNS, *further, "data")}, copy=False)


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _taken(parts: Sequence[tuple[Masked, Rows]]) -> Masked:
    return Masked(
        _joined([column.values[kept] for column, kept in parts]),
        _joined([column.missing[kept] for column, kept in parts]),
    )


def _floats(table: Table, name: str) -> NDArray[np.float64]:
    found = table.floats.pop(name, None)
    return np.full(len(table), np.nan) if found is None else found


def _merged(parts: Iterable[tuple[Coded, Rows]]) -> tuple[NDArray[np.int32], list[str]]:
    """Join the codes of several tables into codes of one list of texts."""
    index: dict[str, int] = {}
    codes = []
    for column, kept in parts:
        places = [index.setdefault(text, len(index)) for text in column.texts]
        same = places == list(range(len(places)))
        kept_codes = column.codes[kept]
        codes.append(kept_codes if same else np.array([*places, -1], kept_codes.dtype)[kept_codes])
    return _joined(codes), list(index)  # −1 selects the last entry, also after remapping


def _objects(tables: Sequence[tuple[Table, Rows]]) -> NDArray[np.object_]:
    parts = []
    for table, kept in tables:
        column = np.full(len(table), None, dtype=object)
        values = np.empty(len(table.data), dtype=object)
        values[:] = list(table.data.values())
        column[list(table.data)] = values
        parts.append(column[kept])
    return _joined(parts)
