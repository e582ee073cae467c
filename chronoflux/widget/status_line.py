"""The status line of a node as HTML. All text from outside is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from chronoflux.model.metrics import null_order
from chronoflux.widget.frame_flow import Pace

LIGHTS = {
    "linked": "linked to peers directly",
    "relay": "linked through a relay",
    "server": "joined, through the signaling server only",
    "alone": "alone",
}


def status_html(
    status: Any,
    metrics: Mapping[str, Any],
    n: int,
    problem: str | None = None,
    *,
    t: float | None = None,
    drawn: int | None = None,
    pace: Pace | None = None,
) -> str:
    """Return the status line as HTML.

    Parameters
    ----------
    status
        The node's ``NodeStatus`` (room, node_id, light, text, problem).
    metrics
        The node's latest metrics.
    n
        Number of oscillators.
    problem
        A problem of the view, or what a control's last action was refused for.
    t
        Simulated time, s; not shown if None.
    drawn
        Number of oscillators in the picture; shown if less than `n`.
    pace
        Frame rate and delay; not shown if None.
    """
    light = status.light if status.light in LIGHTS else "alone"
    peers = int(metrics.get("peers") or 0)
    meaning = escape(_light_title(status, light), quote=True)
    title = f'title="{meaning}" role="img" aria-label="{meaning}"'
    parts = [
        f'<span class="chronoflux-light chronoflux-{light}" {title}>●</span> {escape(str(status.text))}',
        f"room <b>{escape(str(status.room))}</b>",
        f"{peers} peer{'' if peers == 1 else 's'}",
        _order_html(metrics.get("H"), n),
    ]
    if peers:
        parts.append(f"H<sub>mesh</sub> {_number(metrics.get('H_mesh'), 2)}")
    parts.append(f'<span title="turbulence of the field">τ</span> {_number(metrics.get("tau"), 4)}')
    if t is not None:
        parts.append(f'<span title="simulated time">t</span> {t:,.2f} s')
    if drawn is not None and drawn < n:
        parts.append(f"{drawn:,} of {n:,} drawn")
    if pace is not None:
        parts.append(f"{pace.rate:.0f} frames/s, {_number(pace.lag_ms, 0)} ms delay, {pace.missed:,} skipped")
    line = "".join(f'<span class="chronoflux-fact">{part}</span>' for part in parts)
    problems = [text for text in (status.problem, problem) if text]
    warnings = "".join(f'<div class="chronoflux-problem">⚠ {escape(str(text))}</div>' for text in problems)
    return f'<div class="chronoflux-status">{line}</div>{warnings}'


def _light_title(status: Any, light: str) -> str:
    """Return what the light means, and the reason for it."""
    return "; ".join(str(part) for part in (LIGHTS[light], status.text, status.problem) if part)


def _order_html(H: Any, n: int) -> str:
    """Return ``H`` as number and bar, with the null band of independent random phases."""
    mean, top = null_order(n)
    value = H if isinstance(H, int | float) and math.isfinite(H) else 0.0
    title = f"order parameter; for {n} independent random phases: mean {mean:.2f}, 95th percentile {top:.2f}"
    bar = (
        f'<span class="chronoflux-bar"><i style="width:{100 * top:.0f}%"></i>'
        f'<b style="width:{100 * min(max(value, 0.0), 1.0):.0f}%"></b></span>'
    )
    chance = f'<small title="{title}">by chance {mean:.2f}, 95 % below {top:.2f}</small>'
    return f'<span title="{title}">H {_number(H, 2)} {bar}</span> {chance}'


def _number(value: Any, digits: int) -> str:
    if isinstance(value, int | float) and math.isfinite(value):
        return f"{value:.{digits}f}"
    return "–"
