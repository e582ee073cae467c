"""Data with a known answer: independent series and rooms (null data), and series with a known effect."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.night import ACTIVE, blocks_between
from chronoflux.model.presets import PRESETS
from chronoflux.model.simulation import Simulation
from chronoflux.replay.rehearsal import rehearse
from chronoflux.version import VERSION

Floats = NDArray[np.float64]
PoolKind = Literal["alone", "events", "coupled"]
KINDS: tuple[PoolKind, PoolKind] = ("alone", "events")
LENGTHS = (150, 300, 600)
START_UP = 60
"""Seconds at the beginning of a swarm that settled data leave out."""
LONGEST = max(LENGTHS) + START_UP
SWARMS, GROUP, FIRST_GROUP = 48, 8, 100
"""Number of swarms from which null rooms are drawn, size of groups with the same events, and the first one.

Rooms with common swarms are not independent.
"""
BEGAN = 1.7e9
"""UTC, in s, at which rooms of known data begin."""
ROOMS = 16
"""Number of coupled rooms."""


@dataclass(frozen=True)
class Room:
    """Input of a measure: series `H` and, of swarms, `psi` (rad), each (n, nodes).

    The first `linked` nodes depend on each other; if it is not 0, only pairs with other nodes count. `events`
    are in s, with their `doses`, where the first node responds to events. `common` are the times, in s, of
    events that all nodes heard. `record` writes run folders into a folder, for null runs.
    """

    H: Floats
    psi: Floats | None = None
    linked: int = 0
    events: Floats | None = None
    doses: Floats | None = None
    common: Floats = field(default_factory=lambda: np.empty(0))
    name: str = "r"
    record: Callable[[Path], list[Path]] | None = None

    def frame(self) -> Any:
        """Return the room as loaded logs: a record per second, and the events that all nodes heard."""
        import pandas as pd

        n, k = self.H.shape
        events = len(self.common)
        t = np.concatenate([np.repeat(np.arange(n), k), np.repeat(self.common, k)]) + BEGAN
        names = np.tile([f"n{j}" for j in range(k)], n + events)
        kinds = ["telemetry"] * (n * k) + ["intent", *["remote_intent"] * (k - 1)] * events
        ids = [None] * (n * k) + [{"id": f"e{i}"} for i in range(events) for _ in range(k)]
        values = np.full((2, len(t)), np.nan)
        values[0, : n * k] = self.H.ravel()
        values[1, : n * k] = 0.0 if self.psi is None else np.angle(np.exp(1j * self.psi)).ravel()
        facts = {"time": pd.to_datetime(t, unit="s", utc=True), "node": names, "run": names, "at": t * 1e3}
        facts |= {"room": self.name, "type": kinds, "omega": 0.0, "H": values[0], "psi": values[1]}
        return pd.DataFrame({**facts, "data": ids})


def autoregressive(a: float, n: int, columns: int, rng: np.random.Generator) -> Floats:
    """Return stationary, independent AR(1) series with unit noise.

    Parameters
    ----------
    a
        Autoregressive coefficient.
    n, columns
        Samples and number of series.

    Returns
    -------
    numpy.ndarray
        float64 (n, columns).
    """
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


def _logistic(rate: float, n: int, rng: np.random.Generator) -> Room:
    x, found = rng.uniform(0.1, 0.9, 3), np.empty((n, 3))
    for t in range(n + 100):
        x = rate * x * (1 - x) * (1 - 1e-12)
        if t >= 100:
            found[t - 100] = x
    return Room(found)


def _slowing(n: int, rng: np.random.Generator) -> Room:
    x, a = rng.normal(size=(n, 3)), np.linspace(0.0, 0.97, n)
    for t in range(1, n):
        x[t] += a[t] * x[t - 1]
    return Room(x)


def coupled(job: tuple[str, int]) -> Floats:
    """Simulate three coupled swarms and sample them once a second.

    Parameters
    ----------
    job
        Name of the preset, and seed.

    Returns
    -------
    numpy.ndarray
        float64 (seconds, 2, 3): H and psi (rad) of each swarm.
    """
    preset, seed = job
    sims = []
    for k, hertz in enumerate((1.1, 1.2, 1.3)):
        params = PRESETS[preset].replace(oscillators=100, frequency=hertz, mesh_coupling=0.35)
        sims.append(Simulation(params, seed=3 * seed + k))
        sims[-1].anchor(0.0)
    course = np.empty((LONGEST, 2, len(sims)))
    for second in range(LONGEST):
        found = []
        for sim in sims:
            sim.advance(62 + second % 2)
            found.append((sim.mesh_time(), sim.metrics()))
        for k, (at, own) in enumerate(found):
            course[second, :, k] = own["H"], own["psi"] + own["omega"] * (second + 1 - at / 1000)
            for other, sim in enumerate(sims):
                if other != k:
                    sim.hear(f"n{k}", at, own["H"], own["psi"], own["omega"])
    return course


def events_in(n: int, rng: np.random.Generator) -> Floats:
    """Return random times of events, with room for an epoch around each.

    Returns
    -------
    numpy.ndarray
        Sorted whole seconds, float64 (max(6, n // 40),).
    """
    return np.sort(rng.choice(np.arange(12.0, n - 32), max(6, n // 40), replace=False))


def _answers(n: int, rng: np.random.Generator) -> Room:
    """The first series responds to events, more to larger doses, and decays with a time constant of 5 s."""
    x, events = autoregressive(0.5, n, 3, rng), events_in(n, rng)
    doses = rng.random(len(events))
    for at, dose in zip(events.astype(int), doses, strict=True):
        x[at + 1 :, 0] += 10 * (0.2 + dose) * np.exp(-np.arange(n - at - 1) / 5)
    return Room(x, events=events, doses=doses)


def _blocks(n: int, rng: np.random.Generator) -> Room:
    """AR(.9) that is higher by its standard deviation in all blocks of intents of the schedule `night`."""
    name, x = f"r{rng.integers(1_000_000)}", autoregressive(0.9, n, 3, rng)
    for block in blocks_between(name, 1000 * BEGAN, 1000 * (BEGAN + n)):
        if block.kind in ("weak", "medium", "strong"):
            first = round(block.at / 1000 - BEGAN)
            x[first : first + round(ACTIVE)] += 2.3
    return Room(x, name=name)


def _recorded(mesh_coupling: tuple[float, float], n: int, rng: np.random.Generator) -> Room:
    """Two swarms of 60 oscillators of the preset `storm`, to be recorded for n s.

    They hear the same two intents. Each has its own `mesh_coupling`; with 0 it is not affected by the other.
    """
    nodes = {
        name: PRESETS["storm"].replace(oscillators=60, frequency=hertz, mesh_coupling=coupling)
        for name, hertz, coupling in zip(("a", "b"), (1.1, 1.3), mesh_coupling, strict=True)
    }
    events = {n / 4: ("a", "intent"), n / 2: ("b", "intent")}
    seed = int(rng.integers(1_000_000))
    record = partial(rehearse, nodes=nodes, seconds=float(n), events=events, seed=seed)
    return Room(np.zeros((n, 2)), record=record)


def _sizes(law: str, n: int, rng: np.random.Generator) -> Room:
    """Independent sizes from a distribution: a power law above 1 with the exponent 2.5, or another."""
    if law == "power law":
        return Room(1 + rng.pareto(1.5, (n, 1)))
    if law == "exponential":
        return Room(1 + rng.exponential(1.0, (n, 1)))
    return Room(rng.lognormal(0.0, 0.5, (n, 1)))


def _whole(n: int, rng: np.random.Generator) -> Room:
    """The mean of three series is autocorrelated; each series by itself is dominated by noise."""
    apart = rng.normal(size=(n, 3)) * 3
    return Room(autoregressive(0.9, n, 1, rng) + apart - apart.mean(axis=1, keepdims=True))


def swarm(job: tuple[str, int, bool]) -> Floats:
    """Simulate one swarm of 100 oscillators and sample it once a second.

    With events: an intent every 20 s and a flip every 150 s on average, at the same times and places in all
    swarms of a group.

    Parameters
    ----------
    job
        Name of the preset, seed, and whether there are events.

    Returns
    -------
    numpy.ndarray
        float64 (seconds, 2): H and psi (rad).
    """
    preset, seed, events = job
    sim = Simulation(PRESETS[preset].replace(oscillators=100), seed=seed)
    world = sim.params.world
    intents, flips, places = _group_events(seed // GROUP)
    places = places * world
    course = np.empty((LONGEST, 2))
    for second in range(LONGEST):
        if events and intents[second]:
            sim.intent(x=places[second, 0], y=places[second, 1])
        if events and flips[second]:
            sim.pacemaker_flip()
        sim.advance(62 + second % 2)
        found = sim.metrics()
        course[second] = found["H"], found["psi"] + found["omega"] * (second + 1 - sim.t)
    return course


def _group_events(group: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """Return the seconds with an intent, those with a flip, and places from 0 to 1, of a group of swarms."""
    rng = np.random.default_rng(group)
    return rng.random(LONGEST) < 1 / 20, rng.random(LONGEST) < 1 / 150, rng.random((LONGEST, 2))


@cache
def _pool(preset: str, kind: PoolKind) -> Floats:
    """Return the swarms that rooms are drawn from: (seconds, 2, swarms); coupled, (seconds, 2, rooms, nodes).

    They are computed once and saved in the temporary folder, because several processes need them.
    """
    path = Path(tempfile.gettempdir()) / f"chronoflux-calibration-{VERSION}-{preset}-{kind}-{SWARMS}.npy"
    if path.exists():
        kept: Floats = np.load(path)
        return kept
    if kind == "coupled":
        made = np.stack([coupled((preset, 1000 + k)) for k in range(ROOMS)], axis=2)
    else:
        first = GROUP * FIRST_GROUP
        made = np.stack([swarm((preset, first + k, kind == "events")) for k in range(SWARMS)], axis=2)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, made)
    Path(file.name).replace(path)
    return made


def _non_neighbours(preset: str, kind: PoolKind, skip: int, n: int, rng: np.random.Generator) -> Room:
    """Three independent swarms; with events, they received the same ones."""
    group = rng.integers(SWARMS // GROUP) * GROUP if kind == "events" else 0
    among = GROUP if kind == "events" else SWARMS
    pool = _pool(preset, kind)[skip : skip + n][..., group + rng.permutation(among)[:3]]
    apart = 2 * np.pi * np.linspace(-0.1, 0.1, 3) * np.arange(n)[:, None]
    common: Floats = np.empty(0)
    if kind == "events":
        intents, flips, _ = _group_events(FIRST_GROUP + int(group) // GROUP)
        seconds = np.flatnonzero((intents | flips)[skip : skip + n])
        common = seconds.astype(np.float64) - 1  # just after the record before
    return Room(pool[:, 0], pool[:, 1] + apart, common=common)


def _coupled(preset: str, n: int, rng: np.random.Generator) -> Room:
    """Three coupled swarms, drawn from several rooms, without the start-up."""
    pool = _pool(preset, "coupled")[START_UP : START_UP + n, :, rng.integers(ROOMS)]
    return Room(pool[:, 0], pool[:, 1])


def _three_and_three(n: int, rng: np.random.Generator) -> Room:
    """Three series that drive each other in a ring, and three independent ones."""
    x = autoregressive(0.5, n, 6, rng)
    for t in range(1, n):
        x[t, :3] += 0.3 * x[t - 1, [2, 0, 1]]
    return Room(x, linked=3)


DATA: dict[str, Callable[[int, np.random.Generator], Room]] = {
    "white noise": partial(_ar, 0.0),
    "AR(.5)": partial(_ar, 0.5),
    "AR(.9)": partial(_ar, 0.9),
    "AR(.98)": partial(_ar, 0.98),
    "trends": _trends,
    "steps": _steps,
    "three linked, three not": _three_and_three,
    **{
        f"strangers, {name}{f', {kind}' if kind == 'events' else ''}{', settled' if skip else ''}": partial(
            _non_neighbours, name, kind, skip
        )
        for name in PRESETS
        for kind in KINDS
        for skip in (0, START_UP)
    },
}
"""Null data: the series are independent."""
LINKED: dict[str, Callable[[int, np.random.Generator], Room]] = {
    "driven": _driven,
    "correlated": _correlated,
    "followed": _followed,
    "nonlinear": _nonlinear,
    "logistic map": partial(_logistic, 4.0),
    "logistic map, 3.8": partial(_logistic, 3.8),
    "slowing down": _slowing,
    "answers": _answers,
    "whole": _whole,
    "blocks": _blocks,
    "common driver": _common_driver,
    "chain": _chain,
    **{f"coupled, {name}": partial(_coupled, name) for name in ("storm", "spread")},
}
"""Data with a known effect."""
RECORDED: dict[str, Callable[[int, np.random.Generator], Room]] = {
    "recorded strangers, events": partial(_recorded, (0.0, 0.0)),
    "recorded, coupled": partial(_recorded, (1.0, 1.0)),
    "recorded, b deaf to a": partial(_recorded, (1.0, 0.0)),
}
"""Run folders, for null runs."""
SIZES: dict[str, Callable[[int, np.random.Generator], Room]] = {
    f"{law} sizes": partial(_sizes, law) for law in ("power law", "exponential", "lognormal")
}
"""Sizes of avalanches. Which of them are null data depends on the measure."""
