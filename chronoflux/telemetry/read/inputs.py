"""``inputs.jsonl``: the peers' fields that were applied to the swarm, line by line.

A line is ``{"seq", "tick", "peer", "at", "R", "psi", "omega"}``, a mean field; without ``at``, the peer's
coupling ended. R, psi and omega are float32, written with the fewest digits that identify the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import INPUTS
from chronoflux.telemetry.format.records import REFUSALS, Input, parse_input
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.parts import read_entries


def read_inputs(run: RunFiles, report: Report) -> Iterator[tuple[Path, Input]]:
    """Yield the inputs of a run in order, each with its file; bad and torn lines are noted."""
    for entry in read_entries(run, INPUTS, report):
        if isinstance(entry.found, Input):
            yield entry.path, entry.found
            continue
        try:
            yield entry.path, parse_input(entry.line)
        except REFUSALS as error:
            entry.refuse(report, "input", error)
