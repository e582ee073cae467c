"""``python -m chronoflux.bench telemetry``: speed of reading and writing logs on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from chronoflux.bench.engine import Row
from chronoflux.bench.roofline import Times
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import RunLog, load
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.format.records import rounded, to_json
from chronoflux.telemetry.format.segment_encode import TELEMETRY
from chronoflux.telemetry.format.segments import KINDS
from chronoflux.telemetry.write.rotation import publish, trim_log
from chronoflux.util.float32 import single, widened

START = 1_800_000_000_000
NIGHT = 43_200
"""Seconds of twelve hours, with a record each."""
_NIGHT_READ = """
import re, sys, time
from chronoflux.telemetry import load
load(sys.argv[1])
start = time.perf_counter()
frame = load(sys.argv[2])
took = time.perf_counter() - start
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()) if sys.platform == "linux" else None
print(len(frame), took, 1024 * int(peak[1]) if peak else 0)
"""
_NODE = """
import asyncio, os, sys
import chronoflux as cf
from chronoflux.telemetry.write.writer import rotate_all

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main(folder, early, records):
    params = cf.Params(oscillators=10, dt=0.5)  # few and long ticks: it is about the records
    options = {"params": params, "seed": 1, "schedule": "classic", "log_dir": folder}
    node = await cf.join("bench", server=None, speed="max", duration=records, **options)
    seen, rotated = [], False
    while not node.closed:
        await asyncio.sleep(0.02)
        if node.t >= early / 2 and not rotated:
            rotate_all()  # beside the clock there were two by then: what writes segments is loaded
            rotated = True
        if node.t >= early and any(node.path.glob("*.parquet")):
            seen.append(resident())
    print(seen[0], seen[-1], max(seen))

asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""
EARLY = 10_000
"""Records after which a node's memory use should no longer grow."""


def record(seq: int, values: Any) -> dict[str, Any]:
    """Return a record as a node writes it; every 20th is an event. `values`: seven numbers from 0 to 1."""
    names = ("H", "psi", "omega", "tau", "H_local", "H_mesh")
    metrics = {name: round(float(value), 6) for name, value in zip(names, values[:6], strict=True)}
    found: dict[str, Any] = {"timestamp": START + 1000 * seq, "t": float(seq), "type": "telemetry"}
    found["metrics"] = metrics | {"nodes": 220, "intents": 3, "portal": False, "peers": 5}
    found |= {"tick": round(62.5 * seq), "at": START + 1000 * (seq + float(values[6]))}
    if seq % 20 == 19:
        data = {"x": float(800 * values[0]), "y": float(600 * values[1]), "E": 0.35, "sigma": 80.0}
        found |= {"type": "intent", "data": data, "id": f"{seq:032x}", "origin": "n1"}
    return found | {"seq": seq, "mono": 10**12 + 10**9 * seq + int(1e6 * values[6])}


def write_run(folder: Path, records: int, closed: int = 0) -> Path:
    """Write a run folder of `records` records, as a node does; with `closed`, in segments of that size."""
    folder.mkdir(parents=True)
    facts = {"schema": 1, "run": folder.name, "room": "bench", "node": folder.name, "status": "running"}
    (folder / "run.json").write_text(json.dumps(facts))
    rng = np.random.default_rng(len(folder.name))
    for first in range(0, records, closed or records):
        with open(folder / LOG, "ab") as file:
            for seq in range(first, min(records, first + (closed or records))):
                file.write(to_json(record(seq, rng.random(7))) + b"\n")
        if closed:
            publish(folder, TELEMETRY)
            trim_log(folder, LOG)
    return folder


def _pandas(path: Path) -> int:
    """Read a log with pandas only, without `load`; this fails on a file with a torn last line."""
    import pandas as pd

    frame = pd.read_json(path, lines=True)
    flat = pd.json_normalize(frame["metrics"].tolist())
    return len(pd.concat([frame.drop(columns="metrics"), flat], axis=1))


def reading(folder: Path, records: int, repeats: int) -> Iterator[Row]:
    """Time reading JSON Lines into a frame, and reading them with pandas only."""
    import warnings

    run = write_run(folder / "one", records)
    whole = (run / LOG).read_bytes()
    load(run)
    plain = records / Times.of(lambda: _pandas(run / LOG), 1).median
    (run / LOG).write_bytes(whole[:-50])
    del whole
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the torn line
        rate = records / Times.of(lambda: load(run), repeats).median
    yield Row(f"load {records:,} records, last line cut", rate / 1e3, "k records/s", 500)
    yield Row("pandas.read_json and json_normalize", plain / 1e3, "k records/s", note="the whole file")
    yield Row("load beside these", rate / plain, "times", 5)


def reading_segments(folder: Path, records: int, repeats: int) -> Iterator[Row]:
    """Time reading closed segments, each of about 64 MB of lines, into a frame."""
    run = write_run(folder / "closed", records, max(50, records // 5))
    load(run)
    rate = records / Times.of(lambda: load(run), repeats).median
    yield Row(f"load {records:,} records, closed segments", rate / 1e6, "M records/s", 3)


def night(folder: Path, nodes: int, records: int, closed: int) -> Iterator[Row]:
    """Time reading a folder of many nodes in a separate process; `closed`: records in a segment, or 0."""
    nights = folder / f"night-{closed}"
    for number in range(nodes):
        write_run(nights / f"n{number}", records, closed)
    small = write_run(folder / f"small-{closed}", 100, closed and 50)
    command = [sys.executable, "-c", _NIGHT_READ, str(small), str(nights)]
    count, took, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    form = "hourly segments" if closed else "JSON Lines"
    case = f"{nodes} nodes, {int(count):,} records, {form}, to a frame"
    yield Row(case, float(took), "s", 2, True)
    if sys.platform == "linux":
        yield Row(f"{case}, peak memory", float(peak) / 1e6, "MB", 600, True)


def writing(folder: Path, records: int) -> Row:
    """Measure the processor time that the log takes in the process that writes it."""
    rng = np.random.default_rng(5)
    names = ("H", "psi", "omega", "tau", "H_local", "H_mesh")
    facts: dict[str, Any] = {"kind": "bench", "seed": 1, "schedule": "none"}
    log = RunLog(folder, room="bench", node="writer", params=Params(), **facts)
    with log:
        values = rng.random((records, 6))
        start = time.process_time()
        for tick in range(records):
            metrics = dict(zip(names, values[tick], strict=True))
            log.write("telemetry", tick=tick, t=0.016 * tick, at=1.0, metrics=metrics)
        log.flush(30)
        took = time.process_time() - start
    return Row("writing, of a core at 60 records/s", 100 * 60 * took / records, "%", 1, True)


def resident(folder: Path, records: int) -> Row:
    """Measure a node's memory growth in a separate process, with a record per simulated second."""
    command = [sys.executable, "-c", _NODE, str(folder / "node"), str(EARLY), str(records)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    early, late, most = (int(size) / 1e6 for size in done.stdout.split())
    note = f"from {early:.0f} MB; {most - early:.1f} MB while a segment is closed"
    return Row(f"memory of a node, growth to {records:,} records", late - early, "MB", 10, True, note)


def coupled(folder: Path, seconds: float) -> Path:
    """Write a run that is coupled with five peers, with closed segments: six swarms, of which one is logged.

    Fields are exchanged eight times a second, as by the runner; clock measurements are synthetic.
    """
    rng = np.random.default_rng(11)
    params = Params(oscillators=60, mesh_coupling=0.5, noise=0.5)
    own, *others = (Simulation(params, seed=seed) for seed in range(6))
    for swarm in (own, *others):
        swarm.anchor(START + float(rng.uniform(0, 16)))
    peers = {f"{number:032x}": swarm for number, swarm in enumerate(others, 0xABCDEF0123456789ABCDEF)}
    facts: dict[str, Any] = {"kind": "bench", "seed": 0, "schedule": "none"}
    with RunLog(folder, room="bench", node="coupled", params=params, **facts) as log:
        while own.t < seconds:
            for peer, swarm in peers.items():  # each at a different time
                second, ticks = int(own.t), int(rng.integers(1, 3))
                for one in (own, *others):
                    one.advance(ticks)
                _hear(own, peer, swarm, log)
                if int(own.t) > second:
                    _record(own, peers, log, rng)
                    log.flush(60)
    for kind in KINDS:
        publish(log.path, kind)
        trim_log(log.path, kind.log)
    return log.path


def _hear(own: Simulation, peer: str, swarm: Simulation, log: RunLog) -> None:
    """Apply a peer's field and log it, as the runner does."""
    R, psi, omega = (single(value) for value in swarm.mean_field())
    if omega != omega:  # before the first tick
        return
    at = round(swarm.mesh_time(), 3)
    own.hear(peer, at, widened(R), widened(psi), widened(omega))
    log.write_input(own.tick, peer=peer, at=at, R=R, psi=psi, omega=omega)


def _record(own: Simulation, peers: dict[str, Simulation], log: RunLog, rng: np.random.Generator) -> None:
    R, psi, _ = own.mean_field()
    pairs = []
    for number, (peer, swarm) in enumerate(peers.items()):
        theirs, angle, _ = swarm.mean_field()
        age = own.t % 10  # s since the last good probe
        rtt = 0.5 + 0.1 * number + 0.01 * (int(own.t / 10) * 7919 % 97)
        facts = {"rtt_ms": rtt, "offset_ms": number - 2 + float(rng.integers(3)) / 4096}
        facts |= {"R": theirs, "dpsi": float(np.angle(np.exp(1j * (angle - psi))))}
        pairs.append(rounded({"id": peer, **facts, "uncertainty_ms": rtt / 2 + 0.015 * age, "via": "direct"}))
    metrics = own.metrics() | {"nodes": 60, "intents": len(own.pulses), "portal": own.portal}
    metrics |= {"peers": 5, "H_mesh": R}
    log.write(
        "telemetry", tick=own.tick, t=round(own.t, 9), at=own.mesh_time(), metrics=metrics, peerings=pairs
    )


def disk(folder: Path, seconds: float) -> Iterator[Row]:
    """Estimate the disk use of twelve hours at a record per second and five peers, from a part of it."""
    run = coupled(folder, seconds)
    part = f"from {seconds / 3600:.2g} h"
    for stem, most in (("telemetry", 6), ("inputs", 40)):
        size = sum(path.stat().st_size for path in run.glob(f"{stem}-*.parquet"))
        yield Row(
            f"disk of 12 h with 5 peers: {stem}", size / 1e6 * NIGHT / seconds, "MB", most, True, note=part
        )


def measure(quick: bool, scale: float) -> Iterator[Row]:
    """Yield all rows; `quick` uses a tenth of the records."""
    scale *= 0.1 if quick else 1
    with TemporaryDirectory() as name:
        folder = Path(name)
        yield from reading(folder, max(100, int(1e6 * scale)), 3)
        yield from reading_segments(folder, max(250, int(1e6 * scale)), 3)
        for closed in (0, 3600):
            yield from night(
                folder, 20, max(100, int(NIGHT * scale)), closed and max(50, int(closed * scale))
            )
        yield from disk(folder, max(20.0, 3600 * scale))
        yield writing(folder, max(100, int(2e4 * scale)))
        if (records := int(1e6 * scale)) > EARLY and sys.platform == "linux":
            yield resident(folder, records)
