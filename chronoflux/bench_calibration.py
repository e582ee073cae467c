"""``python -m chronoflux.bench calibration``: how often p is 0.05 or less where nothing is to be found.

Each measure with its surrogates is put to data of which the answer is known, many times. A cell where nothing
is to be found fails when the share of p ≤ 0.05, among those not refused, is beyond doubt above: the lower
Clopper–Pearson bound at 1 − 0.05/cells. Power, and what each finds in rooms with a common driver or a chain,
stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.chance import assess
from chronoflux.analysis.checks import library
from chronoflux.analysis.complexity import lempel_ziv, permutation_entropy
from chronoflux.analysis.criticality import early_warnings
from chronoflux.analysis.information import (
    active_storage_nats,
    mutual_information_nats,
    transfer_entropy_nats,
)
from chronoflux.analysis.integration import o_information_nats, phi_r_nats
from chronoflux.analysis.pulling import pulls
from chronoflux.analysis.response import dose_response, epoch_response, superposed_epochs
from chronoflux.analysis.result import Result
from chronoflux.analysis.room_events import spreads
from chronoflux.analysis.rooms import information_flow
from chronoflux.analysis.spreading import spread
from chronoflux.analysis.surrogates import block_shuffles, event_shuffles
from chronoflux.errors import ParameterError
from chronoflux.model.simulation import Simulation
from chronoflux.preset import PRESETS
from chronoflux.replay.parallel import run_all

Floats = NDArray[np.float64]
Kind = Literal["size", "power", "told"]
LENGTHS = (150, 300, 600)
LEVEL = 0.05
COUNT = 39
"""Surrogates a judgement: p may be 0.05 exactly."""
START_UP = 60
"""Seconds left out of a swarm without its start-up."""
BATCH = 25
"""Repetitions that a processor does in one go."""
SWARMS = 48
"""Different swarms of which rooms of strangers are drawn; rooms of the same swarms are not independent."""


@dataclass(frozen=True)
class Room:
    """Series that a measure is put to: `H` and, of swarms, `psi` (n, nodes)."""

    H: Floats
    psi: Floats | None = None

    def frame(self) -> Any:
        """As logs are loaded: a record a second."""
        import pandas as pd

        n, k = self.H.shape
        t = np.repeat(np.arange(n), k) + 1.7e9
        names = np.tile([f"n{j}" for j in range(k)], n)
        facts = {"time": pd.to_datetime(t, unit="s", utc=True), "node": names, "run": names, "at": t * 1e3}
        psi = 0.0 if self.psi is None else np.angle(np.exp(1j * self.psi)).ravel()
        return pd.DataFrame(
            {**facts, "room": "r", "type": "telemetry", "omega": 0.0, "H": self.H.ravel(), "psi": psi}
        )


@dataclass(frozen=True)
class Cell:
    """One question: a measure, data by name, and how many samples."""

    measure: str
    data: str
    n: int
    kind: Kind

    @property
    def name(self) -> str:
        """As it is listed and chosen."""
        return f"{self.measure} / {self.data} / {self.n}"


@dataclass
class Count:
    """What a cell gave: repetitions, how many of them were refused, and in how many p was 0.05 or less."""

    repetitions: int = 0
    refused: int = 0
    found: int = 0

    def interval(self, level: float) -> tuple[float, float]:
        """Clopper and Pearson's, of the share found among those not refused, each side at (1 − level)/2."""
        beta = library("scipy.stats", "calibration").beta
        n, k, tail = self.repetitions - self.refused, self.found, (1 - level) / 2
        low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
        return low, high


def autoregressive(a: float, n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Independent AR(1) series of unit noise that have forgotten their start, (n, columns)."""
    noise = rng.normal(size=(n + 400, columns))
    for t in range(1, len(noise)):
        noise[t] += a * noise[t - 1]
    return noise[400:]


def _ar(a: float, n: int, rng: np.random.Generator) -> Room:
    return Room(autoregressive(a, n, 3, rng))


def _trends(n: int, rng: np.random.Generator) -> Room:
    slope = rng.uniform(1, 4, 3) * rng.choice([-1, 1], 3)
    return Room(autoregressive(0.5, n, 3, rng) + slope * np.arange(n)[:, None] / n)


def _steps(n: int, rng: np.random.Generator) -> Room:
    at, size = rng.uniform(0.2, 0.8, 3) * n, rng.uniform(1, 4, 3)
    return Room(autoregressive(0.5, n, 3, rng) + size * (np.arange(n)[:, None] > at))


def _driven(n: int, rng: np.random.Generator) -> Room:
    x = autoregressive(0.5, n, 3, rng)
    for t in range(1, n):
        x[t, 1] += 0.4 * x[t - 1, 0]
    return Room(x)


def _correlated(n: int, rng: np.random.Generator) -> Room:
    x = autoregressive(0.5, n, 3, rng)
    return Room(x + autoregressive(0.5, n, 1, rng) * 0.8)


def _followed(n: int, rng: np.random.Generator) -> Room:
    x = autoregressive(0.5, n + 3, 3, rng)
    x[3:, 1] += 0.7 * x[:-3, 0]
    return Room(x[3:])


def _common_driver(n: int, rng: np.random.Generator) -> Room:
    x = autoregressive(0.5, n + 1, 3, rng)
    x[1:, 1:] += 0.5 * x[:-1, :1]
    return Room(x[1:])


def _chain(n: int, rng: np.random.Generator) -> Room:
    x = autoregressive(0.5, n + 2, 3, rng)
    x[1:, 1] += 0.5 * x[:-1, 0]
    x[1:, 2] += 0.5 * x[:-1, 1]
    return Room(x[2:])


def _nonlinear(n: int, rng: np.random.Generator) -> Room:
    x = rng.normal(size=(n, 3))
    x[1:, 1] = x[:-1, 0] ** 2 + 0.5 * rng.normal(size=n - 1)
    return Room(x)


def _logistic(n: int, rng: np.random.Generator) -> Room:
    x, found = rng.uniform(0.1, 0.9, 3), np.empty((n, 3))
    for t in range(n + 100):
        x = 4 * x * (1 - x) * (1 - 1e-12)
        if t >= 100:
            found[t - 100] = x
    return Room(found)


def _slowing(n: int, rng: np.random.Generator) -> Room:
    x, a = rng.normal(size=(n, 3)), np.linspace(0.0, 0.97, n)
    for t in range(1, n):
        x[t] += a[t] * x[t - 1]
    return Room(x)


def swarm(job: tuple[str, int]) -> Floats:
    """H and psi of one swarm of 100 oscillators of a preset, once a second for 660 s: (seconds, 2)."""
    preset, seed = job
    sim = Simulation(PRESETS[preset].replace(oscillators=100), seed=seed)
    course = np.empty((max(LENGTHS) + START_UP, 2))
    for second in range(len(course)):
        sim.advance(62 + second % 2)
        found = sim.metrics()
        course[second] = found["H"], found["psi"] + found["omega"] * (second + 1 - sim.t)
    return course


@lru_cache(maxsize=8)
def _pool(preset: str) -> Floats:
    return np.stack([swarm((preset, 1000 + k)) for k in range(SWARMS)], axis=1)


def _strangers(preset: str, skip: int, n: int, rng: np.random.Generator) -> Room:
    pool = _pool(preset)[skip : skip + n, rng.permutation(SWARMS)[:3]]
    apart = 2 * np.pi * np.linspace(-0.1, 0.1, 3) * np.arange(n)[:, None]
    return Room(pool[..., 0], pool[..., 1] + apart)


DATA: dict[str, Callable[[int, np.random.Generator], Room]] = {
    "white noise": partial(_ar, 0.0),
    "AR(.5)": partial(_ar, 0.5),
    "AR(.9)": partial(_ar, 0.9),
    "AR(.98)": partial(_ar, 0.98),
    "trends": _trends,
    "steps": _steps,
    **{f"strangers, {name}": partial(_strangers, name, 0) for name in PRESETS},
    **{f"strangers, {name}, settled": partial(_strangers, name, START_UP) for name in PRESETS},
}
"""Where series have nothing to do with each other."""
LINKED: dict[str, Callable[[int, np.random.Generator], Room]] = {
    "driven": _driven,
    "correlated": _correlated,
    "followed": _followed,
    "nonlinear": _nonlinear,
    "logistic map": _logistic,
    "slowing down": _slowing,
    "common driver": _common_driver,
    "chain": _chain,
}
"""Where there is something to be found."""


def _by_shift(measure: Callable[..., Result], room: Room, seed: int, **options: Any) -> float:
    return _p(assess(measure, room.H[:, 0], room.H[:, 1], count=COUNT, seed=seed, segments=2, **options))


def _of_one(measure: Callable[..., Result], room: Room, seed: int, **options: Any) -> float:
    return _p(assess(measure, room.H[:, 0], count=COUNT, seed=seed, segments=2, **options))


def _p(found: Result) -> float:
    return 1.0 if found.p is None else found.p


def _of_room(measure: Callable[..., Any], room: Room, seed: int, *more: str) -> float:
    return float(measure(room.frame(), *more, count=COUNT, seed=seed)["p"].min())


def _slowing_trend(x: Floats) -> Result:
    return early_warnings(x, window=len(x) // 3).lag1_trend


def _events(n: int, rng: np.random.Generator) -> Floats:
    return np.sort(rng.choice(np.arange(12.0, n - 32), max(6, n // 40), replace=False))


def _change(x: Floats, t: Floats, events: Floats) -> Result:
    return epoch_response(superposed_epochs(x, t, events, resamples=100), count=0)


def _epochs(room: Room, seed: int, *, signs: bool) -> float:
    rng, n = np.random.default_rng(seed), len(room.H)
    t, events = np.arange(float(n)), _events(n, rng)
    if signs:
        found = superposed_epochs(room.H[:, 0], t, events, resamples=100)
        return _p(epoch_response(found, count=199, seed=seed))
    shuffled = partial(event_shuffles, start=0.0, end=n - 1.0, step=1.0)
    arrays = room.H[:, 0], t, events
    return _p(assess(_change, *arrays, which=2, count=COUNT, tail="both", surrogate=shuffled, seed=seed))


def _doses(room: Room, seed: int) -> float:
    rng, n = np.random.default_rng(seed), len(room.H)
    events = _events(n, rng).astype(int)
    answer = np.array([room.H[e : e + 5, 0].mean() - room.H[e - 5 : e, 0].mean() for e in events])
    return _p(dose_response(rng.random(len(events)), answer, count=199, seed=seed).slope)


def _spread(room: Room, seed: int) -> float:
    x, y = room.H[:, :2].T
    return _p(spread(x, y, step=1.0, longest=10.0, count=COUNT, seed=seed).correlation)


def _shuffled(x: Floats, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    return block_shuffles(x, count, rng, block=1)


IID, LINEAR = ("white noise",), ("white noise", "AR(.5)", "AR(.9)", "AR(.98)")
UNRELATED = tuple(DATA)
SWARMS_ONLY = tuple(name for name in DATA if name.startswith("strangers"))
MEASURES: dict[str, tuple[Callable[[Room, int], float], tuple[str, ...], tuple[str, ...]]] = {
    "pulls × shift": (partial(_of_room, pulls), SWARMS_ONLY, ()),
    "information_flow × shift": (
        partial(_of_room, information_flow),
        UNRELATED,
        ("driven", "common driver", "chain"),
    ),
    "information_flow, phase × shift": (
        lambda r, s: _of_room(information_flow, r, s, "phase"),
        SWARMS_ONLY,
        (),
    ),
    "spreads × shift": (partial(_of_room, spreads), UNRELATED, ("followed", "common driver", "chain")),
    "spreads, phase × shift": (lambda r, s: _of_room(spreads, r, s, "phase"), SWARMS_ONLY, ()),
    "MI × shift": (partial(_by_shift, mutual_information_nats), UNRELATED, ("correlated",)),
    "MI × block": (
        partial(_by_shift, mutual_information_nats, surrogate="block", block=25),
        UNRELATED,
        ("correlated",),
    ),
    "TE × shift": (partial(_by_shift, transfer_entropy_nats), UNRELATED, ("driven",)),
    "TE by KSG × shift": (partial(_by_shift, transfer_entropy_nats, method="ksg"), UNRELATED, ("nonlinear",)),
    "Φ_R × shift": (
        lambda r, s: _p(assess(phi_r_nats, r.H[:, :2], together=False, count=COUNT, seed=s, segments=2)),
        UNRELATED,
        ("driven",),
    ),
    "O-information × shift": (
        lambda r, s: _p(
            assess(o_information_nats, r.H, together=False, count=COUNT, tail="both", seed=s, segments=2)
        ),
        UNRELATED,
        ("correlated",),
    ),
    "spread × shift": (_spread, UNRELATED, ("followed",)),
    "permutation entropy × IAAFT": (
        partial(_of_one, permutation_entropy, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map",),
    ),
    "Lempel–Ziv × IAAFT": (
        partial(_of_one, lempel_ziv, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map",),
    ),
    "active storage × shuffle": (
        partial(_of_one, active_storage_nats, surrogate=_shuffled),
        IID,
        ("driven",),
    ),
    "early warning × IAAFT": (
        partial(_of_one, _slowing_trend, surrogate="iaaft", stationary=True),
        LINEAR,
        ("slowing down",),
    ),
    "event response × signs": (partial(_epochs, signs=True), LINEAR, ()),
    "event response × event shuffles": (partial(_epochs, signs=False), LINEAR, ()),
    "dose response × permutation": (_doses, LINEAR, ()),
}
"""Each measure with its surrogates: what it gives as p, data with nothing to be found, and with something."""
TOLD = ("common driver", "chain")


def cells(wanted: str = "") -> list[Cell]:
    """All cells whose name contains `wanted`."""
    found = []
    for measure, (_, nothing, something) in MEASURES.items():
        for data in (*nothing, *something):
            kind: Kind = "size" if data in DATA else "told" if data in TOLD else "power"
            found += [Cell(measure, data, n, kind) for n in LENGTHS]
    return [cell for cell in found if wanted in cell.name]


def batch(job: tuple[Cell, int, int]) -> Count:
    """So many repetitions of a cell, from a number on."""
    cell, first, repetitions = job
    work, make = MEASURES[cell.measure][0], (DATA | LINKED)[cell.data]
    count = Count(repetitions)
    for seed in range(first, first + repetitions):
        room = make(cell.n, np.random.default_rng([seed, cell.n]))
        try:
            count.found += work(room, seed) <= LEVEL + 1e-12
        except ParameterError:
            count.refused += 1
    return count


def line(cell: Cell, count: Count, cells_in_all: int) -> str:
    """A row of the table."""
    left = count.repetitions - count.refused
    share = "    –" if not left else f"{count.found / left:5.3f}"
    low, high = count.interval(0.95) if left else (0.0, 1.0)
    refused = count.refused / count.repetitions
    beyond = left and count.interval(1 - 2 * LEVEL / cells_in_all)[0] > LEVEL
    verdict = {"size": "FAILS" if beyond else "", "power": "power", "told": "told"}[cell.kind]
    columns = (
        f"{cell.measure:32} {cell.data:28} {cell.n:4} {left:6} {share} {low:5.3f}–{high:5.3f} {refused:7.3f}"
    )
    return f"{columns}  {verdict}".rstrip()


HEAD = f"{'measure × surrogate':32} {'data':28} {'n':>4} {'asked':>6} p≤.05 {'95 %':^11} refused"


def measure(wanted: str, repetitions: int) -> Iterator[str]:
    """The table, line by line, as it comes; on all processors."""
    chosen = cells(wanted)
    if not chosen:
        raise ParameterError("cells", wanted, "part of the name of one, such as 'TE × shift / AR(.9) / 300'")
    sizes = max(1, sum(cell.kind == "size" for cell in chosen))
    jobs = [
        (cell, first, min(BATCH, repetitions - first))
        for cell in chosen
        for first in range(0, repetitions, BATCH)
    ]
    yield HEAD
    total: dict[Cell, Count] = {}
    for (cell, _, _), found in zip(jobs, run_all(batch, jobs), strict=True):
        so_far = total.setdefault(cell, Count())
        so_far.repetitions += found.repetitions
        so_far.refused += found.refused
        so_far.found += found.found
        if so_far.repetitions == repetitions:
            yield line(cell, so_far, sizes)
