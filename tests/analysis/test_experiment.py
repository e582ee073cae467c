"""Blocks of the schedule `night` against the quiet blocks of their rounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from chronoflux.analysis import event_epochs
from chronoflux.analysis.experiment import matched_epochs
from chronoflux.errors import ParameterError
from chronoflux.model.night import ACTIVE, BLOCK, ROUND, blocks_between

LENGTH = BLOCK * len(ROUND) * 1000  # ms
FIRST = 1_496_000 * LENGTH


def night(
    rounds: int,
    seed: int,
    *,
    kind: str = "flip",
    effect: float = 0.0,
    lasting: float = 0.0,
    trend: float = 0.0,
) -> pd.DataFrame:
    """The telemetry of two nodes: noise with memory and a trend, moved by `effect` in blocks of a kind.

    Each seed is another night, with another order of blocks.
    """
    rng = np.random.default_rng(seed)
    start = FIRST + seed * 50 * LENGTH
    n = int(rounds * BLOCK * len(ROUND))
    noise = np.zeros((n, 2))
    for i in range(1, n):
        noise[i] = 0.98 * noise[i - 1] + rng.normal(size=2) * 0.02
    values = 0.5 + noise + trend * np.arange(n)[:, None] / n
    for place, block in enumerate(blocks_between("room1", start, start + 1000 * n)):
        if block.kind == kind:
            first = int(place * BLOCK)
            values[first : first + int(ACTIVE)] += effect
            values[first + int(ACTIVE) : first + int(BLOCK)] += lasting
    at = start + 1000.0 * np.arange(n)
    parts = [
        pd.DataFrame(
            {"time": pd.to_datetime(at, unit="ms", utc=True), "node": node, "run": node, "room": "room1",
             "type": "telemetry", "at": at, "omega": 0.0, "H": values[:, k]}
        )
        for k, node in enumerate(("a", "b"))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_an_effect_is_found_with_its_size_and_what_is_carried_over() -> None:
    """Five rounds tell an effect of 0.3 from chance, its size, and what is left of it in the rest."""
    found = event_epochs(night(5, 1, effect=0.3, lasting=0.1), "pacemaker_flip", control="matched")
    assert found.response is not None
    assert found.carry_over is not None
    assert found.response.value == pytest.approx(0.3, abs=0.1)
    assert found.response.p is not None
    assert found.response.p <= 0.01
    assert found.carry_over.value == pytest.approx(0.1, abs=0.1)
    assert len(found.lag) == BLOCK
    assert len(found.courses) == 5


def test_without_an_effect_it_is_found_in_one_of_twenty() -> None:
    """The p is exact on a series with a long memory and a trend: 5 % of 300 nights, to their chance."""
    ps = []
    for seed in range(300):
        response = matched_epochs(night(3, seed, trend=0.5), "flip", resamples=100, count=499).response
        assert response is not None
        ps.append(response.p)
    share = np.mean(np.array(ps) <= 0.05)
    assert share <= 0.085  # the 99.5th percentile of 300 draws at .05


def test_intents_have_three_blocks_a_round() -> None:
    """All strengths together are compared with the quiet blocks; one kind by itself too."""
    frame = night(4, 3, kind="strong", effect=0.6)
    together, alone = (matched_epochs(frame, kind).response for kind in ("intent", "strong"))
    assert together is not None
    assert alone is not None
    assert alone.value == pytest.approx(0.6, abs=0.15)
    assert together.value == pytest.approx(0.2, abs=0.15)


def test_few_rounds_give_no_p() -> None:
    """An hour has three rounds: 64 ways to change places; two rounds are refused."""
    with pytest.raises(ParameterError, match="3 rounds"):
        matched_epochs(night(2, 1), "flip")


def test_blocks_that_are_not_on_record_are_left_out() -> None:
    """A hole in the log takes its blocks away, and no others."""
    frame = night(6, 2, effect=0.3)
    second = (frame["at"] - frame["at"].min()) / 1000
    holed = frame[(second < 2000) | (second > 3300)]
    found = matched_epochs(holed, "flip")
    assert 4 <= len(found.courses) < 6
    assert found.response is not None
    assert found.response.value == pytest.approx(0.3, abs=0.12)


@pytest.mark.parametrize("kind", ["quiet", "intents"])
def test_other_kinds_are_refused(kind: str) -> None:
    """What no block is of is named with what there is."""
    with pytest.raises(ParameterError, match="pacemaker_flip"):
        matched_epochs(night(1, 1), kind)
