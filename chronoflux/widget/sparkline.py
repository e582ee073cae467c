"""The sparkline: `H`, `H_local` and `H_mesh` over the last minutes, with the null band and event marks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

from chronoflux.model.metrics import null_order

SPAN = 120.0
"""Length of the time axis, s."""
SIZE = (300, 64)
"""Width and height of the drawing, in units of its SVG view box."""
LINES = {"H": "H", "H_local": "H<sub>local</sub>", "H_mesh": "H<sub>mesh</sub>"}
"""Curves drawn: metric to label. The style sheet's classes ``chronoflux-line-…`` set their style."""


class Point(NamedTuple):
    """One sample: time in s, and the values in the order of `LINES`, None where a value is missing."""

    at: float
    values: tuple[float | None, ...]


class Trace:
    """Keep the last `SPAN` seconds of metrics and marks, and draw them as SVG. Times are s of any clock."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque()
        self._marks: deque[tuple[float, str]] = deque(maxlen=200)

    def add(self, at: float, metrics: Mapping[str, Any]) -> None:
        """Add the metrics of time `at`."""
        self._points.append(Point(at, tuple(_order(metrics.get(name)) for name in LINES)))
        while self._points[0].at < at - SPAN:
            self._points.popleft()

    def mark(self, at: float, what: str) -> None:
        """Add an event mark with the description `what`."""
        self._marks.append((at, what))

    def html(self, n: int) -> str:
        """Return the sparkline and its legend as HTML."""
        names = "".join(f'<span class="chronoflux-key-{name}">{sign}</span>' for name, sign in LINES.items())
        return f'{self.svg(n)}<div class="chronoflux-legend">{names}<span>▒ by chance</span></div>'

    def svg(self, n: int) -> str:
        """Return the sparkline as SVG, with a band up to the 95th percentile of `H` of `n` random phases."""
        width, height = SIZE
        now = self._points[-1].at if self._points else 0.0
        top = min(null_order(n)[1], 1.0)

        def x(at: float) -> float:
            return width * (1 - (now - at) / SPAN)

        parts = [
            f'<rect class="chronoflux-null" x="0" y="{height * (1 - top):.1f}" width="{width}"'
            f' height="{height * top:.1f}"><title>H by chance, 95 % of the time</title></rect>'
        ]
        parts += [
            f'<line class="chronoflux-mark" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="0" y2="{height}">'
            f"<title>{escape(what)}</title></line>"
            for at, what in self._marks
            if 0 <= x(at) <= width
        ]
        for i, name in enumerate(LINES):
            path = _path((x(point.at), point.values[i]) for point in self._points)
            if path:
                parts.append(f'<path class="chronoflux-line-{name}" d="{path}"><title>{name}</title></path>')
        latest = self._points[-1].values if self._points else (None,) * len(LINES)
        said = ", ".join(
            f"{name} {value:.2f}" for name, value in zip(LINES, latest, strict=True) if value is not None
        )
        label = f"order over the last {SPAN:.0f} s; now {said or 'nothing yet'}"
        shape = f'viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
        return f'<svg class="chronoflux-trace" {shape} aria-label="{label}">{"".join(parts)}</svg>'


def _order(value: Any) -> float | None:
    if isinstance(value, int | float) and math.isfinite(value):
        return min(max(float(value), 0.0), 1.0)
    return None


def _path(points: Iterable[tuple[float, float | None]]) -> str:
    """Return the SVG path through the points, with gaps where a value is missing."""
    parts, drawing = [], False
    for x, value in points:
        if value is None:
            drawing = False
            continue
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {SIZE[1] * (1 - value):.1f}")
        drawing = True
    return "".join(parts)
