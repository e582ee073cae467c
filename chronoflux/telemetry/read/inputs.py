"""``inputs.jsonl``: what came from peers and entered the swarm, line by line.

A line is ``{"seq", "tick", "peer", "at", "R", "psi", "omega"}``, a mean field; without ``at``: the peer is
gone. R, psi and omega are float32, written with the fewest digits that tell it from others.
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
    """The inputs of a run in their order, each with its file; bad and torn lines are noted."""
    for entry in read_entries(run, INPUTS, report):
        if isinstance(entry.found, Input):
            yield entry.path, entry.found
            continue
        try:
            yield entry.path, parse_input(entry.line)
        except REFUSALS as error:
            entry.refuse(report, "input", error)
