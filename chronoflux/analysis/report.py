"""From the logs of a room to an answer: what was measured, as lines to read and as one HTML page.

What a measure refuses is not left out silently: its section says what was not measured and why.
"""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from chronoflux.analysis.sections import SECTIONS, Section, Study
from chronoflux.analysis.tables import of_room
from chronoflux.errors import ChronofluxError
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass
class Report:
    """The sections of one study; `text` for a terminal, `html` for a page that needs no other file."""

    name: str
    sections: list[Section]

    def text(self) -> str:
        """What was found, without pictures."""
        parts = [f"{s.title}\n" + "\n".join(f"  {line}" for line in s.lines) for s in self.sections]
        return "\n\n".join(parts)

    def html(self) -> str:
        """One page with everything in it."""
        body = [f"<h1>{html.escape(self.name)}</h1>"]
        for section in self.sections:
            body.append(f"<h2>{html.escape(section.title)}</h2>")
            body += [f"<p>{html.escape(line)}</p>" for line in section.lines]
            body += [_picture(figure, section.title) for figure in section.figures]
            body += [f"<div>{table.to_html(index=False, border=0)}</div>" for table in section.tables]
        sources = dict.fromkeys(source for section in self.sections for source in section.sources)
        body.append(f"<h2>Methods</h2>\n<p>{_METHODS} ChronoFlux {VERSION}.</p>\n<ul>")
        body += [f"<li>{html.escape(source)}</li>" for source in sources]
        return _PAGE.format(title=html.escape(self.name), body="\n".join([*body, "</ul>"]))


def study_room(
    frame: pd.DataFrame,
    *,
    room: str | None = None,
    surrogates: int = 199,
    seed: int = 0,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Report:
    """Measure everything there is to measure on the logs of a room.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    room
        Which room; may be left out when there is only one.
    surrogates, seed
        How many, and what they are drawn from.
    progress
        Wraps the sections, to show how far the work has come.

    Raises
    ------
    ParameterError
        When the frame holds several rooms and none was named.
    """
    chosen = of_room(frame, room)
    chosen.attrs = dict(frame.attrs)
    study = Study(chosen, surrogates, seed)
    sections = []
    for title in progress(SECTIONS):
        section = Section(title)
        try:
            SECTIONS[title](study, section)
        except ChronofluxError as error:
            section.lines.append(f"not measured: {error}")
        sections.append(section)
    rooms = chosen["room"].dropna().unique()
    return Report(f"ChronoFlux: {rooms[0] if len(rooms) else 'a room without a name'}", sections)


def _picture(figure: Figure, title: str) -> str:
    for ax in figure.axes:
        if not ax.has_data() and not ax.texts:
            ax.remove()
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # of a name in a script without letters here
        figure.savefig(target, format="png", dpi=110)
    data = base64.b64encode(target.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


_METHODS = (
    "Nodes were laid beside each other on mesh time, in steps of 1 s, each moment taking the nearest record "
    "up to three quarters of a step away; missing ones were left out and counted. Where a measure needs "
    "nodes without a break, holes of up to 5 s were bridged by straight lines, and counted."
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ max-width: 100%; }}
div {{ overflow-x: auto; max-height: 24rem; }}
table {{ border-collapse: collapse; font-size: 13px; }}
td, th {{ padding: .15rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
