"""Whether anything still moves, told from series of H, H_local and omega."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chronoflux.model.params import Params
from chronoflux.model.presets import PRESETS
from chronoflux.model.simulation import Simulation
from chronoflux.model.stillness import Stillness

SECONDS = np.arange(400.0)


def of(H=0.99, H_local=0.99, omega=7.5):
    """Series over 400 s; a number stands still."""
    columns = [np.broadcast_to(column, SECONDS.shape) for column in (SECONDS, H, H_local, omega)]
    return Stillness.of(zip(*(column.tolist() for column in columns), strict=True))


def test_a_swarm_that_comes_to_rest_is_still_from_there():
    """After a rise to a level the stretch begins where the rest is within 1e-3 of the level."""
    found = of(H=1 - np.exp(-SECONDS / 10))
    assert found.lasts
    assert 20 <= found.since <= 120


@pytest.mark.parametrize("name", ["H", "H_local", "omega"])
def test_one_that_moves_is_enough(name):
    """Each of the three counts."""
    assert not of(**{name: 0.5 + 0.01 * np.sin(SECONDS)}).lasts
    assert of(**{name: 0.5 + 1e-5 * np.sin(SECONDS)}).lasts


def test_a_short_rest_and_a_slow_rise_are_no_stillness():
    """A minute of rest after an event, and 1e-3 in 20 s, both are motion."""
    event = np.where(np.abs(SECONDS - 340) < 1, 0.5, 0.9)
    assert not of(H=event).lasts
    assert not of(H=0.5 + SECONDS * 5e-5).lasts


def test_a_missing_value_counts_as_a_change():
    """Not-a-number is no proof of rest."""
    assert not of(H=np.where(SECONDS == 350, math.nan, 0.9)).lasts


def night_of(params, seconds):
    """The stillness of a swarm alone."""
    sim, found = Simulation(params, seed=1), Stillness()
    for second in range(seconds):
        sim.advance(round(1 / params.dt))
        metrics = sim.metrics()
        found.look(second + 1, metrics["H"], metrics["H_local"], metrics["omega"])
    return found


def test_the_defaults_come_to_rest_and_a_storm_does_not():
    """In 400 s the classic swarm ends still; the preset storm goes on."""
    assert night_of(Params(oscillators=60), 400).lasts
    assert not night_of(PRESETS["storm"].replace(oscillators=60), 400).lasts
