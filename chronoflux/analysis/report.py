"""The report on the logs of a room, as text and as one HTML page.

It begins with a summary of five sentences. A measure that refuses its input is not left out silently: its
section says what was not measured and why.
"""

from __future__ import annotations

import base64
import html
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from typing import TYPE_CHECKING

from chronoflux.analysis.folders import Folder
from chronoflux.analysis.null_comparison import TITLE, judge_room
from chronoflux.analysis.sections import SECTIONS
from chronoflux.analysis.settling import part_of
from chronoflux.analysis.significance import P_VALUE
from chronoflux.analysis.study import Section, Study
from chronoflux.analysis.summary import summarise
from chronoflux.analysis.tables import of_room
from chronoflux.errors import ChronofluxError
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from chronoflux.replay.null_runs import NullRuns


@dataclass
class Report:
    """The sections of one study; `text` is for a terminal, `html` is a page that needs no other file.

    ``summary``: the five sentences at the beginning. ``methods``: what all measures have in common.
    """

    name: str
    sections: list[Section]
    methods: str
    summary: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the report as text, without figures."""
        parts = ["\n".join(self.summary)] if self.summary else []
        parts += [f"{s.title}\n" + "\n".join(f"  {line}" for line in s.lines) for s in self.sections]
        return "\n\n".join(parts)

    def html(self) -> str:
        """Return the report as one HTML page with embedded figures."""
        places = [f'<a href="#s{i}">{html.escape(s.title)}</a>' for i, s in enumerate(self.sections)]
        places.append('<a href="#methods">Methods</a>')
        body = [f"<h1>{html.escape(self.name)}</h1>\n<nav>{' · '.join(places)}</nav>"]
        sentences = [f"<p>{html.escape(sentence)}</p>" for sentence in self.summary]
        body += ["<section>", *sentences, "</section>"] if sentences else []
        for i, section in enumerate(self.sections):
            body.append(f'<h2 id="s{i}">{html.escape(section.title)}</h2>')
            body += [f"<p>{html.escape(line)}</p>" for line in section.lines]
            body += [_picture(figure, section.title) for figure in section.figures]
            body += [_table(rows, table) for rows, table in section.tables.items()]
        sources = dict.fromkeys(source for section in self.sections for source in section.sources)
        sources[f"p-values by surrogates: {P_VALUE}"] = None
        body.append(f"<h2 id='methods'>Methods</h2>\n<p>{html.escape(self.methods)}</p>\n<ul>")
        body += [f"<li>{html.escape(source)}</li>" for source in sources]
        return _PAGE.format(title=html.escape(self.name), body="\n".join([*body, "</ul>"]))


def study_room(
    frame: pd.DataFrame,
    *,
    room: str | None = None,
    surrogates: int = 199,
    seed: int = 0,
    ksg: int = 3,
    skip_settling: bool = True,
    begin: float = 0.0,
    end: float = math.inf,
    folders: Sequence[Folder] = (),
    null_runs: Callable[[], NullRuns] | None = None,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Report:
    """Run every section of the report on the logs of a room.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    room
        The room; may be left out when there is only one.
    surrogates, seed
        Number of surrogates, and the seed they are drawn from.
    ksg
        Number of the strongest directions of information flow that are measured by the KSG estimator too.
    skip_settling
        Leave out the start-up of each run: see :func:`~chronoflux.analysis.settling.start_up`.
    begin, end
        Use only records between these times, s of mesh time since the first record of the room.
    folders
        The run folders of the frame, whose manifests name the schedules; see
        :func:`~chronoflux.analysis.folders.run_folders`.
    null_runs
        Returns null runs of the room to compare it with, such as
        ``lambda: analysis.null_runs(["logs/n1", "logs/n2"])``; None: no comparison.
    progress
        Wraps the iteration over section titles, to show progress.

    Raises
    ------
    ParameterError
        When the frame holds several rooms and none was named, or no records are left.
    """
    whole = of_room(frame, room)
    whole.attrs = dict(frame.attrs)

    def part(records: pd.DataFrame) -> pd.DataFrame:
        return part_of(records, skip_settling=skip_settling, begin=begin, end=end).frame

    chosen, told = part_of(whole, skip_settling=skip_settling, begin=begin, end=end)
    swarms = [folder for folder in folders if folder.has_swarm]
    night = bool(swarms) and all(folder.facts.get("schedule") == NIGHT for folder in swarms)
    study = Study(chosen, surrogates, seed, ksg, night)
    sections = []
    for title in progress([*SECTIONS, *([TITLE] if null_runs is not None else [])]):
        section = Section(title)
        try:
            if title == TITLE and null_runs is not None:
                judge_room(null_runs, section, part=part)
            else:
                SECTIONS[title](study, section)
        except ChronofluxError as error:
            section.refuse("", error)
        sections.append(section)
    sections[0].lines += told
    rooms = chosen["room"].dropna().unique()
    name = rooms[0] if len(rooms) else "a room without a name"
    summary = summarise(study, sections, null_runs=null_runs is not None)
    return Report(f"ChronoFlux: {name}", sections, _methods(study), summary)


def _methods(study: Study) -> str:
    """Return what all measures have in common, how surrogates were drawn, and the versions used."""
    used = []
    for package in ("numpy", "scipy", "pandas", "matplotlib", "ruptures"):
        with suppress(PackageNotFoundError):
            used.append(f"{package} {version(package)}")
    return (
        f"{_METHODS} Chance was judged by {study.surrogates} surrogates where no other number is given, "
        f"drawn from seed {study.seed}: the same logs, options and versions give the same report. "
        f"ChronoFlux {VERSION}, {', '.join(used)}."
    )


def _table(name: str, table: pd.DataFrame) -> str:
    """Return a table as HTML, collapsed when it is long."""
    short = "open" if len(table) <= SHORT else ""
    rows = table.to_html(index=False, border=0)
    return f"<details {short}><summary>{len(table)} {name}</summary><div>{rows}</div></details>"


def _picture(figure: Figure, title: str) -> str:
    for ax in figure.axes:
        if not ax.has_data() and not ax.texts:
            ax.remove()
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # of a name in a script that the font lacks
        figure.savefig(target, format="png", dpi=110)
    data = base64.b64encode(target.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'


NIGHT = "night"
"""The schedule whose blocks are compared, as named in manifests."""
SHORT = 12
"""Most rows of a table that is shown expanded."""
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
h2 {{ border-top: 1px solid #ccc; margin-top: 2.2rem; padding-top: .8rem; }}
nav {{ color: #888; }}
p {{ margin: .35rem 0; }}
section {{ font-size: 1.1em; border-left: 4px solid #0072b2; padding-left: 1rem; margin: 1.4rem 0; }}
section p {{ margin: .6rem 0; }}
img {{ max-width: 100%; margin: .6rem 0; }}
summary {{ cursor: pointer; color: #555; margin: .4rem 0; }}
div {{ overflow-x: auto; }}
@media print {{ h2, img {{ break-inside: avoid; break-after: avoid; }} }}
table {{ border-collapse: collapse; font-size: 13px; }}
td, th {{ padding: .15rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
