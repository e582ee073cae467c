"""``inputs.jsonl``: what came from peers and entered the swarm, line by line.

A line is ``{"seq", "tick", "peer", "at", "R", "psi", "omega"}``, a mean field; without ``at``: the peer is
gone. R, psi and omega are float32, written with the fewest digits that tell it from others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chronoflux.telemetry.folder import INPUTS
from chronoflux.telemetry.parts import read_entries
from chronoflux.telemetry.records import REFUSALS, Input, parse_input
from chronoflux.telemetry.report import Report
from chronoflux.telemetry.sources import RunFiles


def single(value: float) -> float:
    """`value` as float32, in the decimal digits that are written for it."""
    return float(str(np.float32(value)))


def widened(short: float) -> float:
    """The float32 that `short` was written for."""
    return float(np.float32(short))


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
