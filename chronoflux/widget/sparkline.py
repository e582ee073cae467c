"""The sparkline: `H`, `H_local` and `H_mesh` over the last minutes, with the null band and event marks."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from html import escape

from chronoflux.model.metrics import null_order
from chronoflux.replay.recorded import describe
from chronoflux.telemetry.recent import OrderSample, RecentRecord

SPAN = 120.0
"""Length of the time axis, s."""
SIZE = (300, 64)
"""Width and height of the drawing, in units of its SVG view box."""
CURVES = {"H": "H", "H_local": "H<sub>local</sub>", "H_mesh": "H<sub>mesh</sub>"}
"""Curves drawn: metric to label. The style sheet's classes ``chronoflux-line-…`` set their style."""
GAP = 3.0
"""A curve has a gap where two samples are this many times as far apart as they usually are."""


def sparkline_html(recent: RecentRecord, n: int, now: float) -> str:
    """Return the sparkline and its legend as HTML; see :func:`sparkline_svg`."""
    labels = "".join(f'<span class="chronoflux-key-{name}">{label}</span>' for name, label in CURVES.items())
    legend = f'<div class="chronoflux-legend">{labels}<span>▒ by chance</span></div>'
    return sparkline_svg(recent, n, now) + legend


def sparkline_svg(recent: RecentRecord, n: int, now: float) -> str:
    """Return the sparkline as SVG.

    Parameters
    ----------
    recent
        The record of the node.
    n
        Number of oscillators; the null band reaches up to the 95th percentile of `H` of `n` random phases.
    now
        The time of the right edge, s, on the clock of `recent`.
    """
    width, height = SIZE
    samples = [sample for sample in recent.order if now - SPAN <= sample.at <= now]
    null_top = height * min(null_order(n)[1], 1.0)

    def x(at: float) -> float:
        return width * (1 - (now - at) / SPAN)

    parts = [
        f'<rect class="chronoflux-null" x="0" y="{height - null_top:.1f}" width="{width}"'
        f' height="{null_top:.1f}"><title>95 % of random phases have H in this band</title></rect>'
    ]
    parts += [
        f'<line class="chronoflux-mark" x1="{x(event.at):.1f}" x2="{x(event.at):.1f}" y1="0" y2="{height}">'
        f"<title>{escape(describe(event.type, event.data))}</title></line>"
        for event in recent.events
        if now - SPAN <= event.at <= now
    ]
    for name in CURVES:
        path = _path(_with_gaps(samples, name), x)
        if path:
            parts.append(f'<path class="chronoflux-line-{name}" d="{path}"><title>{name}</title></path>')
    label = f"order over the last {SPAN:.0f} s; now {_latest(samples)}"
    shape = f'viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"'
    return f'<svg class="chronoflux-trace" {shape} aria-label="{label}">{"".join(parts)}</svg>'


def _latest(samples: Sequence[OrderSample]) -> str:
    """Return the latest values in words."""
    values = [(name, getattr(samples[-1], name)) for name in CURVES] if samples else []
    return (
        ", ".join(f"{name} {value:.2f}" for name, value in values if value is not None) or "not measured yet"
    )


def _with_gaps(samples: Sequence[OrderSample], name: str) -> Iterable[tuple[float, float | None]]:
    """Yield times and values of a curve, and None where there is a gap between two samples."""
    steps = [after.at - before.at for before, after in itertools.pairwise(samples)]
    longest = GAP * statistics.median(steps) if steps else 0.0
    for i, sample in enumerate(samples):
        if i and steps[i - 1] > longest:
            yield sample.at, None
        yield sample.at, getattr(sample, name)


def _path(points: Iterable[tuple[float, float | None]], x: Callable[[float], float]) -> str:
    """Return the SVG path through the points, with gaps where a value is missing."""
    parts, drawing = [], False
    for at, value in points:
        if value is None:
            drawing = False
            continue
        y = SIZE[1] * (1 - min(max(value, 0.0), 1.0))
        parts.append(f"{'L' if drawing else 'M'}{x(at):.1f} {y:.1f}")
        drawing = True
    return "".join(parts)
