"""An attribute that an object does not have is refused, and the error says what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import chronoflux as cf
from chronoflux.util.attributes import FixedAttributes
from tests.runs import make_run

SMALL = cf.Params(oscillators=10)


def made(kind: str, folder: Path) -> Any:
    if kind == "Node":
        return cf.Node(server=None, params=SMALL, log_dir=folder)
    if kind == "Recorder":
        return cf.Recorder(server="ws://localhost:1", log_dir=folder)
    return cf.Replay(make_run(folder)) if kind == "Replay" else cf.Simulation(SMALL, seed=1)


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        ("Node", "kappa", 2, "; parameters change by node.params = node.params.replace(kappa=2)"),
        ("Node", "sped", 2.0, " (did you mean speed?)"),
        ("Node", "zzzz", 1, ""),
        ("Recorder", "rooms", "x", " (did you mean room?)"),
        ("Recorder", "kappa", 2, ""),
        ("Replay", "positions", 3.0, " (did you mean position?)"),
        (
            "Simulation", "coupling", "global",
            "; parameters change by simulation.params = simulation.params.replace(coupling='global')",
        ),
        ("Simulation", "sed", 3, " (did you mean seed?)"),
    ],
)  # fmt: skip
def test_an_unknown_attribute_is_refused(
    kind: str, name: str, value: object, words: str, tmp_path: Path
) -> None:
    """The error names the class and the attribute, and what changes a parameter or the nearest attribute;
    nothing is set. A name that begins with an underscore is free."""
    thing = made(kind, tmp_path)
    with pytest.raises(AttributeError) as caught:
        setattr(thing, name, value)
    assert str(caught.value) == f"{kind} has no attribute {name}{words}"
    assert name not in vars(thing)
    thing._own = value
    assert thing._own == value


def test_what_the_class_declares_can_be_set() -> None:
    """Annotated, defined and inherited attributes and properties with a setter take values; subclasses add
    their own."""

    class Base(FixedAttributes):
        size: int
        colour = "red"

        @property
        def width(self) -> int:
            return self.size

        @width.setter
        def width(self, width: int) -> None:
            self.size = width

    class Derived(Base):
        depth: float

    thing = Derived()
    thing.colour, thing.depth, thing.width = "blue", 2.0, 7
    assert (thing.colour, thing.depth, thing.size) == ("blue", 2.0, 7)
    with pytest.raises(AttributeError, match=r"^Derived has no attribute color \(did you mean colour\?\)$"):
        thing.color = "green"  # type: ignore[attr-defined]
