"""Pulls between mean fields: found where phases are coupled, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from chronoflux.analysis.pulling import pulls
from chronoflux.errors import ParameterError
from tests.analysis.test_stationarity import room

HERTZ = (1.1, 1.2, 1.3)


def noisy(coupling: NDArray[np.float64], seed: int, noise: float = 0.35, n: int = 540) -> pd.DataFrame:
    """Logs of noisy oscillators, ``coupling[i, j]`` being the pull of j on i, in rad/s."""
    rng, sub = np.random.default_rng(seed), 20
    psi, courses = rng.uniform(0, 2 * np.pi, len(coupling)), []
    for _ in range(n):
        courses.append(psi)
        for _ in range(sub):
            pull = (coupling * np.sin(psi[None, :] - psi[:, None])).sum(axis=1)
            rate = 2 * np.pi * np.array(HERTZ[: len(psi)]) + pull
            psi = psi + rate / sub + noise * rng.normal(size=len(psi)) / np.sqrt(sub)
    course = np.angle(np.exp(1j * np.array(courses)))
    return room(0.5 + 0.01 * rng.normal(size=course.shape), course)


def test_a_pull_is_found_with_its_sign() -> None:
    """Coupled oscillators that do not lock are found to pull each other; repelling is no pull."""
    coupling = 0.25 * (1 - np.eye(3))
    found = pulls(noisy(coupling, 1))
    assert found["found"].sum() >= 4
    assert (found["pull"] > 0.1).all()
    assert (found.attrs["start_up"], found.attrs["looked_at"]) == (0, True)
    away = pulls(noisy(-coupling, 2))
    assert not away["found"].any()
    assert (away["pull"] < 0).all()


def test_one_way_is_told_by_the_stronger_pull() -> None:
    """Where only the first pulls the second, that direction has the greatest correlation."""
    coupling = np.zeros((3, 3))
    coupling[1, 0] = 0.3
    found = pulls(noisy(coupling, 3))
    assert found.loc[("n0", "n1"), "found"]
    assert found["pull"].idxmax() == ("n0", "n1")


def test_strangers_do_not_pull_each_other() -> None:
    """Of 60 rooms of strangers at most 8 find a pull: 3 expected, more than 8 in 1 of 300."""
    wrong = sum(pulls(noisy(np.zeros((3, 3)), 100 + k), count=39)["found"].any() for k in range(60))
    assert wrong <= 8


def test_a_locked_room_is_told_to_be() -> None:
    """Nodes that turn evenly and alike are refused as locked, not judged."""
    psi = np.angle(np.exp(1j * (2 * np.pi * 1.2 * np.arange(300)[:, None] + [0.0, 0.4])))
    with pytest.raises(ParameterError, match="locked: nothing moves"):
        pulls(room(0.9 + 0 * psi, psi))
