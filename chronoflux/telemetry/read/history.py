"""History of a run: records and inputs in order, read from files on demand or kept in memory."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.records import Input, Record
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.journal import RevokedRanges, read_records, read_revoked, read_run_inputs

START = {"seq": 0, "inputs": 0}
"""Position of the beginning: the seqs of the next record and of the next input."""
TOGETHER = 4096
"""Inputs converted to columns at once."""


class RunHistory:
    """The valid records and inputs of a run, read from its files on each request.

    ``revoked``: the revoked ranges; ``report``: faults of the lines, noted during reading.
    """

    def __init__(self, run: RunFiles, revoked: RevokedRanges | None = None) -> None:
        self.revoked: RevokedRanges = read_revoked(run) if revoked is None else revoked
        self.report: Report = Report()
        self._run = run

    def records(self, position: dict[str, int]) -> Iterator[Record]:
        """Yield the records; those before `position` may be left out except for the last ``clock``."""
        return read_records(self._run, self.revoked, self.report)

    def inputs(self, position: dict[str, int]) -> Iterator[Input]:
        """Yield the inputs; those before `position` may be left out."""
        return read_run_inputs(self._run, self.revoked, self.report)


class RunHistoryInMemory(RunHistory):
    """A history that is read once and kept in memory, to start at many places. An input takes 44 bytes."""

    def __init__(self, run: RunFiles) -> None:
        super().__init__(run)
        self._records = [_lean(record) for record in super().records(START)]
        seqs = np.array([record.seq for record in self._records], np.int64)
        self._seqs = np.maximum.accumulate(seqs) if len(seqs) else seqs
        self._clocks = [i for i, record in enumerate(self._records) if record.type == "clock"]
        self.end: int = max((record.tick or 0 for record in self._records), default=0)
        """Last recorded tick."""
        self._peers: list[str] = []
        self._columns = self._read_inputs()

    def records(self, position: dict[str, int]) -> Iterator[Record]:
        """Yield the records: see :meth:`RunHistory.records`."""
        first = int(np.searchsorted(self._seqs, position["seq"]))
        clock = int(np.searchsorted(self._clocks, first)) - 1
        if clock >= 0:
            yield self._records[self._clocks[clock]]
        for i in range(first, len(self._records)):
            yield self._records[i]

    def inputs(self, position: dict[str, int]) -> Iterator[Input]:
        """Yield the inputs: see :meth:`RunHistory.inputs`."""
        seq, tick, peer, at, R, psi, omega = self._columns
        for i in range(int(np.searchsorted(seq, position["inputs"])), len(seq)):
            when = None if np.isnan(at[i]) else at[i]
            yield Input(seq[i], tick[i], self._peers[peer[i]], when, R[i], psi[i], omega[i])

    def _read_inputs(self) -> tuple[array[Any], ...]:
        columns: tuple[array[Any], ...] = tuple(array(kind) for kind in "qqidfff")
        codes: dict[str, int] = {}
        given = super().inputs(START)
        while some := list(itertools.islice(given, TOGETHER)):
            rows: tuple[list[Any], ...] = (
                [one.seq for one in some],
                [one.tick for one in some],
                [codes.setdefault(one.peer, len(codes)) for one in some],
                [np.nan if one.at is None else one.at for one in some],
                [one.R for one in some],
                [one.psi for one in some],
                [one.omega for one in some],
            )
            for column, values in zip(columns, rows, strict=True):
                column.extend(values)
        self._peers = list(codes)
        return columns


def _lean(record: Record) -> Record:
    """Remove peerings, which no computation uses."""
    record.peerings = None
    return record
