"""Commands: what is read back from a log does what was done."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chronoflux.errors import ParameterError
from chronoflux.model.commands import (
    Anchor,
    Change,
    Command,
    Entry,
    Fire,
    Forget,
    Hear,
    Reset,
    read_command,
    read_input,
)
from chronoflux.model.events import EVENTS, Registry
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation

COMMANDS: list[Command] = [
    Anchor(1.7e12, 2.0, "start", {"stratum": 1}),
    Fire("intent", {"x": 1.0, "y": 2.0, "E": 0.3, "sigma": 70.0}, 1.7e12 + 5, True, "a", "n"),
    Hear.rounded("p", 1.7e12 + 0.12345, 0.1, 0.2, 0.3),
    Fire("lion_gate", {"on": True}, 1.7e12 + 5, False, "b", "p"),
    Change({"kappa": 0.5}),
    Fire("pacemaker_flip", {}, 1.7e12 + 6, False, "c", "p"),
    Reset(5),
    Change({"oscillators": 12, "boundary": "plane"}),
    Forget("p"),
    Reset(None),
]


def read_back(command: Command) -> Command | None:
    """The command that a log gives back, through JSON."""
    if isinstance(command, Hear | Forget):
        return read_input(**{"at": None} | json.loads(json.dumps(command.line())))
    kind, data, *rest = json.loads(json.dumps(command.entry()))
    return read_command(Entry(kind, data, *rest))


def test_what_is_read_back_does_the_same() -> None:
    """A simulation moved by commands, and one moved by what their records say, have the same bits."""
    first, second = (Simulation(Params(oscillators=20, noise=0.01), seed=1) for _ in range(2))
    for command in COMMANDS:
        again = read_back(command)
        assert again is not None
        command.apply(first)
        again.apply(second)
        first.advance(7)
        second.advance(7)
    one, other = first.save(), second.save()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    assert first.params.oscillators == 12


@pytest.mark.parametrize("command", [command for command in COMMANDS if not isinstance(command, Anchor)])
def test_it_is_the_same_command(command: Command) -> None:
    """Data, ids, times and whose it is come back; of an anchor only what it does."""
    assert read_back(command) == command
    assert read_back(COMMANDS[0]) == Anchor(1.7e12, 2.0)


def test_a_peers_event_is_as_old_as_it_is_late() -> None:
    """Its pulse began when it was fired, in simulated time at the speed in force; an own one begins now."""
    for own, begun in ((True, 0.16), (False, 0.16 - 0.05 * 3.0)):
        sim = Simulation(Params(oscillators=5), seed=1)
        sim.anchor(1e6, 3.0)
        sim.advance(10)
        Fire("intent", {"x": 1.0, "y": 1.0}, sim.mesh_time() - 50, own).apply(sim)
        sim.advance(1)
        assert sim.save()["pulses"][0, 4] == pytest.approx(begun)


@pytest.mark.parametrize("kind", ["telemetry", "note", "peer", "end", "step", "hello"])
def test_other_records_are_no_commands(kind: str) -> None:
    """What did nothing to the swarm is None; an event that nobody here knows is refused by its name."""
    assert read_command(Entry(kind, {})) is None
    with pytest.raises(ParameterError, match="event = 'burst' is not allowed"):
        read_command(Entry("remote_burst", {}, 0.0, "a", "n"))


@pytest.mark.parametrize("name", ["reset", "params", "note", "telemetry", "remote_intent"])
def test_no_event_has_the_name_of_another_record(name: str) -> None:
    """It would be read back as something else."""

    def effect(swarm, age):  # type: ignore[no-untyped-def]
        pass

    effect.__name__ = name
    with pytest.raises(ParameterError, match=f"event = '{name}' is not allowed"):
        Registry().register(effect, wire="x", label="x")
    assert name not in EVENTS
