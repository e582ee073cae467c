"""``python -m chronoflux.bench``: how fast the engine is here, beside what one would write without it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from chronoflux.model import threads
from chronoflux.model.field import pressure_grid
from chronoflux.model.params import Params
from chronoflux.model.raster import FIELD_COLOURS, add_dots, field_image, phase_colours
from chronoflux.model.simulation import Simulation
from chronoflux.model.swarm import Floats, State, World
from chronoflux.version import VERSION

PARTS = {"telemetry": "chronoflux.bench_telemetry"}
"""What can be measured besides the engine: a module with a function ``measure(quick, scale)`` of rows."""
FIRED_EVERY = 150
"""Ticks from one three pulses to the next."""
NIGHT = 1_800_000
"""Ticks of eight hours."""
SECOND = 62
"""Ticks from one record to the next."""
BYTES = 176
"""What a calm oscillator-step at k = 8 reads and writes: positions, velocities, phase (80),
frequency (8), neighbours (32), list times (8), sine and cosine read, and written to lines that are fetched
first (48)."""


@dataclass(frozen=True)
class Row:
    """One case measured: `value` in `unit`, to be at least `target`, or at most where `least`."""

    case: str
    value: float | None
    unit: str
    target: float | None = None
    least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as good as the target."""
        if self.value is None or self.target is None or self.value == 0:
            return None
        return self.target / self.value if self.least else self.value / self.target


def world_for(n: int) -> World:
    """The world in which n oscillators are as dense as 220 in 800 × 600 px."""
    return 800 * (n / 220) ** 0.5, 600 * (n / 220) ** 0.5


def swarm(n: int, *, lively: bool = False, world: World | None = None, **changes: Any) -> Simulation:
    """A swarm as the cases have it: at rest, or with velocities of N(0, 0.5) px a frame and no drag."""
    world = world or world_for(n)
    if not lively:
        return Simulation(Params(oscillators=n, world=world, **changes), seed=1)
    rng = np.random.default_rng(1)
    x, y, phi = (rng.random(n) * side for side in (*world, 2 * np.pi))
    state = State(x=x, y=y, vx=rng.normal(0, 0.5, n), vy=rng.normal(0, 0.5, n), phi=phi)
    return Simulation(Params(oscillators=n, world=world, eta=0.0, **changes), seed=1, state=state)


def pulses(world: World) -> Iterator[tuple[float, float]]:
    """Places for pulses, without end."""
    rng = np.random.default_rng(2)
    while True:
        yield rng.random() * world[0], rng.random() * world[1]


def speed(sim: Simulation, ticks: int, repeats: int) -> tuple[float, float]:
    """Median oscillator-steps a second, pulses being fired, and the share of lists looked at a step."""
    places, n, times = pulses(sim.params.world), sim.params.oscillators, []

    def go(count: int) -> None:
        while count:
            if sim.tick % FIRED_EVERY == 0:
                for _ in range(3):
                    x, y = next(places)
                    sim.intent(x=x, y=y)
            now = min(count, FIRED_EVERY - sim.tick % FIRED_EVERY)
            sim.advance(now)
            count -= now

    go(3)
    before = sim.looks
    for _ in range(repeats):
        start = time.perf_counter()
        go(ticks)
        times.append(time.perf_counter() - start)
    return n * ticks / median(times), (sim.looks - before) / (n * ticks * repeats)


def rate_row(case: str, target: float, sim: Simulation, ticks: int, repeats: int) -> Row:
    """A row of millions of oscillator-steps a second."""
    rate, share = speed(sim, ticks, repeats)
    note = f"{share:.1%} of lists looked at a step" if sim.looks else ""
    return Row(case, rate / 1e6, "M steps/s", target, note=note)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median time of `work`, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def small_swarm(ticks: int, repeats: int) -> Row:
    """220 oscillators in one call after another, with metrics once a second."""
    sim = swarm(220)

    def work() -> None:
        for _ in range(max(1, ticks // SECOND)):
            sim.advance(SECOND)
            sim.metrics()

    took = seconds(work, repeats) / (max(1, ticks // SECOND) * SECOND)
    return Row("n = 220, metrics once a second", took * 1e6, "µs/step", 12, True)


def night(ticks: int) -> Row:
    """Eight hours of 220 oscillators with a record a second, or the first part of them."""
    sim, records = swarm(220), []
    sim.advance(SECOND)
    start = time.perf_counter()
    for _ in range(max(1, ticks // SECOND)):
        sim.advance(SECOND)
        records.append({"tick": sim.tick, **sim.metrics()})
    took = (time.perf_counter() - start) * NIGHT / (len(records) * SECOND)
    note = "" if ticks >= NIGHT else f"from its first {len(records) * SECOND} steps"
    return Row("n = 220, a night of 8 h, a record a second", took, "s", 30, True, note)


def pictures(dots: int, repeats: int) -> list[Row]:
    """The field as a picture, and with dots in it."""
    rng, world = np.random.default_rng(3), (800.0, 600.0)
    alive = np.array([[100.0, 200.0, 0.3, 80.0], [500.0, 300.0, 0.2, 80.0], [700.0, 20.0, 0.1, 80.0]])
    x, y, phi = (rng.random(dots) * side for side in (*world, 2 * np.pi))

    def field() -> Any:
        return field_image(pressure_grid(800, 600, world, False, 1.0, False, alive), FIELD_COLOURS)

    def both() -> None:
        add_dots(field(), x, y, phase_colours(phi))

    return [
        Row("field as an 800 × 600 RGB picture", seconds(field, repeats) * 1e3, "ms", 1.5, True),
        Row(f"field and {dots:,} dots", seconds(both, repeats) * 1e3, "ms", 4, True),
    ]


_COLD = "from chronoflux.model.simulation import Simulation; Simulation(seed=1).advance(1)"
_MEMORY = """
import re, sys
from chronoflux import bench
def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
bench.swarm(20_000).advance(2)
before = kilobytes("VmRSS")
sim = bench.swarm(int(sys.argv[1])); sim.advance(3)
print(1024 * (kilobytes("VmHWM") - before))
"""


def python(code: str, *arguments: str, pycache: str = "") -> str:
    """What a new Python process prints, with compiled modules kept in the folder `pycache`, if given."""
    environment = dict(os.environ)
    if pycache:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = pycache
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def processes(n: int, repeats: int) -> list[Row]:
    """What is measured in processes of their own: the start, and memory."""
    with TemporaryDirectory() as folder:
        cold = seconds(partial(python, _COLD, pycache=folder), repeats)
    rows = [Row("cold start to the first step, cache warm", cold, "s", 1.5, True)]
    if sys.platform == "linux":
        taken = float(python(_MEMORY, str(n))) / n
        rows.append(Row(f"memory at n = {n:,}", taken, "B/oscillator", 250, True, "peak, start included"))
    return rows


def without_the_engine(n: int, repeats: int) -> Row:
    """The same step in NumPy, with SciPy's periodic tree for the neighbours."""
    case = f"NumPy and cKDTree, n = {n:,}"
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        return Row(case, None, "M steps/s", note="not measured: scipy is not installed")
    p, s = swarm(n).params, swarm(n).state
    x, y, phi = s.x.copy(), s.y.copy(), s.phi.copy()
    vx, vy, world, tick = np.zeros(n), np.zeros(n), p.world, 0

    def step() -> None:
        nonlocal x, y, vx, vy, phi, tick
        gx, gy = _slope(x, y, tick * p.dt, world)
        vx += (-p.gamma * gx - p.eta * vx) * p.dt
        vy += (-p.gamma * gy - p.eta * vy) * p.dt
        x, y = (x + 60 * vx * p.dt) % world[0], (y + 60 * vy * p.dt) % world[1]
        points = np.column_stack([x, y])
        near = cKDTree(points, boxsize=world).query(points, k=p.neighbours + 1, workers=-1)[1][:, 1:]
        pull = np.sin(phi[near] - phi[:, None]).mean(axis=1)
        phi = (phi + p.dt * (2 * np.pi * p.frequency + p.kappa * pull)) % (2 * np.pi)
        tick += 1

    return Row(case, n / seconds(step, repeats) / 1e6, "M steps/s", note="what one would write without it")


def _slope(x: Floats, y: Floats, t: float, world: World) -> tuple[Floats, Floats]:
    """The jet's gradient and that of three pulses, as one writes it in NumPy."""
    s = (x - 0.2 * world[0]) * np.cos(0.35) + (y - 0.78 * world[1]) * np.sin(0.35)
    d = -(x - 0.2 * world[0]) * np.sin(0.35) + (y - 0.78 * world[1]) * np.cos(0.35)
    wave, width = 2 * np.pi / 140, 0.33 * 140
    envelope = 0.45 * np.exp(-(d**2) / (2 * width**2))
    along, across = envelope * wave * np.cos(wave * s - 3.08 * t), -envelope * d / width**2
    across *= np.sin(wave * s - 3.08 * t)
    gx, gy = along * np.cos(0.35) - across * np.sin(0.35), along * np.sin(0.35) + across * np.cos(0.35)
    for part in (0.2, 0.5, 0.8):
        dx, dy = x - part * world[0], y - part * world[1]
        dx, dy = dx - world[0] * np.rint(dx / world[0]), dy - world[1] * np.rint(dy / world[1])
        bell = 0.2 * np.exp(-(dx**2 + dy**2) / (2 * 80**2)) / 80**2
        gx, gy = gx - bell * dx, gy - bell * dy
    return gx, gy


def bandwidth(n: int, repeats: int) -> Row:
    """Bytes read and written a second when arrays are copied on all threads."""
    a, b = np.zeros(n), np.ones(n)

    def copy() -> None:
        threads.over(threads.ranges(n, 1), lambda first, end: np.copyto(a[first:end], b[first:end]))

    rate = 3 * a.nbytes / seconds(copy, repeats)  # a line is fetched before it is written
    note = f"allows {rate / BYTES / 1e6:.0f} M calm steps/s at {BYTES} B a step"
    return Row("memory bandwidth, copying", rate / 1e9, "GB/s", note=note)


def measure(quick: bool, scale: float) -> Iterator[Row]:
    """All rows, one after another; `quick` with fewer repeats and a tenth of the largest swarms."""

    def size(n: int) -> int:
        return max(20, int(n * scale))

    def count(ticks: int) -> int:
        return max(1, int(ticks * min(scale, 1) * (0.3 if quick else 1)))

    large, repeats = (200_000, 3) if quick else (1_000_000, 5)
    for lively, targets in ((False, (60, 60, 50)), (True, (12, 12, 12))):
        name = "lively" if lively else "classic"
        for n, target, ticks in zip((large, 100_000, 5000), targets, (40, 150, 3000), strict=True):
            n, ticks = size(n), count(ticks // 4 if lively else ticks)
            yield rate_row(f"{name}, n = {n:,}", target, swarm(n, lively=lively), ticks, repeats)
    n = size(large)
    crowded = swarm(n, world=(800.0, 600.0))
    yield rate_row(f"classic, n = {n:,} in 800 × 600 px", 15, crowded, count(20), repeats)
    moving = swarm(n, coupling="global")
    yield rate_row(f"global, n = {n:,}, with motion", 100, moving, count(60), repeats)
    still = swarm(n, coupling="global", gamma=0.0)
    yield rate_row(f"global, n = {n:,}, phases only", 300, still, count(60), repeats)
    del crowded, moving, still
    yield small_swarm(count(1000), 3 * repeats)
    yield night(count(NIGHT) // (40 if quick else 1))
    yield from pictures(size(100_000), 5 * repeats)
    yield from processes(n, repeats)
    for n in (size(5000), size(large)):
        yield without_the_engine(n, 3)
    yield bandwidth(max(1000, int(2e7 * min(scale, 1))), repeats)


def machine() -> dict[str, Any]:
    """Where this is measured, and with what."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = {name: version(name) for name in ("numpy", "numba")}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "machine": model,
        "threads": threads.count,
        "load": load,
        "python": platform.python_version(),
        "chronoflux": VERSION,
        **packages,
    }


def line(row: Row) -> str:
    """A row of the table as text."""
    value = "–" if row.value is None else f"{row.value:.3g}"
    target = "" if row.target is None else f"{'≤' if row.least else '≥'} {row.target:g}"
    ratio = "" if row.ratio is None else f"× {row.ratio:.2f}"
    return f"{row.case:46} {value:>8} {row.unit:12} {target:>7} {ratio:>8}  {row.note}".rstrip()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("part", type=click.Choice(["engine", *PARTS]), default="engine")
@click.option("--quick", is_flag=True, help="Fewer repeats and smaller cases: under a minute.")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows here too."
)
@click.option("--scale", default=1.0, type=click.FloatRange(min=0, min_open=True), hidden=True)
def main(part: str, quick: bool, path: Path | None, scale: float) -> None:
    """Measure a PART on this machine: the engine, or what else is named; medians of repeated runs.

    engine, classic: the defaults, where hardly anything moves. lively: velocities of N(0, 0.5) px a frame
    and no drag. Both with 8 neighbours, three pulses every 150 steps, and a world as dense as the default
    one, unless said. Beside each value what was aimed at, and how many times as good as that it is.
    """
    where = machine()
    click.echo(", ".join(f"{name} {value}" for name, value in where.items()))
    rows = []
    rows_of = import_module(PARTS[part]).measure if part in PARTS else measure
    for row in rows_of(quick, scale):
        rows.append(row)
        click.echo(line(row))
    if path is not None:
        table = [asdict(row) | {"ratio": row.ratio} for row in rows]
        path.write_text(json.dumps({**where, "quick": quick, "rows": table}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
