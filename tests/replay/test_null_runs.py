"""Null runs: a room computed again without coupling, and measures judged against it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chronoflux as cf
from chronoflux import analysis
from chronoflux.errors import ParameterError
from chronoflux.replay.null_runs import NullRuns, null_runs
from chronoflux.replay.rehearsal import rehearse

LINKED = {
    name: cf.Params(oscillators=30, frequency=f, mesh_coupling=2.0)
    for name, f in zip("ab", (1.1, 1.2), strict=True)
}
STRANGERS = {name: params.replace(mesh_coupling=0.0) for name, params in LINKED.items()}


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two nodes that pull each other strongly, for 40 s."""
    return rehearse(tmp_path_factory.mktemp("linked"), LINKED, seconds=40, events={20.0: ("a", "intent")})


def of(runs: list[Path], **options: Any) -> NullRuns:
    with ThreadPoolExecutor(1) as executor:
        return null_runs(runs, executor=executor, **{"count": 19} | options)


def plv(frame: pd.DataFrame) -> pd.Series:
    """Phase locking of every two nodes."""
    return analysis.pairs(frame)["plv"]


def test_a_linked_room_is_no_set_of_strangers(linked: list[Path]) -> None:
    """Locked mean fields stand out against nodes that are not linked, by rank."""
    null = of(linked)
    judged = null.judge(plv)
    assert null.count == 19
    assert judged.p == pytest.approx(1 / 20)
    assert "coupled (p = " in str(judged)


def test_strangers_are_not_found(tmp_path: Path) -> None:
    """Nodes that hear each other and do not couple are among their null runs."""
    runs = rehearse(tmp_path, STRANGERS, seconds=40)
    assert of(runs).judge(plv).p > 0.05


def test_null_runs_have_other_draws_and_the_same_moments(linked: list[Path]) -> None:
    """Each begins with another state; nodes, ticks and times are those of the room."""
    null = of(linked, count=3)
    first, second, _ = null.frames()
    assert list(first.columns) == list(null.observed.columns)
    pd.testing.assert_series_equal(first["at"], null.observed["at"])
    assert (first["H"] != second["H"]).all()
    assert (first["H"] != null.observed["H"]).all()


def test_the_seed_makes_the_draws(linked: list[Path]) -> None:
    """Same seed, same null runs; another one, others."""
    one, two, other = (of(linked, count=2, seed=seed).metrics for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_direction_is_judged_against_all_other_coupling(linked: list[Path]) -> None:
    """Without a → b only, b still pulls a: their locking stays, and this direction alone is in question."""
    null = of(linked, without=[("a", "b")])
    bare = of(linked)
    locked = [frame_mean(runs) for runs in (null, bare)]
    assert locked[0] > locked[1]
    assert "a → b" in str(null.judge(plv))


def frame_mean(null: NullRuns) -> float:
    """Mean locking over null runs."""
    return float(np.mean([plv(frame).iloc[0] for frame in null.frames()]))


def test_a_window_is_drawn_by_the_seed(linked: list[Path]) -> None:
    """Only the records of that stretch are there, in the room and in the null runs."""
    null = of(linked, count=2, window="10s", seed=3)
    span = null.observed["at"].max() - null.observed["at"].min()
    assert 8_000 < span <= 10_000
    assert null.metrics.shape[1] == len(null.observed)
    again = of(linked, count=2, window="10s", seed=3)
    np.testing.assert_array_equal(null.metrics, again.metrics)


@pytest.mark.parametrize(
    ("measure", "named"),
    [
        (lambda f: analysis.active_storage_nats(f["H"]), "one of several nodes"),
        (lambda f: analysis.permutation_entropy(f["H"]), "one of several nodes"),
    ],
)
def test_measures_of_one_node_have_no_such_null(linked: list[Path], measure: Any, named: str) -> None:
    """What a node does by itself it does without coupling too: refused in words."""
    with pytest.raises(ParameterError, match=named):
        of(linked).judge(measure)


def test_too_few_null_runs_are_refused(linked: list[Path]) -> None:
    """With 9 no p of .05 could come out."""
    with pytest.raises(ParameterError, match="at least 19"):
        of(linked, count=9).judge(plv)


def test_unknown_directions_are_refused(linked: list[Path]) -> None:
    """A misspelt node is named, with those that are there."""
    with pytest.raises(ParameterError, match="a, b"):
        of(linked, without=[("a", "z")])


def test_one_run_is_no_room(linked: list[Path]) -> None:
    """Two runs at least."""
    with pytest.raises(ParameterError, match="two runs"):
        of(linked[:1])


def test_it_is_handed_on_by_analysis() -> None:
    """Users find it beside the measures."""
    assert analysis.null_runs is null_runs
