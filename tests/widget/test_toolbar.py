"""The toolbar: run controls, events and notes."""

from __future__ import annotations

from chronoflux.model.events import EVENTS
from chronoflux.widget import NodeView
from tests.pages import Page, within
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import button, end, labels

OTHERS = ["Defaults", "Picture", "Clip", "Log"]


async def test_the_buttons_are_the_registry(front: Page, source: SwarmSource) -> None:
    """Play, Step, Reset and every event have a button, in the registry's order, with the event's label."""
    view = NodeView(source)
    assert labels(view) == ["Pause", "Step", "Reset", "+ Intent", "Lion Gate: off", "Pacemaker Flip", *OTHERS]
    front.press(button(view, "Pacemaker Flip"))
    front.press(button(view, "+ Intent"))
    (flip, _, thread), (intent, place, _) = source.fired
    assert (flip, intent, thread) == ("pacemaker_flip", "intent", "subshell")
    assert 0 <= place["x"] <= 800
    assert 0 <= place["y"] <= 600
    await end(view)


async def test_a_newly_registered_event_gets_a_button(front: Page, source: SwarmSource) -> None:
    """An event registered while the view is open gets a button that works; unregistered, it loses it."""
    view = NodeView(source)
    front.watch(view)

    def freeze(swarm: object, age: float) -> None:
        """Stop everybody."""

    EVENTS.register(freeze, wire="freeze", label="Freeze!")
    try:
        await until(lambda: "Freeze!" in labels(view))
        front.press(button(view, "Freeze!"))
        assert source.fired[-1][0] == "freeze"
    finally:
        EVENTS.unregister("freeze")
    await until(lambda: "Freeze!" not in labels(view))
    await end(view)


async def test_lion_gate_toggles_and_shows_it(front: Page, source: SwarmSource) -> None:
    """Each press requests the opposite state; the button shows the current state, whoever switched it."""
    view = NodeView(source)
    source.start()
    front.watch(view)
    front.press(button(view, "Lion Gate"))
    await until(lambda: "Lion Gate: on" in labels(view))
    assert source.fired[-1][1] == {"on": True}
    front.press(button(view, "Lion Gate"))
    await until(lambda: "Lion Gate: off" in labels(view))
    assert source.fired[-1][1] == {"on": False}
    await source.leave()
    await end(view)


async def test_portal_mode_switched_elsewhere_is_shown(front: Page, source: SwarmSource) -> None:
    """A Lion Gate of another node turns this view's button on."""
    source.simulation.lion_gate()
    source.simulation.advance()
    view = NodeView(source)
    assert "Lion Gate: on" in labels(view)
    await end(view)


async def test_a_toggle_is_the_same_in_every_view(front: Page, source: SwarmSource) -> None:
    """A custom standing event shows the state on record, whichever view or node switched it."""

    def calm(swarm: object, age: float, *, on: bool) -> None:
        """Calm the swarm."""

    EVENTS.register(calm, wire="calm", label="Calm", standing=True)
    try:
        source.recent.add("remote_calm", {"on": True}, {})
        view = NodeView(source)
        assert "Calm: on" in labels(view)
        await end(view)
    finally:
        EVENTS.unregister("calm")


async def test_play_and_pause(front: Page, source: SwarmSource) -> None:
    """The first button pauses and continues the swarm; its label says which it will do."""
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Pause"))
    assert not source.playing
    await until(lambda: "Play" in labels(view))
    front.press(button(view, "Play"))
    assert source.playing
    await end(view)


async def test_step_reset_and_speed(front: Page, source: SwarmSource) -> None:
    """Each press is one step or one new swarm; a speed chosen here, and one set elsewhere, are both shown;
    a swarm at full speed has none to choose."""
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Step"))
    front.press(button(view, "Step"))
    front.press(button(view, "Reset"))
    assert (source.steps, source.resets) == (2, 1)
    await until(lambda: "Play" in labels(view))
    menu = next(w for w in within(view) if getattr(w, "description", "") == "speed")
    assert menu.value == source.speed == 1.0
    menu.value = 4.0
    assert source.speed == 4.0
    source.speed = 60.0
    await until(lambda: menu.value == 60.0)
    assert menu.label == "× 60"
    source.speed = 0.25
    await until(lambda: menu.label == "× ¼")
    assert source.speed == 0.25
    source.speed = "max"
    await until(lambda: menu.disabled)
    assert (menu.label, source.speed) == ("max", "max")
    await end(view)


async def test_a_note_goes_into_the_log(front: Page, source: SwarmSource) -> None:
    """A typed note is written to the log once, and the field is empty again."""
    view = NodeView(source)
    field = next(w for w in within(view) if "Write a note" in str(getattr(w, "tooltip", "")))
    field.value = "  coffee "
    assert source.notes == ["coffee"]
    assert field.value == ""
    await end(view)
