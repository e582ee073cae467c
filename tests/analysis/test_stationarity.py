"""Surrogates are drawn of series that they serve; of others it is said why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import chronoflux as cf
from chronoflux.analysis.complexity import permutation_entropy
from chronoflux.analysis.information import mutual_information_nats, transfer_entropy_nats
from chronoflux.analysis.integration import o_information_nats, phi_r_nats
from chronoflux.analysis.result import Result
from chronoflux.analysis.room_events import spreads
from chronoflux.analysis.rooms import information_flow
from chronoflux.analysis.settling import part_of
from chronoflux.analysis.significance import assess
from chronoflux.analysis.stationarity import memory_of, ranks, stationary_part
from chronoflux.analysis.tables import side_by_side
from chronoflux.errors import ParameterError
from tests.analysis.test_criticality import ar

Floats = NDArray[np.float64]


def room(courses: Floats, psi: Floats | None = None) -> pd.DataFrame:
    """Loaded logs of nodes with these courses of H (n, nodes), a record a second."""
    n, k = courses.shape
    t = np.repeat(np.arange(n), k) + 1.7e9
    names = np.tile([f"n{j}" for j in range(k)], n)
    columns = {"time": pd.to_datetime(t, unit="s", utc=True), "node": names, "run": names, "at": t * 1e3}
    values = {"H": courses.ravel(), "psi": 0.0 if psi is None else psi.ravel()}
    return pd.DataFrame({**columns, "room": "r", "type": "telemetry", "omega": 0.0, **values})


def rising(count: int, n: int = 300) -> Floats:
    """Courses that rise to 1 as those of swarms that synchronise, each by itself, with noise on it."""
    rng = np.random.default_rng(5)
    t, half, pace = np.arange(n)[:, None], rng.uniform(60, 200, count), rng.uniform(20, 60, count)
    noise = np.stack([ar(0.8, n, 50 + j) for j in range(count)], axis=1)
    return np.asarray(1 / (1 + np.exp(-(t - half) / pace)) + 0.005 * noise)


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [300, 600])
def test_stationary_series_are_rarely_refused(a: float, n: int) -> None:
    """Of white noise, AR(.5) and AR(.9) at most 5 % are refused from 300 samples on."""
    refused = 0
    for seed in range(200):
        try:
            stationary_part(ar(a, n + 200, seed)[200:])
        except ParameterError:
            refused += 1
    assert refused <= 10


@pytest.mark.parametrize(
    ("course", "words"),
    [
        (lambda t, noise: 0.01 * t + noise, "rises all the time.*use null runs"),
        (lambda t, noise: -0.01 * t + noise, "falls all the time.*use null runs"),
        (lambda t, noise: 4.0 * (t > 250) + noise, "its level changes|times its memory"),
        (lambda t, noise: noise * (0.3 + (t > 280)), "its spread changes"),
        (lambda t, noise: np.cumsum(noise), "times its memory|all the time"),
        (lambda t, noise: 1 - np.exp(-t / 150), "all the time|times its memory"),
        (lambda t, noise: 1 - np.exp(-t / 15), "locked: nothing moves"),
        (lambda t, noise: np.where(t < 60, noise, 1.0), "locked: nothing moves"),
        (lambda t, noise: 0 * t, "locked: nothing moves"),
    ],
)
def test_what_does_not_serve_is_refused_in_words(course: object, words: str) -> None:
    """Trends, steps, changes of spread, random walks, curves and what has come to rest are told apart."""
    t, noise = np.arange(400.0), np.random.default_rng(2).normal(size=400)
    with pytest.raises(ParameterError, match=words):
        stationary_part(course(t, noise))  # type: ignore[operator]


def test_steps_that_seem_to_be_memory_are_found() -> None:
    """A step of two standard deviations at 150 samples is no long memory: most are refused or left out."""
    refused = 0
    for seed in range(40):
        course = ar(0.5, 350, seed)[200:] + 2.3 * (np.arange(150) > 95)
        try:
            stationary_part(course)
        except ParameterError as refusal:
            refused += "step" in str(refusal)
    assert refused >= 20


def test_a_start_up_is_searched_for_once() -> None:
    """Of a series without its start-up the whole is tested; one that has it still is refused."""
    settles = ar(0.5, 400, 3) - 30 * np.exp(-np.arange(400) / 10)
    assert stationary_part(settles[80:], start_up=False).start == 0
    with pytest.raises(ParameterError, match="stationary"):
        stationary_part(settles, start_up=False)


def test_the_report_leaves_out_a_start_up_once() -> None:
    """Measures of a frame without its start-up do not leave out more of it; those of the whole frame do."""
    settles = np.stack([ar(0.5, 400, s) - 30 * np.exp(-np.arange(400) / 10) for s in (7, 8)], axis=1)
    frame = room(settles).assign(data=None)
    assert information_flow(frame, count=19).attrs["start_up"] > 0
    part = part_of(frame, begin=80.0).frame
    assert side_by_side(part).attrs["settled"]
    assert information_flow(part, count=19).attrs["start_up"] == 0
    with pytest.raises(ParameterError, match="use null runs"):
        information_flow(room(settles[20:]).pipe(_marked), count=19)


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs["settled"] = True
    return frame


def test_every_series_is_looked_at() -> None:
    """A trend in the other array is refused as one in the array that is shifted; a time axis is none."""
    noise, trend = ar(0.5, 400, 1), ar(0.5, 400, 2) + 0.02 * np.arange(400)
    for pair in ((noise, trend), (trend, noise)):
        with pytest.raises(ParameterError, match="all the time"):
            assess(mutual_information_nats, *pair, count=19)
    with pytest.raises(ParameterError, match="array 1"):
        assess(mutual_information_nats, noise, trend, count=19)

    def correlated(x: Floats, y: Floats, t: Floats) -> Result:
        return mutual_information_nats(x[t >= 0], y[t >= 0])

    assert assess(correlated, noise, ar(0.5, 400, 6), np.arange(400.0), count=19).p is not None


def test_the_start_up_is_left_out() -> None:
    """A series that settles is taken from there on, and how much was left out is said."""
    noise = ar(0.5, 400, 3)
    look = stationary_part(noise - 30 * np.exp(-np.arange(400) / 10))
    assert 20 <= look.start <= 80
    assert look.n == 400 - look.start
    assert look.words(2.0) == f"the first {2 * look.start} s were left out as the start-up"
    assert stationary_part(noise).words() == ""


def test_the_memory_is_that_of_the_process() -> None:
    """AR(a) has the memory (1 + a)/(1 − a); what is less regular than white noise counts as 1."""
    for a in (0.0, 0.5, 0.9):
        assert memory_of(ar(a, 50_000, 4))[0] == pytest.approx((1 + a) / (1 - a), rel=0.1)
    assert memory_of(ar(-0.8, 5000, 4))[0] == 1
    assert memory_of(np.ones(50)) == (50, 0)
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0, 2.5, 1]


def test_curves_that_rise_find_no_links() -> None:
    """Of courses that rise each by itself no measure finds a link: it is refused, with what to do instead."""
    courses = rising(3)
    frame, (x, y) = room(courses), courses[:, :2].T
    for work in (
        lambda: information_flow(frame),
        lambda: assess(mutual_information_nats, x, y),
        lambda: assess(transfer_entropy_nats, x, y),
        lambda: assess(phi_r_nats, courses[:, :2]),
        lambda: assess(o_information_nats, courses, together=False),
        lambda: assess(permutation_entropy, x, surrogate="iaaft"),
        lambda: assess(mutual_information_nats, x, y, surrogate="block", block=30),
    ):
        with pytest.raises(ParameterError, match="use null runs"):
            work()
    with pytest.raises(ParameterError, match=r"H of n\d = 'rises all the time'"):
        information_flow(frame)


def test_known_to_be_stationary_is_said() -> None:
    """What was not looked at, left out, or cut for its ends stands in the answer."""
    courses = rising(3)
    found = information_flow(room(courses), count=19, stationary=True)
    assert (found.attrs["looked_at"], found.attrs["start_up"]) == (False, 0)
    judged = assess(mutual_information_nats, *courses[:, :2].T, count=19, stationary=True)
    assert judged.reading.endswith("taken as stationary without a test")
    settles = np.stack([ar(0.5, 400, s) - 30 * np.exp(-np.arange(400) / 10) for s in (7, 8)], axis=1)
    judged = assess(mutual_information_nats, *settles.T, count=19)
    assert "were left out as the start-up" in judged.reading
    assert judged.n < 400
    both = spreads(room(settles), count=19).attrs, information_flow(room(settles), count=19).attrs
    assert both[1]["start_up"] >= 20
    assert all(facts["looked_at"] for facts in both)
    ends = assess(permutation_entropy, ar(0.9, 400, 9), surrogate="iaaft", tail="both", count=39)
    assert "samples with matching ends used" in ends.reading


def test_blocks_shorter_than_the_memory_are_refused() -> None:
    """A block must last twice the memory of the series that it is cut from."""
    x, y = ar(0.9, 600, 1), ar(0.9, 600, 2)
    with pytest.raises(ParameterError, match="twice the memory"):
        assess(mutual_information_nats, x, y, surrogate="block", block=10, count=19)


def test_phase_is_the_fluctuation_of_the_frequency() -> None:
    """`phase` is by how much ψ turned in a step, less its mean; a node that turns evenly is at rest."""
    steps = 0.2 * np.stack([ar(0.5, 300, s) for s in (1, 2)], axis=1)
    psi = np.cumsum(steps, axis=0) + 2 * np.pi * 1.2 * np.arange(300)[:, None]
    table = side_by_side(room(0 * psi, np.angle(np.exp(1j * psi))), "phase")
    assert table.iloc[0].isna().all()
    away = table["n0"].to_numpy()[1:] - (steps[1:, 0] - steps[1:, 0].mean())
    assert np.abs(away - away.mean()).max() < 1e-6
    assert abs(away.mean()) < 0.02
    assert table.attrs["column"] == "phase"
    even = np.angle(np.exp(2j * np.pi * 1.2 * np.arange(300)))[:, None] * np.ones(2)
    for measure in (information_flow, spreads):
        assert not measure(room(0 * psi, np.angle(np.exp(1j * psi))), "phase", count=39, seed=1)[
            "found"
        ].any()
        with pytest.raises(ParameterError, match="frequency fluctuations of n0 = 'locked"):
            measure(room(0 * even, even), "phase")


@pytest.mark.slow
def test_strangers_are_not_linked() -> None:
    """Of 20 rooms of six swarms that never met, a link is found in 4 at most, or it is refused."""

    def order(seed: int) -> list[float]:
        sim, course = cf.Simulation(cf.Params(oscillators=100), seed=seed), []
        for second in range(300):
            sim.advance(62 + second % 2)
            course.append(sim.metrics()["H"])
        return course

    courses = np.array([order(1000 + k) for k in range(40)]).T
    rng, refused = np.random.default_rng(0), set[str]()
    for begin in (0, 100):
        found = {information_flow: 0, spreads: 0}
        for k in range(20):
            frame = room(courses[begin:, rng.permutation(40)[:6]])
            for measure in found:
                try:
                    found[measure] += bool(measure(frame, count=199, seed=k)["found"].any())
                except ParameterError as refusal:
                    refused.add(str(refusal.value))
        assert max(found.values()) <= 4
    assert refused
