"""The arguments of `join`, `Node`, `Recorder` and the command line are one table."""

from __future__ import annotations

import inspect
import math
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import click
import pytest

import chronoflux as cf
from chronoflux.errors import UsageError
from chronoflux.headless.__main__ import main
from chronoflux.node.options import OPTIONS, JoinOptions, NodeOptions, RecorderOptions

TAKERS: list[tuple[Any, Any]] = [
    (cf.join, JoinOptions),
    (cf.Node, NodeOptions),
    (cf.Recorder, RecorderOptions),
]
ON_THE_SHELL = {
    "server", "duration", "speed", "seed", "schedule", "schedule_start", "log_dir", "resume", "phases",
    "phases_of", "ice_servers", "ice_transport_policy", "preset",
}  # fmt: skip


@pytest.mark.parametrize(("taker", "options"), TAKERS)
def test_the_signature_and_the_docstring_are_those_of_the_options(taker: Any, options: Any) -> None:
    """`inspect.signature`, which editors and Shift-Tab show, has every option with its default; only the room
    may be positional; the docstring has an entry for each."""
    shown = inspect.signature(taker).parameters
    assert {name: entry.default for name, entry in shown.items()} == {
        entry.name: entry.default for entry in fields(options)
    }
    assert [name for name, entry in shown.items() if entry.kind is not entry.KEYWORD_ONLY] == ["room"]
    doc = inspect.getdoc(taker.__init__ if inspect.isclass(taker) else taker) or ""
    assert doc.count("Parameters\n----------\n") == 1
    for entry in fields(options):
        assert f"\n{entry.name} : {entry.type}, default {entry.default!r}\n" in doc


def test_join_stays_a_coroutine_function_with_its_sections() -> None:
    """`join` is a coroutine function; its docstring has Parameters before Raises."""
    assert inspect.iscoroutinefunction(cf.join)
    doc = inspect.getdoc(cf.join) or ""
    assert doc.startswith("Join a room")
    assert doc.index("Parameters\n---") < doc.index("Raises\n---")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scheduel": "classic"}, "join() has no option 'scheduel' (did you mean schedule?)"),
        ({"kind": "recorder", "sevrer": "auto"}, "join() has no option 'sevrer' (did you mean server?)"),
        ({"zzzz": 1}, "join() has no option 'zzzz'"),
    ],
)
async def test_a_misspelt_option_is_answered_with_the_nearest(given: Any, words: str) -> None:
    """An unknown option is a TypeError in the name of `join`, with the nearest name if there is one."""
    with pytest.raises(TypeError) as caught:
        await cf.join("room1", **given)
    assert str(caught.value) == words


def test_node_and_recorder_answer_in_their_names() -> None:
    """For nodes and recorders the TypeError has their names; only the room may be positional."""
    with pytest.raises(TypeError, match=r"^Node\(\) has no option 'kapa'$"):
        cf.Node("room1", kapa=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Recorder\(\) has no option 'log_dri' \(did you mean log_dir\?\)$"):
        cf.Recorder("room1", log_dri="logs")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Node\(\): .*only the room"):
        cf.Node("room1", "auto")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"room": " "}, "is not a valid room name"),
        ({"server": "http://x"}, "ws://"),
        ({"server": ""}, "ws://"),
        ({"node_id": ""}, "node_id"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": True}, "seed = True"),
        ({"params": {}}, "params = {}"),
        ({"params": cf.Params(), "preset": "storm"}, "both params and preset"),
        ({"kind": "recorder"}, "a recorder has no swarm"),
        ({"kind": "toaster"}, "kind = 'toaster'"),
        ({"speed": "max"}, 'speed = "max" needs a swarm without a room'),
        ({"speed": 0.0}, "speed = 0.0"),
        ({"duration": math.nan}, "duration = nan"),
        ({"phases": -1.0}, "phases = -1.0"),
        ({"phases_of": 3}, "phases_of = 3"),
        ({"ice_transport_policy": "none"}, "ice_transport_policy"),
        ({"resume": "logs/x", "seed": 3, "schedule": "night"}, "leave out seed, schedule"),
    ],
)
def test_options_are_checked_when_they_are_made(given: Any, words: str) -> None:
    """A value that is not allowed is refused by name before anything is opened."""
    with pytest.raises(UsageError) as caught:
        NodeOptions(**given)
    assert words in str(caught.value)


async def test_a_recorder_takes_nothing_of_a_swarm() -> None:
    """Every option that only a node has is refused for a recorder, unless it has its default."""
    with pytest.raises(UsageError, match=r"leave out seed, duration$"):
        await cf.join("room1", kind="recorder", seed=0, duration=3.0, params=None, speed=1.0)
    with pytest.raises(UsageError, match="a recorder needs a server"):
        RecorderOptions(server=None)


def test_options_are_frozen_and_hold_what_was_given() -> None:
    """Options are immutable; a speed is a float, a folder a Path."""
    options = NodeOptions("room1", server=None, speed=2, log_dir="here")
    assert (options.speed, options.log_dir) == (2.0, Path("here"))
    with pytest.raises(FrozenInstanceError):
        options.seed = 3  # type: ignore[misc]


def test_the_command_line_has_its_defaults_and_help_from_the_table() -> None:
    """Options of the command line that are options of `join` have the table's help and defaults; server,
    duration and schedule have other defaults there."""
    shown = {entry.name: entry for entry in main.params if isinstance(entry, click.Option)}
    assert set(shown) >= ON_THE_SHELL
    for name in ON_THE_SHELL:
        help_text = (shown[name].help or "").lower()
        assert help_text == OPTIONS[name].metadata["shell"].replace("``", "").rstrip(".").lower()
        if name not in ("server", "duration", "schedule"):
            assert shown[name].default == OPTIONS[name].default
