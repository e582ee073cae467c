"""The phase clock in the corner of the picture: direction ``psi`` and length ``R`` of each mean field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from ipycanvas import Canvas

from chronoflux.render.picture import Bytes, MeanField

MAX_HANDS = 12
"""Peers' hands drawn at most."""
RADIUS = 46.0
"""Radius of the dial, px."""
LINE_HEIGHT = 15.0
"""Vertical distance between two names, px."""
MAX_LETTERS = 14
"""Longest name shown, in characters; longer names are cut."""
_LETTER_WIDTH = 6.3
"""Approximate width of a character at font size 11 px, in px."""
_RIM_ARCS = 64
"""Arcs in the coloured rim, which is the colour key of the oscillators."""
_BACKGROUND = "rgba(4, 6, 14, 0.72)"


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
    for (_, y), _ in tips:
        places.append(max(y, places[-1] + LINE_HEIGHT) if places else y)
    # Centre the column on the mean height of the tips, but keep it inside the picture.
    if places:
        lowered = sum(place - at[1] for place, (at, _) in zip(places, tips, strict=True)) / len(places)
        lowest, highest = size[1] - LINE_HEIGHT / 2 - places[-1], LINE_HEIGHT / 2 - places[0]
        shift = max(min(-lowered, lowest), highest)
        places = [place + shift for place in places]
    right = x - RADIUS - 18
    rows = zip(places, tips, strict=True)
    return [Label(text[:MAX_LETTERS], right, place, at) for place, (at, text) in rows]


class PhaseClock:
    """Draw the clock of pictures of `size` px, with a rim in the cyclic colour map `phases` (256, 3)."""

    def __init__(self, size: tuple[int, int], phases: Bytes) -> None:
        self._size = size
        x, y = centre(size)
        start = np.arange(_RIM_ARCS) * (2 * np.pi / _RIM_ARCS)
        ones = np.full(_RIM_ARCS, 1, np.float32)
        hues = phases[np.arange(_RIM_ARCS) * len(phases) // _RIM_ARCS].copy()
        # The canvas counts angles clockwise, the clock anticlockwise.
        angles = -(start + 2 * np.pi / _RIM_ARCS + 0.02).astype(np.float32), -start.astype(np.float32)
        self._rim: tuple[Any, ...] = x * ones, y * ones, (RADIUS + 3) * ones, *angles, hues, ones

    def draw(self, canvas: Canvas, hands: Sequence[MeanField]) -> None:
        """Draw `hands`; the first is the swarm's own."""
        x, y = centre(self._size)
        own, *peers = hands[: MAX_HANDS + 1]
        canvas.fill_style = _BACKGROUND
        canvas.fill_circle(x, y, RADIUS + 6)
        canvas.line_width = 4
        canvas.stroke_styled_arcs(*self._rim)
        canvas.line_cap = "round"
        self._draw_labels(canvas, labels(peers, self._size))
        canvas.stroke_style, canvas.line_width = "rgba(160, 205, 255, 0.9)", 1.5
        for hand in peers:
            canvas.stroke_line(x, y, *tip(hand, self._size))
        canvas.stroke_style, canvas.line_width = "white", 3
        canvas.stroke_line(x, y, *tip(own, self._size))

    def _draw_labels(self, canvas: Canvas, shown: Sequence[Label]) -> None:
        canvas.font = "11px system-ui, sans-serif"
        canvas.text_align, canvas.text_baseline = "right", "middle"
        canvas.stroke_style, canvas.line_width = "rgba(160, 205, 255, 0.45)", 1
        for label in shown:
            canvas.stroke_line(label.x + 4, label.y, *label.tip)
            width = _LETTER_WIDTH * len(label.text) + 8
            canvas.fill_style = _BACKGROUND
            canvas.fill_rect(label.x - width + 4, label.y - LINE_HEIGHT / 2 + 0.5, width, LINE_HEIGHT - 1)
            canvas.fill_style = "rgba(215, 232, 255, 1)"
            canvas.fill_text(label.text, label.x, label.y)
