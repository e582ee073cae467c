"""`RunRecord`: the records of a run as arrays, for any moment.

Only the pressure field is computed here; the recorded commands determine it at every moment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.errors import LogError
from chronoflux.model.commands import REMOTE, Entry
from chronoflux.model.engine import Floats
from chronoflux.model.events import EVENTS
from chronoflux.model.params import SPECS, Params
from chronoflux.replay.recorded_field import RecordedField
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.records import FLOATS, REFUSALS, Peering, parse_peerings
from chronoflux.telemetry.read.columns import Table
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.table import current_rows, read_table

UNSEEN = frozenset({"telemetry", "clock", "end"})
"""Types of records that are not shown as events on the scrub bar."""
Longs = NDArray[np.int64]


class Mark(NamedTuple):
    """A recorded event: simulated second `t`, tick, type, whether it is the node's own, and a description."""

    t: float
    tick: int
    type: str
    own: bool
    text: str


@dataclass(frozen=True)
class Moment:
    """The measurements of the last record before a moment.

    ``metrics``: as recorded at second ``t``. ``R``, ``psi`` (rad): the mean field, extrapolated to the
    requested moment with its recorded frequency.
    """

    t: float
    metrics: dict[str, Any]
    R: float
    psi: float


class RunRecord:
    """A run's records as arrays in simulated time.

    Parameters
    ----------
    run
        Its files.
    params
        Its initial parameters.

    Raises
    ------
    LogError
        When its files cannot be read or hold no record.
    """

    room: str
    node: str

    def __init__(self, run: RunFiles, params: Params) -> None:
        self.report: Report = Report()
        table = read_table(run, self.report, peerings=True)
        if not len(table):
            raise LogError(run.folder or run.name, "holds no record: there is nothing to show")
        rows = np.arange(len(table))[current_rows(table, run)]
        self._table = table
        self.room, self.node = (_common(table, name) for name in ("room", "node"))
        stamp = table.whole["timestamp"].values[rows]
        t = _ascending(_filled(table.floats["t"][rows], stamp.astype(np.float64)))
        told = table.whole["tick"]
        ticks = np.where(told.missing[rows], np.round(t / params.dt).astype(np.int64), told.values[rows])
        self._t, self._ticks, self._rows = t, _ascending(ticks), rows
        self.times = t
        """Simulated time (s) of each record, ascending."""
        types = table.texts["type"]
        at = table.floats["at"][rows]
        said = ~np.isnan(at) & ~np.isin(types.codes[rows], _remote(types.texts))
        self.at: Floats = _ascending(np.interp(t, t[said], at[said]) if said.any() else stamp)
        """Mesh time (ms) of each record, float64 (records,); where it is not recorded, the machine's time."""
        self._telemetry = np.flatnonzero(types.codes[rows] == _code(types.texts, "telemetry"))
        self.end: float = float(t[-1])
        """Simulated time of the last record, s."""
        self.marks: list[Mark] = []
        self.names: dict[str, str] = {}
        """Names of peers by id, as far as they are recorded."""
        self.field: RecordedField = RecordedField(params)
        """Parameters, portal mode and pulses at each moment."""
        for i in np.flatnonzero(types.codes[rows] != _code(types.texts, "telemetry")).tolist():
            name, data = types.texts[types.codes[rows[i]]], table.data.get(int(rows[i])) or {}
            match data if name == "peer" else None:
                case {"id": str(peer), "name": str(called)}:
                    self.names[peer] = called
            if name not in UNSEEN or data.get("why") == "speed":
                own = not name.startswith(REMOTE)
                self.marks.append(Mark(float(t[i]), int(ticks[i]), name, own, describe(name, data)))
            entry = _entry(name, data, None if np.isnan(at[i]) else float(at[i]))
            self.field.take(entry, int(ticks[i]), float(t[i]), float(self.at[i]))
        self.field.settle()

    @property
    def H(self) -> tuple[Floats, Floats]:
        """Second and `H` of each telemetry record, float64 (records,)."""
        return self._t[self._telemetry], self._table.floats["H"][self._rows[self._telemetry]]

    def moment(self, t: float) -> Moment | None:
        """The last telemetry record up to second `t`; None before the first."""
        place = self._place(t)
        if place is None:
            return None
        row, then = int(self._rows[place]), float(self._t[place])
        table = self._table
        metrics: dict[str, Any] = {name: float(table.floats[name][row]) for name in FLOATS[2:]}
        for name in ("nodes", "intents", "peers"):
            column = table.whole[name]
            metrics[name] = None if column.missing[row] else int(column.values[row])
        R, psi, omega = (metrics[name] for name in ("H", "psi", "omega"))
        turned = omega * (t - then) if math.isfinite(omega) else 0.0
        return Moment(then, metrics, R, psi + turned)

    def peerings(self, t: float) -> list[Peering]:
        """The peers in the last telemetry record up to second `t`."""
        place = self._place(t)
        raw = None if place is None else self._table.peerings.get(int(self._rows[place]))
        if raw is None:
            return []
        try:
            return parse_peerings(raw)
        except REFUSALS:
            return []

    def _place(self, t: float) -> int | None:
        before = int(np.searchsorted(self._t[self._telemetry], t + 1e-9, side="right"))
        return int(self._telemetry[before - 1]) if before else None

    def tick(self, t: float) -> int:
        """The tick of second `t`, within the run."""
        return round(float(np.interp(t, self._t, self._ticks)))


def _entry(name: str, data: Mapping[str, Any], at: float | None) -> Entry:
    """The log entry of a record; in a table, an event's id and origin are among its data."""
    match data:
        case {"id": str(id_), "origin": str(origin), **rest}:
            return Entry(name, rest, at, id_, origin)
    return Entry(name, data, at)


def describe(name: str, data: Mapping[str, Any]) -> str:
    """An event in a few words. Its content may come from an untrusted node."""
    words = [name.replace("_", " ")]
    if name == "note":
        words.append(str(data.get("text", "")))
    elif name.startswith(REMOTE) and data.get("origin"):
        words.append(f"of {data['origin']}")
    elif name == "peer":
        words += [str(data.get(key)) for key in ("name", "peer", "state", "reason") if data.get(key)]
    elif name in ("params", "reset"):
        words += [f"{key} = {value}" for key, value in data.items() if key in SPECS]
    elif name == "clock":
        words = [f"speed × {str(data.get('speed')).removesuffix('.0')}"]
    elif (kind := name.removeprefix(REMOTE)) in EVENTS and "on" in EVENTS[kind].payload.__struct_fields__:
        words.append("on" if data.get("on", True) else "off")
    return " ".join(words)[:120]


def stamp_text(ms: float) -> str:
    """Mesh time in ms as a UTC date and time."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _code(texts: list[str], name: str) -> int:
    return texts.index(name) if name in texts else -2


def _remote(texts: list[str]) -> list[int]:
    """The codes of peers' events, whose ``at`` is the time of firing and not of arrival."""
    return [code for code, text in enumerate(texts) if text.startswith(REMOTE)]


def _common(table: Table, name: str) -> str:
    column = table.texts[name]
    return column.texts[0] if column.texts else ""


def _filled(t: Floats, stamp: Floats) -> Floats:
    """Simulated seconds; from the machine's clock (ms) where a record has none."""
    known = ~np.isnan(t)
    if known.all():
        return t
    if not known.any():
        filled: Floats = (stamp - stamp[0]) / 1000
        return filled
    first = int(np.flatnonzero(known)[0])
    return np.where(known, t, t[first] + (stamp - stamp[first]) / 1000)


def _ascending(values: Floats) -> Floats:
    ascending: Floats = np.maximum.accumulate(values.astype(np.float64))
    return ascending
