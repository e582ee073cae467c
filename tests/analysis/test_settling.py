"""Which part of the records is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import chronoflux as cf
from chronoflux.analysis.settling import part_of, start_up
from chronoflux.errors import ParameterError
from tests.analysis.test_rooms import write

T = np.arange(900.0)


def test_a_rise_is_left_out_and_noise_is_not() -> None:
    """An exponential rise of 20 s ends where H is within 0.01 of its level; noise has no start-up."""
    assert start_up(T, 0.9 - 0.8 * np.exp(-T / 20)) == pytest.approx(20 * np.log(80), abs=12)
    rng = np.random.default_rng(1)
    lengths = [start_up(T, 0.5 + 0.1 * rng.normal(size=900)) for _ in range(50)]
    assert max(length for length in lengths if length is not None) < 30


def test_a_level_that_goes_on_changing_is_no_start_up() -> None:
    """A curve that rises to the end has none, and a minute of records is too short to tell."""
    assert start_up(T, T / 900) is None
    assert start_up(T[:50], T[:50] / 900) == 0.0


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """Two nodes; `b` begins 100 s later, and each takes a while."""
    for node, late, slow in (("a", 0.0, 20.0), ("b", 100.0, 40.0)):
        write(tmp_path, node, T + late, order=0.9 - 0.8 * np.exp(-T / slow), phase=0 * T, hertz=1.2)
    return cf.load(tmp_path)


def seconds(frame: pd.DataFrame, whole: pd.DataFrame, node: str) -> np.ndarray:
    at: np.ndarray = frame.loc[frame["node"] == node, "at"].to_numpy(np.float64)
    return (at - whole["at"].min()) / 1000


def test_each_run_loses_its_own_start_up(frame: pd.DataFrame) -> None:
    """The start-up counts from a run's own beginning, and is told by node."""
    part, told = part_of(frame)
    assert seconds(part, frame, "a").min() == pytest.approx(88, abs=12)
    assert seconds(part, frame, "b").min() == pytest.approx(275, abs=20)
    assert len(told) == 1
    assert told[0].startswith("start-up left out, until H reached its later range: a ")
    kept, told = part_of(frame, skip_settling=False)
    assert len(kept) == len(frame)
    assert told == ["the start-up is included"]


def test_only_what_lies_between_two_times(frame: pd.DataFrame) -> None:
    """`begin` and `end` are seconds since the room's first record; nothing left is refused."""
    part, told = part_of(frame, skip_settling=False, begin=200, end=300)
    at = seconds(part, frame, "a")
    assert (at.min(), at.max()) == (pytest.approx(200, abs=1), pytest.approx(300, abs=1))
    assert "only records between 200 s and 300 s" in told[0]
    with pytest.raises(ParameterError, match="within the 999 s on record"):
        part_of(frame, begin=5000)
