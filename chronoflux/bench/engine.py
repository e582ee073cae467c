"""``python -m chronoflux.bench``: speed of the engine on this machine, and of plain NumPy for comparison."""

from __future__ import annotations

import asyncio
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
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from chronoflux.bench import calibration, mesh
from chronoflux.bench.baseline_numpy import plain_step
from chronoflux.bench.calibration import pages
from chronoflux.bench.roofline import COPIED, Load, Times, copying, freeze, turning
from chronoflux.errors import UsageError
from chronoflux.model.engine import World, threads
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import State
from chronoflux.render.field_raster import rasterize_field
from chronoflux.render.palettes import FIELD_COLOURS
from chronoflux.render.rasterize import apply_colormap, draw_discs, phase_colours
from chronoflux.util.help_page import HelpPage, NearestChoice
from chronoflux.version import VERSION

PARTS = {"telemetry": "chronoflux.bench.telemetry", "studies": "chronoflux.bench.studies"}
"""Other benchmarks: modules with a function ``measure(quick, scale)`` that yields rows."""
FIRED_EVERY = 150
"""Ticks between two groups of three pulses."""
NIGHT = 1_800_000
"""Ticks of eight hours."""
SECOND = 62
"""Ticks between two records."""
BYTES = 176
"""Bytes read and written per oscillator-step at k = 8 in the classic regime.

Positions, velocities and phase (80), frequency (8), neighbours (32), list times (8); sine and cosine,
including fetching the lines that are written (48).
"""
MOVING, RESTING = 120, 56
"""The same for global coupling, with motion and with phases only."""


@dataclass(frozen=True)
class Row:
    """One measured case: median and best in `unit`; `target` is a minimum, or a maximum with `least`.

    ``bound``: the best value possible on this machine, measured in the same run by a loop that does less
    work: see :mod:`chronoflux.bench.roofline`. ``processors``: average number of processors that this process
    used; fewer than its threads means that other processes were using them.
    """

    case: str
    value: float | None
    unit: str
    target: float | None = None
    least: bool = False
    note: str = ""
    best: float | None = None
    bound: float | None = None
    processors: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value relative to the target; above 1 is better."""
        return self._better_than(self.target)

    @property
    def of_bound(self) -> float | None:
        """Value as a share of the bound."""
        return self._better_than(self.bound)

    def _better_than(self, other: float | None) -> float | None:
        if self.value is None or other is None or self.value == 0:
            return None
        return other / self.value if self.least else self.value / other


def world_for(n: int) -> World:
    """Return a world in which n oscillators are as dense as 220 in 800 × 600 px."""
    return 800 * (n / 220) ** 0.5, 600 * (n / 220) ** 0.5


def swarm(n: int, *, lively: bool = False, world: World | None = None, **changes: Any) -> Simulation:
    """Return a swarm at rest or, if `lively`, with velocities of N(0, 0.5) px/frame and no drag."""
    world = world or world_for(n)
    if not lively:
        return Simulation(Params(oscillators=n, world=world, **changes), seed=1)
    rng = np.random.default_rng(1)
    x, y, phi = (rng.random(n) * side for side in (*world, 2 * np.pi))
    state = State(x=x, y=y, vx=rng.normal(0, 0.5, n), vy=rng.normal(0, 0.5, n), phi=phi)
    return Simulation(Params(oscillators=n, world=world, eta=0.0, **changes), seed=1, state=state)


def pulses(world: World) -> Iterator[tuple[float, float]]:
    """Yield random places for pulses, without end."""
    rng = np.random.default_rng(2)
    while True:
        yield rng.random() * world[0], rng.random() * world[1]


def fire(sim: Simulation, places: Iterator[tuple[float, float]]) -> None:
    """Fire three pulses at the next places."""
    for _ in range(3):
        x, y = next(places)
        sim.intent(x=x, y=y)


def go(sim: Simulation, places: Iterator[tuple[float, float]], ticks: int) -> None:
    """Advance by `ticks` ticks, firing pulses when due."""
    while ticks:
        if sim.tick % FIRED_EVERY == 0:
            fire(sim, places)
        now = min(ticks, FIRED_EVERY - sim.tick % FIRED_EVERY)
        sim.advance(now)
        ticks -= now


def rate_row(
    case: str, target: float, make: Callable[[], Simulation], ticks: int, repeats: int, loads: list[Load]
) -> Row:
    """Return a row in millions of oscillator-steps per second.

    `loads` are reference loops, each with the number of steps whose work it does. The case, its loads, and
    the same case with frozen lists alternate, so that all of them see the same state of the machine.
    """
    sim = make()
    places = pulses(sim.params.world)
    n, knn = sim.params.oscillators, sim.params.coupling == "knn"
    go(sim, places, 3)
    if knn:
        other, likewise = make(), pulses(sim.params.world)
        go(other, likewise, 3)
        freeze(other)
        loads = [(partial(go, other, likewise, ticks), n * ticks), *loads]
    before, since = sim.looks, sim.tick
    times, *rest = Times.alternating([partial(go, sim, places, ticks), *(work for work, _ in loads)], repeats)
    most = min(size / load.best for load, (_, size) in zip(rest, loads, strict=True))
    share = (sim.looks - before) / (n * (sim.tick - since))
    note, million = "", n * ticks / 1e6
    if knn:
        spent = max(0.0, times.median - rest[0].median) / (n * ticks)
        step = times.median / n / ticks
        note = f"{share:.2%} of lists looked at a step, {spent * 1e9:.1f} ns of {step * 1e9:.1f}"
    return Row(
        case,
        million / times.median,
        "M steps/s",
        target,
        note=note,
        best=million / times.best,
        bound=most / 1e6,
        processors=times.processors,
    )


def least_row(case: str, times: Times, scale: float, unit: str, target: float, **more: Any) -> Row:
    """Return a row for which less time is better; seconds times `scale` are in `unit`."""
    return Row(
        case,
        times.median * scale,
        unit,
        target,
        True,
        best=times.best * scale,
        processors=times.processors,
        **more,
    )


def small_swarm(ticks: int, repeats: int) -> Row:
    """Step 220 oscillators in consecutive calls, with metrics once a second."""
    sim = swarm(220)

    def work() -> None:
        for _ in range(max(1, ticks // SECOND)):
            sim.advance(SECOND)
            sim.metrics()

    steps = max(1, ticks // SECOND) * SECOND
    bare = swarm(220)
    bare.advance()
    freeze(bare)
    times, frozen = Times.alternating([work, partial(bare.advance, steps)], repeats)
    return least_row(
        "n = 220, metrics once a second",
        times,
        1e6 / steps,
        "µs/step",
        12,
        bound=frozen.best * 1e6 / steps,
        note="bound: no metrics either",
    )


def night(ticks: int) -> Row:
    """Simulate eight hours, or their beginning, of 220 oscillators with a record per second."""
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
    """Draw the field as an image, without and with dots."""
    rng, world = np.random.default_rng(3), (800.0, 600.0)
    alive = np.array([[100.0, 200.0, 0.3, 80.0], [500.0, 300.0, 0.2, 80.0], [700.0, 20.0, 0.1, 80.0]])
    x, y, phi = (rng.random(dots) * side for side in (*world, 2 * np.pi))

    def field() -> Any:
        return apply_colormap(rasterize_field(800, 600, world, False, 1.0, False, alive), FIELD_COLOURS)

    def both() -> None:
        draw_discs(field(), x, y, phase_colours(phi))

    case = "field as an 800 × 600 RGB picture"
    return [
        least_row(case, Times.of(field, repeats), 1e3, "ms", 1.5),
        least_row(f"field and {dots:,} dots", Times.of(both, repeats), 1e3, "ms", 4),
    ]


_COLD = "from chronoflux.model.simulation import Simulation; Simulation(seed=1).advance(1)"
_MEMORY = """
import re, sys
from chronoflux.bench import engine as bench
def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
bench.swarm(20_000).advance(2)
before = kilobytes("VmRSS")
sim = bench.swarm(int(sys.argv[1])); sim.advance(3)
print(1024 * (kilobytes("VmHWM") - before))
"""


def python(code: str, *arguments: str, pycache: str = "") -> str:
    """Return what a new Python process prints; `pycache`, if given, is its folder for compiled modules."""
    environment = dict(os.environ)
    if pycache:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = pycache
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def processes(n: int, repeats: int) -> list[Row]:
    """Measure what needs separate processes: the cold start, and memory."""
    with TemporaryDirectory() as folder:
        cold = Times.of(partial(python, _COLD, pycache=folder), repeats)
        bare = Times.of(partial(python, "import numpy, numba, msgspec", pycache=folder), repeats)
    case, note = "cold start to the first step, cache warm", "bound: importing numba and NumPy alone"
    rows = [Row(case, cold.median, "s", 1.5, True, note, cold.best, bare.best)]
    if sys.platform == "linux":
        taken = float(python(_MEMORY, str(n))) / n
        rows.append(Row(f"memory at n = {n:,}", taken, "B/oscillator", 250, True, "peak, start included"))
    return rows


def without_the_engine(n: int, repeats: int) -> Row:
    """Measure the same step in NumPy, with SciPy's periodic k-d tree for neighbours."""
    case = f"NumPy and cKDTree, n = {n:,}"
    try:
        step = plain_step(swarm(n))
    except ImportError:
        return Row(case, None, "M steps/s", note="not measured: scipy is not installed")
    times = Times.of(step, repeats)
    million, note = n / 1e6, "what one would write without it"
    rates = million / times.median, million / times.best
    return Row(case, rates[0], "M steps/s", note=note, best=rates[1], processors=times.processors)


def measure(quick: bool, scale: float) -> Iterator[Row]:
    """Yield all rows; `quick` uses fewer repeats and smaller swarms."""

    def size(n: int) -> int:
        return max(20, int(n * scale))

    def count(ticks: int) -> int:
        return max(1, int(ticks * min(scale, 1) * (0.3 if quick else 1)))

    most = max(1000, int(2e7 * min(scale, 1)))  # floats: much more than caches hold
    (copy, copied), (turn, turned) = copying(most), turning()
    for case, load, unit in (
        ("memory bandwidth, copying", (copy, copied / 1e9), "GB/s"),
        ("sine and cosine, in the caches", (turn, turned / 1e6), "M pairs/s"),
    ):
        times = Times.of(load[0], 7)
        yield Row(case, load[1] / times.median, unit, best=load[1] / times.best, processors=times.processors)
    large, repeats = (200_000, 3) if quick else (1_000_000, 5)

    def moving(n: int, bytes_: int) -> Load:
        """Return a load that copies as many bytes as n steps read and write, with the same use of caches."""
        floats = max(1, n * bytes_ // COPIED)
        work, done = copying(floats, -(-most // floats))
        return work, done / bytes_

    for lively, targets in ((False, (60, 60, 50)), (True, (12, 12, 12))):
        name = "lively" if lively else "classic"
        for n, target, ticks in zip((large, 100_000, 5000), targets, (40, 150, 3000), strict=True):
            n, ticks = size(n), count(ticks // 4 if lively else ticks)
            make = partial(swarm, n, lively=lively)
            yield rate_row(f"{name}, n = {n:,}", target, make, ticks, repeats, [moving(n, BYTES)])
    n = size(large)
    crowded = partial(swarm, n, world=(800.0, 600.0))
    case = f"classic, n = {n:,} in 800 × 600 px"
    yield rate_row(case, 15, crowded, count(20), repeats, [moving(n, BYTES)])
    for name, target, bytes_, gamma in (
        ("with motion", 100, MOVING, 0.55),
        ("phases only", 300, RESTING, 0.0),
    ):
        make = partial(swarm, n, coupling="global", gamma=gamma)
        loads = [moving(n, bytes_), (turn, turned)]
        yield rate_row(f"global, n = {n:,}, {name}", target, make, count(60), repeats, loads)
    yield small_swarm(count(1000), 3 * repeats)
    yield night(count(NIGHT) // (40 if quick else 1))
    yield from pictures(size(100_000), 5 * repeats)
    yield from processes(n, repeats)
    for n in (size(5000), size(large)):
        yield without_the_engine(n, 3)


def machine() -> dict[str, Any]:
    """Return a description of the machine and the versions used."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = {name: version(name) for name in ("numpy", "numba")}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "machine": model,
        "threads": threads(),
        "load": load,
        "python": platform.python_version(),
        "chronoflux": VERSION,
        **packages,
    }


def number(value: float | None, form: str = "{:.3g}") -> str:
    return "" if value is None else form.format(value)


def line(row: Row) -> str:
    """Format a row of the table."""
    value = "–" if row.value is None else number(row.value)
    target = number(row.target, ("≤" if row.least else "≥") + " {:g}")
    ratio, part = number(row.ratio, "× {:.2f}"), number(row.of_bound, "{:.0%}")
    columns = f"{row.case:46} {value:>7} {number(row.best):>7} {row.unit:12} {target:>6} {ratio:>7}"
    columns += f" {number(row.bound):>7} {part:>5} {number(row.processors, '{:.1f}'):>5}  {row.note}"
    return columns.rstrip()


def head() -> str:
    """Return the header for the columns of :func:`line`."""
    return (
        f"{'case':46} {'median':>7} {'best':>7} {'unit':12} {'target':>6} {'of it':>7}"
        f" {'bound':>7} {'of it':>5} {'procs':>5}  note"
    )


@click.command(
    cls=HelpPage, examples=("chronoflux bench --quick", "chronoflux bench mesh --quick --json mesh.json")
)
@click.argument("what", default="engine", type=NearestChoice(["engine", "mesh", "calibration", *PARTS]))
@click.option("--quick", is_flag=True, help="Fewer repeats and smaller cases: under a minute.")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows here too."
)
@click.option("--cells", default="", help="calibration: only cells whose name contains this.")
@click.option(
    "--repetitions",
    default=1000,
    type=click.IntRange(1),
    show_default=True,
    help="calibration: of each cell.",
)
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="calibration: keep cells that are done in this file, and go on where it ends.",
)
@click.option("--jobs", type=click.IntRange(1), help="calibration: so many processes; else one a processor.")
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    help="calibration: write the table of all that is in --results here, as Markdown.",
)
@click.option("--scale", default=1.0, type=click.FloatRange(min=0, min_open=True), hidden=True)
def main(
    what: str,
    quick: bool,
    path: Path | None,
    cells: str,
    repetitions: int,
    results: Path | None,
    jobs: int | None,
    write: Path | None,
    scale: float,
) -> None:
    """Measure the engine, the mesh and its server, telemetry, or studies: medians of repeated runs.

    calibration: how often p ≤ 0.05 on data without an effect, and on data with one, for `--repetitions` draws
    of each cell. All cells take many hours: `--cells` selects some, and `--results` continues an interrupted
    run. `--write` makes docs/calibration.md from the results.

    engine, classic: the defaults, with hardly any motion. lively: velocities of N(0, 0.5) px/frame and no
    drag. Both have 8 neighbours, three pulses every 150 steps, and the default density, unless stated.
    Columns after the value: the target, and the value relative to it; the bound of this machine, measured in
    the same run (a step with frozen neighbour lists, memory bandwidth, sines only), and the share of it; the
    number of processors used.
    """
    where = machine()
    if write is not None and results is None:
        raise UsageError("--write without --results: the table is made of what was kept there")
    if what == "mesh":
        asyncio.run(mesh.bench(quick, scale, where, path))
        return
    click.echo(", ".join(f"{name} {value}" for name, value in where.items()))
    if what == "calibration":
        repetitions = min(repetitions, 50) if quick else repetitions
        for text in calibration.measure(cells, repetitions, results=results, jobs=jobs):
            click.echo(text)
        if write is not None:
            write.parent.mkdir(parents=True, exist_ok=True)
            write.write_text(pages.document(results, where), encoding="utf-8")
        return
    click.echo(head())
    rows = []
    rows_of = import_module(PARTS[what]).measure if what in PARTS else measure
    for row in rows_of(quick, scale):
        rows.append(row)
        click.echo(line(row))
    if path is not None:
        table = [asdict(row) | {"ratio": row.ratio, "of_bound": row.of_bound} for row in rows]
        path.write_text(
            json.dumps({**where, "quick": quick, "rows": table}, indent=1, ensure_ascii=False),
            encoding="utf-8",
        )
