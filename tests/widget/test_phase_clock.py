"""The phase clock: hands where the phases are, and names that can be read."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.render.picture import MeanField
from chronoflux.widget.phase_clock import LINE_HEIGHT, RADIUS, centre, labels, tip

HANDS = st.lists(st.builds(MeanField, st.floats(0, 1), st.floats(-10, 10), st.text(max_size=70)), max_size=12)
SIZE = (800, 600)


@given(HANDS)
def test_names_are_never_on_one_another(hands: list[MeanField]) -> None:
    """For all phases each hand has its label, left of the dial, in the picture, one line from the next."""
    found = labels(hands, SIZE)
    assert sorted(label.text for label in found) == sorted(hand.label[:14] for hand in hands)
    places = [label.y for label in found]
    assert all(b - a >= LINE_HEIGHT - 1e-6 for a, b in itertools.pairwise(places))
    assert all(LINE_HEIGHT / 2 - 1e-6 <= y <= SIZE[1] - LINE_HEIGHT / 2 + 1e-6 for y in places)
    assert all(label.x < centre(SIZE)[0] - RADIUS for label in found)


def test_a_name_alone_stands_level_with_its_hand() -> None:
    """A single label is level with the tip of its hand."""
    (label,) = labels([MeanField(0.5, math.pi / 2, "b")], SIZE)
    assert (label.y, label.tip) == (tip(MeanField(0.5, math.pi / 2, "b"), SIZE)[1], label.tip)
    assert label.y == pytest.approx(centre(SIZE)[1] - 21)


def test_hands_turn_anticlockwise() -> None:
    """Phase 0 points right, a quarter turn up; the length is R of the dial's radius."""
    x, y = centre(SIZE)
    assert tip(MeanField(1.0, 0.0), SIZE) == pytest.approx((x + RADIUS - 4, y))
    assert tip(MeanField(1.0, math.pi / 2), SIZE) == pytest.approx((x, y - RADIUS + 4))
