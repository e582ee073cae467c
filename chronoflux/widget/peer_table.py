"""The table of a room's peers as HTML. All values from peers are escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

HEADINGS = {"name": "peer", "state": "state", "via": "path", "H": "H", "rtt_ms": "round trip"}
MAX_ROWS = 50
PATHS = {
    "direct": "direct",
    "turn": "through a TURN server",
    "relay": "through the server",
    "server": "through the server",
    "": "none",
}


def peers_html(table: Any) -> str:
    """Return `table` (the DataFrame ``node.peers``) as HTML: per peer state, path, order and round trip.

    Missing columns are shown as unknown. The row's title says why a path is not direct.
    """
    rows = table.head(MAX_ROWS).to_dict("records")
    if not rows:
        return '<p class="chronoflux-peers">Nobody else is in the room.</p>'
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADINGS.values())
    body = "".join(_row(row) for row in rows)
    more = len(table) - len(rows)
    rest = f"<caption>and {more} more</caption>" if more else ""
    return (
        f'<table class="chronoflux-peers">{rest}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def _row(row: Mapping[str, Any]) -> str:
    via = str(row.get("via") or "")
    cells = (
        escape(str(row.get("name") or row.get("id") or "?")),
        escape(str(row.get("state") or "–")),
        PATHS.get(via, escape(via)),
        _number(row.get("H"), "{:.2f}"),
        _number(row.get("rtt_ms"), "{:.1f} ms"),
    )
    why = escape(str(row.get("reason") or ""), quote=True)
    return f'<tr title="{why}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _number(value: Any, form: str) -> str:
    if isinstance(value, int | float) and math.isfinite(value):
        return form.format(value)
    return "–"
