"""A run's records and inputs in order, without revoked ones, to recompute or resume the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.format.records import REFUSALS, Input, Record, parse, parse_exact
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.inputs import read_inputs
from chronoflux.telemetry.read.parts import read_entries

_RESUMES = frozenset(["resume"])

Range: TypeAlias = tuple[int, int]


class RevokedRanges(NamedTuple):
    """The ranges that each ``resume`` revoked: records ``first ≤ seq < end``, and inputs likewise.

    ``ticks``: tick of each resume; ``numbers``: number of the resume in the run from 1; 0 when not recorded.
    """

    records: list[Range]
    inputs: list[Range]
    ticks: list[int]
    numbers: list[int]

    def covers(self, position: dict[str, int]) -> bool:
        """Return whether a state saved at this position of the log was also revoked.

        That is the case if it was saved before a resume, at a position after the one where the resume
        continued. A state may be ahead of all records: after a power loss, or when the run was killed before
        the next record.
        """
        place = position["seq"], position["tick"], position["inputs"]
        resumed = position["resumed"]  # number of resumes before the state was saved, -1 when unknown
        for records, inputs, tick, number in zip(*self, strict=True):
            before = place[0] <= records[1] if resumed < 0 or not number else resumed < number
            if before and place > (records[0], tick, inputs[0]):
                return True
        return False


def read_revoked(run: RunFiles) -> RevokedRanges:
    """Return the ranges that the resumes of a run revoked."""
    revoked = RevokedRanges([], [], [], [])
    for record in _records(run, Report(), _RESUMES):
        if record.type != "resume" or record.tick is None:
            continue
        match facts_of(record.data):
            case {"records": [int(a), int(b)], "inputs": [int(c), int(d)], **more}:
                number = more.get("number")
                revoked.records.append((a, b))
                revoked.inputs.append((c, d))
                revoked.ticks.append(record.tick)
                revoked.numbers.append(number if isinstance(number, int) else 0)
    return revoked


def read_records(run: RunFiles, revoked: RevokedRanges, report: Report) -> Iterator[Record]:
    """Yield the valid records that have a seq and a tick; bad lines are noted in `report`."""
    for record in _records(run, report):
        if record.seq is not None and record.tick is not None and not _within(record.seq, revoked.records):
            yield record


def read_run_inputs(run: RunFiles, revoked: RevokedRanges, report: Report) -> Iterator[Input]:
    """Yield the valid inputs."""
    for _, given in read_inputs(run, report):
        if not _within(given.seq, revoked.inputs):
            yield given


def _records(run: RunFiles, report: Report, kinds: frozenset[str] | None = None) -> Iterator[Record]:
    """Yield all records; those not of `kinds` may be left out."""
    for entry in read_entries(run, LOG, report, kinds):
        if isinstance(entry.found, Record):
            yield entry.found
        else:
            try:
                yield _record(entry.line)
            except REFUSALS as error:
                entry.refuse(report, "record", error)


def _record(line: bytes) -> Record:
    try:
        return parse_exact(line)
    except REFUSALS:
        return parse(line).record


def _within(seq: int, ranges: list[Range]) -> bool:
    return bool(ranges) and any(first <= seq < end for first, end in ranges)  # usually there are none


def facts_of(value: Any) -> dict[str, Any]:
    """Return a record's data if it is an object, else an empty dict."""
    return value if isinstance(value, dict) else {}
