"""Two swarms coupled through their mean fields over a slow way, each on its own clock of the room.

The network exists only as numbers: fields and probes take 40 ms each way, the machines' clocks are an hour
apart and one of them runs fast.
"""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from tests.clocks import Host, Net

SECOND = 1_000.0
DELAY = 40.0  # ms
OMEGA = 2 * math.pi * 1.2


class Player:
    """A swarm kept in step with its host's mesh time, as in a node; it tells its field ten times a second."""

    def __init__(self, net: Net, host: Host, hears: bool, seed: int) -> None:
        params = Params(oscillators=60, coupling="global", kappa=2.0, mesh_coupling=0.35 if hears else 0.0)
        self.net, self.host = net, host
        self.simulation = Simulation(params, seed=seed)
        self.simulation.advance(625)  # 10 s, to be one before they meet
        self.simulation.anchor(host.mesh.now())
        self.others: list[Player] = []
        self.ignored = 0.0
        net.at(net.time, self.play)
        net.at(net.time, self.tell)

    def play(self) -> None:
        """Compute what is due."""
        late = self.host.mesh.now() - self.simulation.mesh_time()
        if late >= 16:
            self.simulation.advance(int(late // 16))
        self.net.at(self.net.time + 8, self.play)

    def tell(self) -> None:
        """Send the mean field; it arrives 40 ms later."""
        R, psi, omega = self.simulation.mean_field()
        at = self.simulation.mesh_time() + self.ignored
        for other in self.others:
            if omega == omega:
                self.net.at(
                    self.net.time + DELAY,
                    lambda other=other: other.simulation.hear(self.host.name, at, min(R, 1.0), psi, omega),
                )
        self.net.at(self.net.time + 100, self.tell)

    def phase(self) -> float:
        """ψ at this moment of the truth, carried there from the last tick, rad."""
        _, psi, omega = self.simulation.mean_field()
        return psi + omega * (self.host.mesh.now() - self.simulation.mesh_time()) / 1000


def play(*, both: bool, ignored: float = 0.0) -> tuple[float, float]:
    """Two swarms at 1.2 Hz for a minute: the common frequency (rad per true second) and the second's lag
    behind the first (rad), over its second half. `ignored` ms of the delay are not carried forward."""
    net = Net(lambda one, other: DELAY)
    net.add("a")
    net.run(3 * SECOND)
    net.add("b", wrong=3.6e6, ppm=20)
    net.run(6 * SECOND)
    first = Player(net, net.hosts["a"], hears=both, seed=1)
    second = Player(net, net.hosts["b"], hears=True, seed=2)
    first.others, second.others = [second], [first]
    first.ignored = second.ignored = ignored
    net.run(36 * SECOND)
    seen = net.run(66 * SECOND, lambda: (net.time, first.phase(), second.phase()))
    times, one, other = np.array(seen).T
    frequency = np.polyfit(times / 1000, np.unwrap(other), 1)[0]
    lag = cmath.phase(np.mean(np.exp(1j * (one - other))))
    return float(frequency), lag


@pytest.mark.parametrize("both", [True, False])
def test_forty_milliseconds_are_carried_forward(both: bool) -> None:
    """Coupled both ways over 40 ms the pair turns at 2π·1.2 within 0.01 rad/s, and coupled one way the
    follower lags by at most 0.05 rad."""
    frequency, lag = play(both=both)
    assert abs(frequency - OMEGA) <= 0.01
    assert abs(lag) <= 0.05


def test_without_carrying_forward_the_delay_shows() -> None:
    """Taken as if they had come at once, the fields would slow the pair by 0.10 rad/s and hold the follower
    0.30 rad back: the figures above do measure the delay."""
    frequency, _ = play(both=True, ignored=DELAY)
    assert frequency - OMEGA == pytest.approx(-0.10, abs=0.01)
    _, lag = play(both=False, ignored=DELAY)
    assert lag == pytest.approx(0.30, abs=0.01)
