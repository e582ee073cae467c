"""Measures with their surrogates for the calibration: each returns the p-value for a room of known data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from chronoflux.analysis.complexity import lempel_ziv, permutation_entropy
from chronoflux.analysis.criticality import early_warnings
from chronoflux.analysis.information import (
    active_storage_nats,
    mutual_information_nats,
    transfer_entropy_nats,
)
from chronoflux.analysis.integration import emergence_nats, o_information_nats, phi_r_nats
from chronoflux.analysis.lead_lag import spread
from chronoflux.analysis.pulling import pulls
from chronoflux.analysis.response import dose_response, epoch_response, superposed_epochs
from chronoflux.analysis.result import Result
from chronoflux.analysis.room_events import spreads
from chronoflux.analysis.rooms import information_flow
from chronoflux.analysis.significance import assess
from chronoflux.analysis.surrogates import block_shuffles, event_shuffles
from chronoflux.bench.calibration.data import DATA, Floats, Room, events_in

COUNT = 39
"""Surrogates per test: p can be exactly 0.05."""


def _by_shift(measure: Callable[..., Result], room: Room, seed: int, **options: Any) -> float:
    return _p(assess(measure, room.H[:, 0], room.H[:, 1], count=COUNT, seed=seed, segments=2, **options))


def _of_one(measure: Callable[..., Result], room: Room, seed: int, **options: Any) -> float:
    return _p(assess(measure, room.H[:, 0], count=COUNT, seed=seed, segments=2, **options))


def _p(found: Result) -> float:
    return 1.0 if found.p is None else found.p


def _of_room(measure: Callable[..., Any], room: Room, seed: int, *more: str) -> float:
    found = measure(room.frame(), *more, count=COUNT, seed=seed)["p"]
    linked = {f"n{j}" for j in range(room.linked)}
    strange = [not linked >= set(pair) for pair in found.index]
    return float(found[strange].min())


def _slowing_trend(x: Floats) -> Result:
    return early_warnings(x, window=len(x) // 3).lag1_trend


def _variance_trend(x: Floats) -> Result:
    return early_warnings(x, window=len(x) // 3).variance_trend


def _emergence(room: Room, seed: int) -> float:
    def psi(x: Floats) -> Result:
        return emergence_nats(x, x.mean(axis=1)).psi

    return _p(assess(psi, room.H, together=False, count=COUNT, seed=seed, segments=2))


def _change(x: Floats, t: Floats, events: Floats) -> Result:
    return epoch_response(superposed_epochs(x, t, events, resamples=100), count=0)


def _epochs(room: Room, seed: int, *, signs: bool) -> float:
    rng, n = np.random.default_rng(seed), len(room.H)
    t, events = np.arange(float(n)), events_in(n, rng) if room.events is None else room.events
    if signs:
        found = superposed_epochs(room.H[:, 0], t, events, resamples=100)
        return _p(epoch_response(found, count=199, seed=seed))
    shuffled = partial(event_shuffles, start=0.0, end=n - 1.0, step=1.0)
    arrays = room.H[:, 0], t, events
    return _p(assess(_change, *arrays, which=2, count=COUNT, tail="both", surrogate=shuffled, seed=seed))


def _doses(room: Room, seed: int, *, rank: bool = False) -> float:
    rng, n = np.random.default_rng(seed), len(room.H)
    events = (events_in(n, rng) if room.events is None else room.events).astype(int)
    doses = rng.random(len(events)) if room.doses is None else room.doses
    answer = np.array([room.H[e + 1 : e + 6, 0].mean() - room.H[e - 5 : e, 0].mean() for e in events])
    found = dose_response(doses, answer, count=199, seed=seed)
    return _p(found.rank if rank else found.slope)


def _spread(room: Room, seed: int) -> float:
    x, y = room.H[:, :2].T
    return _p(spread(x, y, step=1.0, longest=10.0, count=COUNT, seed=seed).correlation)


def _shuffled(x: Floats, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    return block_shuffles(x, count, rng, block=1)


IID, STATIONARY = ("white noise",), ("white noise", "AR(.5)", "AR(.9)", "AR(.98)")
UNRELATED = tuple(name for name in DATA if name != "three linked, three not")
ROOMS_TOO = tuple(DATA)
LINEAR = (*STATIONARY, "trends", "steps")
SWARMS_ONLY = tuple(name for name in DATA if name.startswith("strangers"))
ALONE = tuple(name for name in SWARMS_ONLY if "events" not in name)
COUPLED = ("coupled, storm", "coupled, spread")
MEASURES: dict[str, tuple[Callable[[Room, int], float], tuple[str, ...], tuple[str, ...]]] = {
    "pulls × shift": (partial(_of_room, pulls), SWARMS_ONLY, COUPLED),
    "information_flow × shift": (
        partial(_of_room, information_flow),
        ROOMS_TOO,
        ("driven", "common driver", "chain"),
    ),
    "information_flow, phase × shift": (
        lambda r, s: _of_room(information_flow, r, s, "phase"),
        SWARMS_ONLY,
        COUPLED,
    ),
    "spreads × AR": (partial(_of_room, spreads), ROOMS_TOO, ("followed", "common driver", "chain")),
    "spreads, phase × AR": (lambda r, s: _of_room(spreads, r, s, "phase"), SWARMS_ONLY, COUPLED),
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
    "Ψ × shift": (_emergence, UNRELATED, ("whole",)),
    "spread × AR": (_spread, UNRELATED, ("followed",)),
    "permutation entropy × AR": (
        partial(_of_one, permutation_entropy, surrogate="ar", tail="both"),
        LINEAR,
        ("logistic map",),
    ),
    "permutation entropy × IAAFT": (
        partial(_of_one, permutation_entropy, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map",),
    ),
    "Lempel–Ziv × AR": (
        partial(_of_one, lempel_ziv, surrogate="ar", tail="both"),
        LINEAR,
        ("logistic map, 3.8",),
    ),
    "Lempel–Ziv × IAAFT": (
        partial(_of_one, lempel_ziv, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map, 3.8",),
    ),
    "active storage × shuffle": (
        partial(_of_one, active_storage_nats, surrogate=_shuffled),
        IID,
        ("driven",),
    ),
    **{
        f"early warning, {name} × {kind}": (
            partial(_of_one, trend, surrogate=kind.lower(), stationary=True),
            STATIONARY,
            ("slowing down",),
        )
        for name, trend in (("lag 1", _slowing_trend), ("variance", _variance_trend))
        for kind in ("AR", "IAAFT")
    },
    "event response × signs": (partial(_epochs, signs=True), (*LINEAR, *ALONE), ("answers",)),
    "event response × event shuffles": (partial(_epochs, signs=False), STATIONARY, ("answers",)),
    "dose response, slope × permutation": (_doses, LINEAR, ("answers",)),
    "dose response, rank × permutation": (partial(_doses, rank=True), LINEAR, ("answers",)),
}
"""By name: the function that returns p, names of null data, and names of data with an effect."""
