"""``inputs.jsonl``: what came from peers and entered the swarm, line by line.

A line is ``{"seq", "tick", "peer", "at", "R", "psi", "omega"}``, a mean field; without ``at``: the peer is
gone. R, psi and omega are float32, written with the fewest digits that tell it from others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from chronoflux.telemetry.records import REFUSALS
from chronoflux.telemetry.report import Report
from chronoflux.telemetry.sources import read_lines


class Input(Struct, gc=False):
    """A field of a peer, heard before `tick` moved; `at` None: that peer was let go of."""

    seq: int
    tick: int
    peer: str
    at: float | None = None
    R: float = 0.0
    psi: float = 0.0
    omega: float = 0.0


_parse = msgspec.json.Decoder(Input).decode


def single(value: float) -> float:
    """`value` as float32, in the decimal digits that are written for it."""
    return float(str(np.float32(value)))


def widened(short: float) -> float:
    """The float32 that `short` was written for."""
    return float(np.float32(short))


def read_inputs(path: Path, report: Report) -> Iterator[Input]:
    """The lines of a file in their order; bad and torn ones are noted. Nothing when there is no file."""
    if not path.exists():
        return
    for lines in read_lines(path, report):
        for number, line in zip(lines.numbers, lines.lines, strict=True):
            if not line.strip():
                continue
            try:
                yield _parse(line)
            except REFUSALS as error:
                report.fault("torn" if lines.torn else "bad", path, number, f"no input ({error})")
