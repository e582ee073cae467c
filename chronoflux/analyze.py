"""``python -m chronoflux.analyze``: a summary and a report of a room, from its logs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from chronoflux.cli import run_command, run_face
from chronoflux.errors import ParameterError, UsageError, plain
from chronoflux.util.help_page import HelpPage
from chronoflux.util.text import plain_lines

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.analysis.folders import Folder
    from chronoflux.replay.null_runs import NullRuns

LEAST_NULL_RUNS = 19
"""Least number of null runs with which p can reach 0.05."""


@click.command(
    cls=HelpPage,
    examples=("chronoflux analyze logs", "chronoflux analyze logs --room room1 --from 10m --out report.html"),
)
@click.argument("logs", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="also write the report to this file, as one HTML page",
)
@click.option("--room", help="name of the room, if the logs hold several")
@click.option(
    "--surrogates",
    type=click.IntRange(19, 99_999),
    default=199,
    show_default=True,
    help="number of surrogates behind each p-value",
)
@click.option(
    "--ksg",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="number of directions found that are measured again by the KSG estimator, which is slow",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="seed of the surrogates")
@click.option(
    "--skip-settling/--no-skip-settling",
    default=True,
    show_default=True,
    help="leave out the start-up of each run, until H reaches its later range; the report says how much",
)
@click.option(
    "--from",
    "begin",
    metavar="TIME",
    help="use records from this time on: 90s, 5m or 1h30m since the first record, or a date and time such as "
    "2026-11-23T22:00:00Z",
)
@click.option("--to", "end", metavar="TIME", help="use records up to this time")
@click.option(
    "--null-runs",
    type=click.IntRange(0, 99_999),
    default=0,
    show_default=True,
    help="recompute the room this many times without coupling between nodes, and test whether its nodes are "
    "more than unrelated swarms; at least 19; needs the run folders",
)
@click.option("--debug", is_flag=True, help="show tracebacks")
def main(debug: bool, **options: Any) -> None:
    """Analyse LOGS: run folders of one room, a folder that contains them, log files, or glob patterns.

    The report begins with five sentences: who was there, what happened, what was found, how certain that is,
    and what could not be tested. Then follow runs and gaps, order over time, which nodes were locked and
    when, responses to events, change points, spectrum, pulls, spread and information flow between nodes, and
    emergence. It is printed in the terminal. With --out it is also written as an HTML page with figures and
    sources.
    """
    run_face(lambda: _run(**options), debug=debug)


async def _run(
    logs: tuple[str, ...],
    out: Path | None,
    begin: str | None,
    end: str | None,
    null_runs: int,
    room: str | None,
    **options: Any,
) -> None:
    from chronoflux.analysis.folders import run_folders
    from chronoflux.analysis.report import study_room
    from chronoflux.analysis.sections import SECTIONS
    from chronoflux.telemetry import load

    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.parent} does not exist")
    if 0 < null_runs < LEAST_NULL_RUNS:
        raise UsageError(
            f"--null-runs {null_runs}: use at least {LEAST_NULL_RUNS}; with fewer, p cannot reach 0.05"
        )
    steps = len(SECTIONS) + 2 + (null_runs > 0)
    # The bar appears after half a second, so that an immediate error prints one line only.
    with tqdm(total=steps, desc="reading", unit="step", file=sys.stderr, leave=False, delay=0.5) as bar:

        def progress(titles: Iterable[str]) -> Iterator[str]:
            for title in titles:
                bar.set_description(title.lower())
                yield title
                bar.update()

        frame = load(list(logs))
        bar.update()
        chosen = frame if room is None else frame[frame["room"] == room]
        options |= {
            "begin": _seconds("--from", begin, chosen, 0.0),
            "end": _seconds("--to", end, chosen, math.inf),
        }
        folders = run_folders(list(logs), room)
        if null_runs:
            options["null_runs"] = partial(_null_runs, folders, null_runs, options["seed"])
        options |= {"room": room, "folders": folders}
        report = study_room(frame, progress=progress, **options)
        bar.set_description("drawing")
        page = report.html() if out is not None else ""
        bar.update()
    click.echo(f"{plain(report.name)}\n\n{plain_lines(report.text())}")
    if out is not None:
        _write(out, page)
        click.echo(f"\nreport: {out}")


def _null_runs(folders: Sequence[Folder], count: int, seed: int) -> NullRuns:
    """Recompute the room `count` times without coupling between nodes."""
    from chronoflux.replay.null_runs import null_runs

    swarms = [folder.path for folder in folders if folder.has_swarm]
    if len(swarms) < 2:
        raise ParameterError("run folders", len(swarms), "run folders of at least two nodes of the room")
    return null_runs(swarms, count=count, seed=seed)


def _seconds(option: str, given: str | None, frame: pd.DataFrame, default: float) -> float:
    """Convert a time from the command line to s of mesh time since the first record."""
    from chronoflux.model.schedule import duration
    from chronoflux.model.schedule_file import moment

    if given is None:
        return default
    try:
        return duration(given)
    except ParameterError:
        pass
    try:
        wanted = moment(given)
    except ParameterError:
        allowed = "90s, 5m or 1h30m since the first record, or a date and time such as 2026-11-23T22:00:00Z"
        raise UsageError(f"{option} {given}: use {allowed}") from None
    first = frame["at"].min()
    if first != first:
        raise UsageError(f"{option} {given}: these logs have no mesh time; use a time since the first record")
    return float(max(0.0, (wanted - first) / 1000))


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    run_command(main)
