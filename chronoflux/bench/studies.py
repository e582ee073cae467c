"""``python -m chronoflux.bench studies``: duration of analysing a night's logs and of a sweep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from chronoflux.bench.engine import Row, python, swarm
from chronoflux.bench.roofline import Times
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.format.records import to_json

START = 1_800_000_000_000
NIGHT = 43_200
"""Seconds of twelve hours, with a record each."""
NODES, RUNS = 20, 200
EVENT_EVERY = 120
"""Average seconds between two intents of a node."""
_SWEEP = """
import sys, time
import chronoflux as cf
grid = {"kappa": [0.2, 0.5, 0.7, 1.0], "oscillators": 220}
start = time.perf_counter()
cf.sweep(grid, replicates=int(sys.argv[2]), duration=60.0, measure="H", out=sys.argv[1], progress=False)
print(time.perf_counter() - start)
"""


def write_night(folder: Path, nodes: int, seconds: int) -> Path:
    """Write logs of a room as its nodes do: a record per second and node, and own and remote events.

    Order varies slowly in all nodes and independently in each, and depends slightly on the neighbour's order;
    frequencies differ. Records lie within a tick of their second, one in a thousand is lost, and one node has
    a gap of ten minutes.
    """
    rng = np.random.default_rng(4)
    slow = 0.55 + 0.2 * np.sin(2 * np.pi * np.arange(seconds) / 5400)
    noise = rng.normal(0, 0.02, (nodes, seconds))
    for t in range(1, seconds):
        noise[:, t] += 0.9 * noise[:, t - 1] + 0.05 * np.roll(noise[:, t - 1], 1)
    own = [np.flatnonzero(rng.random(seconds) < 1 / EVENT_EVERY).tolist() for _ in range(nodes)]
    for i in range(nodes):
        name, there = f"n{i:02}", rng.random(seconds) > 0.001
        if i == nodes - 1:
            there[seconds // 2 : seconds // 2 + 600] = False
        events = {t: [(j, "intent" if j == i else "remote_intent")] for j, at in enumerate(own) for t in at}
        late, hertz = rng.integers(0, 16, seconds), 1.15 + 0.005 * i
        order = np.clip(slow + noise[i], 0.01, 0.99)
        run = folder / f"bench-{name}"
        run.mkdir(parents=True)
        facts = {"schema": 1, "run": run.name, "room": "bench", "node": name, "status": "ended"}
        (run / "run.json").write_text(json.dumps(facts))
        with open(run / LOG, "wb") as file:
            seq = 0
            for t in np.flatnonzero(there).tolist():
                H, at = round(float(order[t]), 6), START + 1000 * t + int(late[t])
                metrics = {"H": H, "H_local": round(0.3 + 0.7 * H, 6), "H_mesh": round(0.8 * H, 6)}
                metrics |= {"psi": round(2 * np.pi * hertz * t % 6.283185, 6), "omega": 6.283185 * hertz}
                metrics |= {"tau": 0.2, "nodes": 220, "intents": 1, "portal": False, "peers": nodes - 1}
                found = {"timestamp": at, "t": float(t), "tick": round(62.5 * t), "at": at}
                for origin, kind in events.get(t, ()):
                    data = {"x": 1.0, "y": 2.0, "E": 0.1 + 0.01 * (t % 50), "sigma": 80.0}
                    more = {"id": f"{origin:08x}{t:024x}", "origin": f"n{origin:02}", "data": data}
                    file.write(to_json(found | {"type": kind, "seq": seq, **more}) + b"\n")
                    seq += 1
                file.write(to_json(found | {"type": "telemetry", "metrics": metrics, "seq": seq}) + b"\n")
                seq += 1
    return folder


def analysis(folder: Path, nodes: int, seconds: int) -> Row:
    """Time ``python -m chronoflux.analyze`` with its report, including Python's start and reading."""
    logs, page = write_night(folder / "logs", nodes, seconds), folder / "report.html"
    command = [sys.executable, "-m", "chronoflux.analyze", str(logs), "--out", str(page)]

    def work() -> None:
        subprocess.run(command, check=True, capture_output=True)

    took = Times.of(work, 1).median
    case = f"analyze, {nodes} nodes × {seconds / 3600:g} h, with report"
    return Row(case, took, "s", 60, True, note=f"page of {page.stat().st_size / 1e6:.1f} MB")


def sweeps(folder: Path, runs: int) -> Iterator[Row]:
    """Time a sweep in a separate process, with the start of workers, and the same call after it is done."""
    out, each = str(folder / "sweep"), max(1, runs // 4)
    python("import chronoflux as cf; cf.Simulation(seed=1).advance(10)")  # compiles and caches kernels
    sim = swarm(220)
    sim.advance(10)
    ticks = 3750
    least = Times.of(lambda: sim.advance(ticks), 3).best * 4 * each / (os.cpu_count() or 1)
    case, note = f"sweep, {4 * each} runs of 60 s, 220 oscillators", "bound: the steps alone, on all cores"
    yield Row(case, float(python(_SWEEP, out, str(each))), "s", 12, True, note, bound=least)
    yield Row(f"{case}, when it is done", float(python(_SWEEP, out, str(each))), "s")


def measure(quick: bool, scale: float) -> Iterator[Row]:
    """Yield all rows; `quick` uses a tenth of the night and of the runs."""
    scale *= 0.1 if quick else 1
    with TemporaryDirectory() as name:
        yield analysis(Path(name), NODES if scale >= 0.1 else 3, max(900, int(NIGHT * scale)))
        yield from sweeps(Path(name), max(4, int(RUNS * scale)))
