"""The phase clock in the corner of the picture: direction ``psi`` and length ``R`` of each mean field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ipycanvas import Canvas

from chronoflux.render.picture import Bytes, MeanField

MOST_HANDS = 12
"""Peers' hands drawn at most."""
RADIUS = 46.0
"""Radius of the dial, px."""
LINE = 15.0
"""Vertical distance between two names, px."""
LETTERS = 14
"""Longest name shown, in characters; longer names are cut."""
_LETTER = 6.3
"""Approximate width of a character at font size 11 px, in px."""
_RIM = 64
"""Arcs in the coloured rim, which is the colour key of the oscillators."""
_GROUND = "rgba(4, 6, 14, 0.72)"


class Label(NamedTuple):
    """A name beside the clock: text, ``x`` of its right end and ``y`` of its middle (px), tip of its hand."""

    text: str
    x: float
    y: float
    tip: tuple[float, float]


def centre(size: tuple[int, int]) -> tuple[float, float]:
    """Return the centre of the clock in a picture of `size` px."""
    return size[0] - RADIUS - 16, size[1] - RADIUS - 16


def tip(hand: MeanField, size: tuple[int, int]) -> tuple[float, float]:
    """Return the end of a hand, px of the picture. Angles run anticlockwise from the right, as phases do."""
    x, y = centre(size)
    reach = (RADIUS - 4) * hand.R
    return x + reach * math.cos(hand.psi), y - reach * math.sin(hand.psi)


def labels(hands: Sequence[MeanField], size: tuple[int, int]) -> list[Label]:
    """Place the names of `hands` in a column left of the clock, ordered by their tips, without overlap."""
    x, _ = centre(size)
    tips = sorted(((tip(hand, size), hand.label) for hand in hands), key=lambda entry: entry[0][1])
    places: list[float] = []
    for (_, wanted), _ in tips:
        places.append(max(wanted, places[-1] + LINE) if places else wanted)
    # Centre the column on the mean height of the tips, but keep it inside the picture.
    if places:
        late = sum(place - at[1] for place, (at, _) in zip(places, tips, strict=True)) / len(places)
        lowest, highest = size[1] - LINE / 2 - places[-1], LINE / 2 - places[0]
        shift = max(min(-late, lowest), highest)
        places = [place + shift for place in places]
    right = x - RADIUS - 18
    return [Label(text[:LETTERS], right, place, at) for place, (at, text) in zip(places, tips, strict=True)]


class Clock:
    """Draw the clock of pictures of `size` px, with a rim in the cyclic colour map `phases` (256, 3)."""

    def __init__(self, size: tuple[int, int], phases: Bytes) -> None:
        self._size = size
        x, y = centre(size)
        start = np.arange(_RIM) * (2 * np.pi / _RIM)
        every = np.full(_RIM, 1, np.float32)
        hues = phases[np.arange(_RIM) * len(phases) // _RIM].copy()
        # The canvas counts angles clockwise, the clock anticlockwise.
        angles = -(start + 2 * np.pi / _RIM + 0.02).astype(np.float32), -start.astype(np.float32)
        self._rim: tuple[Any, ...] = x * every, y * every, (RADIUS + 3) * every, *angles, hues, every

    def draw(self, pen: Canvas, hands: Sequence[MeanField]) -> None:
        """Draw `hands`; the first is the swarm's own."""
        x, y = centre(self._size)
        own, *peers = hands[: MOST_HANDS + 1]
        pen.fill_style = _GROUND
        pen.fill_circle(x, y, RADIUS + 6)
        pen.line_width = 4
        pen.stroke_styled_arcs(*self._rim)
        pen.line_cap = "round"
        self._name(pen, labels(peers, self._size))
        pen.stroke_style, pen.line_width = "rgba(160, 205, 255, 0.9)", 1.5
        for hand in peers:
            pen.stroke_line(x, y, *tip(hand, self._size))
        pen.stroke_style, pen.line_width = "white", 3
        pen.stroke_line(x, y, *tip(own, self._size))

    def _name(self, pen: Canvas, names: Sequence[Label]) -> None:
        pen.font = "11px system-ui, sans-serif"
        pen.text_align, pen.text_baseline = "right", "middle"
        pen.stroke_style, pen.line_width = "rgba(160, 205, 255, 0.45)", 1
        for label in names:
            pen.stroke_line(label.x + 4, label.y, *label.tip)
            width = _LETTER * len(label.text) + 8
            pen.fill_style = _GROUND
            pen.fill_rect(label.x - width + 4, label.y - LINE / 2 + 0.5, width, LINE - 1)
            pen.fill_style = "rgba(215, 232, 255, 1)"
            pen.fill_text(label.text, label.x, label.y)
