"""``python -m chronoflux.analyze``: from a folder of logs to a summary and a report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from chronoflux.errors import UsageError
from chronoflux.faces import run_command, run_face
from chronoflux.text import plain, plain_lines


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("logs", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="write the report as one HTML page"
)
@click.option("--room", help="which room, when the logs are of several")
@click.option(
    "--surrogates",
    type=click.IntRange(19, 99_999),
    default=199,
    show_default=True,
    help="surrogates that chance is judged by",
)
@click.option(
    "--ksg", type=click.IntRange(0), default=3, show_default=True, help="directions measured by KSG too"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="of the surrogates")
@click.option("--debug", is_flag=True, help="show tracebacks")
def main(debug: bool, **options: Any) -> None:
    """Say what is in LOGS: run folders, a folder of them, files or globs, of one room.

    Runs and gaps, order over time, who was locked with whom and when, responses to events, change points,
    spectrum, information flow between nodes, emergence: in the terminal, and with --out as an HTML page with
    pictures and sources.
    """
    run_face(lambda: _run(**options), debug=debug)


async def _run(logs: tuple[str, ...], out: Path | None, **options: Any) -> None:
    from chronoflux.analysis.report import study_room
    from chronoflux.analysis.sections import SECTIONS
    from chronoflux.telemetry import load

    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.parent} does not exist")
    steps = len(SECTIONS) + 2
    # shown after half a second, so that what is refused at once is one line
    with tqdm(total=steps, desc="reading", unit="step", file=sys.stderr, leave=False, delay=0.5) as bar:

        def progress(titles: Iterable[str]) -> Iterator[str]:
            for title in titles:
                bar.set_description(title.lower())
                yield title
                bar.update()

        frame = load(list(logs))
        bar.update()
        report = study_room(frame, progress=progress, **options)
        bar.set_description("drawing")
        page = report.html() if out is not None else ""
        bar.update()
    click.echo(f"{plain(report.name)}\n\n{plain_lines(report.text())}")
    if out is not None:
        _write(out, page)
        click.echo(f"\nreport: {out}")


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    run_command(main)
