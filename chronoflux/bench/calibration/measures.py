"""Measures with their surrogates for the calibration: each returns the p-value for a room of known data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from chronoflux.analysis.complexity import lempel_ziv, permutation_entropy
from chronoflux.analysis.criticality import early_warnings, power_law_tail
from chronoflux.analysis.information import (
    active_storage_nats,
    mutual_information_nats,
    transfer_entropy_nats,
)
from chronoflux.analysis.integration import emergence_nats, o_information_nats, phi_r_nats
from chronoflux.analysis.lead_lag import spread
from chronoflux.analysis.null_comparison import correlation, locking
from chronoflux.analysis.pulling import pulls
from chronoflux.analysis.response import dose_response, epoch_response, superposed_epochs
from chronoflux.analysis.result import Result
from chronoflux.analysis.room_events import event_epochs, spreads
from chronoflux.analysis.rooms import information_flow
from chronoflux.analysis.significance import assess
from chronoflux.analysis.surrogates import block_shuffles, event_shuffles
from chronoflux.bench.calibration.data import DATA, LENGTHS, Floats, Room, events_in
from chronoflux.errors import ParameterError
from chronoflux.replay.null_runs import null_runs

COUNT = 39
"""Surrogates per test: p can be exactly 0.05."""


def _by_shift(measure: Callable[..., Result], room: Room, seed: int, **options: Any) -> float:
    return _p(assess(measure, room.H[:, 0], room.H[:, 1], count=COUNT, seed=seed, segments=2, **options))


def _by_block(room: Room, seed: int) -> float:
    """Six blocks: of 300 samples each lasts more than twice the memory of AR(.9), 19 samples."""
    return _by_shift(mutual_information_nats, room, seed, surrogate="block", block=len(room.H) // 6)


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


def _blocks(room: Room, seed: int) -> float:
    own = room if room.name != Room.name else replace(room, name=f"r{seed}")  # the name draws the blocks
    found = event_epochs(own.frame(), "intent", control="matched", resamples=100, seed=seed)
    if found.response is None or found.response.p is None:
        raise ParameterError("rounds", len(found.courses), "enough for a p of 0.05")
    return found.response.p


def _null_runs(
    measure: Callable[[Any], Any], room: Room, seed: int, without: tuple[tuple[str, str], ...] = ()
) -> float:
    if room.record is None:
        raise ParameterError("room", "without run folders", "one of the data that record some")
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        runs = room.record(Path(folder))
        return null_runs(runs, count=19, without=without, seed=seed, executor=executor).judge(measure).p


def _power_law(room: Room, _seed: int, *, beaten: bool) -> float:
    """Return the least p of an alternative that fits better, or the greatest of those that fit worse."""
    against = power_law_tail(room.H[:, 0]).against.values()
    if beaten:
        return min((p for ratio, p in against if ratio < 0), default=1.0)
    return max(p if ratio > 0 else 1.0 for ratio, p in against)


def _shuffled(x: Floats, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    return block_shuffles(x, count, rng, block=1)


IID, STATIONARY = ("white noise",), ("white noise", "AR(.5)", "AR(.9)", "AR(.98)")
UNRELATED = tuple(name for name in DATA if name != "three linked, three not")
ROOMS_TOO = tuple(DATA)
LINEAR = (*STATIONARY, "trends", "steps")
SWARMS_ONLY = tuple(name for name in DATA if name.startswith("strangers"))
ALONE = tuple(name for name in SWARMS_ONLY if "events" not in name)
COUPLED = ("coupled, storm", "coupled, spread")
TWO = tuple(
    name
    for name in UNRELATED
    if name in LINEAR or name.startswith(("strangers, classic", "strangers, storm"))
)


class Measure(NamedTuple):
    """A measure with its surrogates.

    ``work``: returns p of a room, with a seed. ``nothing``, ``something``: names of null data, and of data
    with an effect. ``lengths``: numbers of samples. ``share``: share of the repetitions asked for that are
    made, below 1 where one takes long.
    """

    work: Callable[[Room, int], float]
    nothing: tuple[str, ...]
    something: tuple[str, ...]
    lengths: tuple[int, ...] = LENGTHS
    share: float = 1.0


MEASURES: dict[str, Measure] = {
    "pulls × shift": Measure(partial(_of_room, pulls), SWARMS_ONLY, COUPLED),
    "information_flow × shift": Measure(
        partial(_of_room, information_flow),
        ROOMS_TOO,
        ("driven", "common driver", "chain"),
    ),
    "information_flow, phase × shift": Measure(
        lambda r, s: _of_room(information_flow, r, s, "phase"),
        SWARMS_ONLY,
        COUPLED,
    ),
    "spreads × AR": Measure(partial(_of_room, spreads), ROOMS_TOO, ("followed", "common driver", "chain")),
    "spreads, phase × AR": Measure(lambda r, s: _of_room(spreads, r, s, "phase"), SWARMS_ONLY, COUPLED),
    "MI × shift": Measure(partial(_by_shift, mutual_information_nats), TWO, ("correlated",)),
    "MI × block": Measure(_by_block, TWO, ("correlated",)),
    "TE × shift": Measure(partial(_by_shift, transfer_entropy_nats), TWO, ("driven",)),
    "TE by KSG × shift": Measure(
        partial(_by_shift, transfer_entropy_nats, method="ksg"), TWO, ("nonlinear",), share=0.25
    ),
    "Φ_R × shift": Measure(
        lambda r, s: _p(assess(phi_r_nats, r.H[:, :2], together=False, count=COUNT, seed=s, segments=2)),
        TWO,
        ("driven",),
    ),
    "O-information × shift": Measure(
        lambda r, s: _p(
            assess(o_information_nats, r.H, together=False, count=COUNT, tail="both", seed=s, segments=2)
        ),
        TWO,
        ("correlated",),
    ),
    "Ψ × shift": Measure(_emergence, TWO, ("whole",)),
    "spread × AR": Measure(_spread, TWO, ("followed",)),
    "permutation entropy × AR": Measure(
        partial(_of_one, permutation_entropy, surrogate="ar", tail="both"),
        LINEAR,
        ("logistic map",),
    ),
    "permutation entropy × IAAFT": Measure(
        partial(_of_one, permutation_entropy, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map",),
        share=0.5,
    ),
    "Lempel–Ziv × AR": Measure(
        partial(_of_one, lempel_ziv, surrogate="ar", tail="both"),
        LINEAR,
        ("logistic map, 3.8",),
    ),
    "Lempel–Ziv × IAAFT": Measure(
        partial(_of_one, lempel_ziv, surrogate="iaaft", tail="both"),
        LINEAR,
        ("logistic map, 3.8",),
        share=0.5,
    ),
    "active storage × shuffle": Measure(
        partial(_of_one, active_storage_nats, surrogate=_shuffled),
        IID,
        ("driven",),
    ),
    **{
        f"early warning, {name} × {kind}": Measure(
            partial(_of_one, trend, surrogate=kind.lower(), stationary=True),
            STATIONARY,
            ("slowing down",),
            share=0.5,
        )
        for name, trend in (("lag 1", _slowing_trend), ("variance", _variance_trend))
        for kind in ("AR", "IAAFT")
    },
    "event response × signs": Measure(partial(_epochs, signs=True), (*LINEAR, *ALONE), ("answers",)),
    "event response × event shuffles": Measure(partial(_epochs, signs=False), STATIONARY, ("answers",)),
    "dose response, slope × permutation": Measure(_doses, LINEAR, ("answers",)),
    "dose response, rank × permutation": Measure(partial(_doses, rank=True), LINEAR, ("answers",)),
    "matched epochs × blocks of the night": Measure(_blocks, LINEAR, ("blocks",), lengths=(3600, 7200)),
    **{
        f"null runs, {name} × new draws": Measure(
            partial(_null_runs, measure),
            ("recorded strangers, events",),
            ("recorded, coupled",),
            lengths=(60,),
            share=0.1,
        )
        for name, measure in (("locking", locking), ("correlation", correlation))
    },
    "null runs, direction a → b × new draws": Measure(
        partial(_null_runs, locking, without=(("a", "b"),)),
        ("recorded, b deaf to a",),
        ("recorded, coupled",),
        lengths=(60,),
        share=0.1,
    ),
    "power law, refused × Vuong": Measure(
        partial(_power_law, beaten=True),
        ("power law sizes",),
        ("exponential sizes", "lognormal sizes"),
        share=0.5,
    ),
    "power law, preferred × Vuong": Measure(
        partial(_power_law, beaten=False),
        ("exponential sizes", "lognormal sizes"),
        ("power law sizes",),
        share=0.5,
    ),
}
"""By name. Measures of two series get strangers of two presets: they share tests and surrogates with
those of rooms, which get every preset."""
