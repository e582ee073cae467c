"""``python -m chronoflux.logs``: list, show, check, repair, follow and export run folders."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import click

from chronoflux.cli import run_command, run_face
from chronoflux.errors import LogError, UsageError, plain
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import KEYFRAMES, LOG, segments_of
from chronoflux.telemetry.format.records import REFUSALS, Record, parse, seq_of
from chronoflux.telemetry.maintain.inspect import (
    by_text,
    check_run,
    has_swarm,
    repair_run,
    status,
    summary,
    types,
    unprotected,
)
from chronoflux.telemetry.read.causes import cause
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.read.discovery import RunFiles, read_manifest
from chronoflux.telemetry.read.parts import read_entries
from chronoflux.telemetry.read.table import read_table
from chronoflux.util.help_page import HelpGroup
from chronoflux.util.text import cell

PAUSE = 0.2  # s between two reads of a followed log
COLUMNS = ("run", "room", "node", "start", "length", "records", "gaps", "status")


def face(work: Callable[..., Any]) -> Callable[..., None]:
    """Wrap a command's function: an error becomes one line on stderr and an exit code."""

    def run(debug: bool, **options: Any) -> None:
        async def go() -> None:
            found = work(**options)
            if asyncio.iscoroutine(found):
                await found

        run_face(go, debug=debug)

    run.__doc__, run.__name__ = work.__doc__, work.__name__
    return click.option("--debug", is_flag=True, help="show tracebacks")(run)


RUNS = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
RUN = click.argument("run", type=click.Path(path_type=Path))


@click.group(
    cls=HelpGroup,
    examples=(
        "chronoflux logs ls",
        "chronoflux logs check --recompute logs/room1-bot-1-*",
        "chronoflux logs export logs/room1-bot-1-20261123T220000Z run.csv",
    ),
)
def main() -> None:
    """List, show, check, repair, follow and export run folders."""


@main.command("ls")
@click.argument("folder", default="logs", type=click.Path(path_type=Path))
@face
def list_runs(folder: Path) -> None:
    """List the runs in FOLDER (default: logs), one per line."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    report = Report()
    for run in distinct_runs(folder, report):
        found = summary(run, report)
        start = f"{found.start:%Y-%m-%d %H:%M:%S}Z" if found.start else "–"
        numbers = (_length(found.seconds), f"{found.records:,}", str(found.gaps))
        cells = (found.run, found.room, found.node, start, *numbers, found.status)
        rows.append(tuple(map(plain, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    _tell(report)


def _say(text: object) -> None:
    """Print a line that may contain untrusted names."""
    click.echo(plain(text))


def _tell(report: Report) -> None:
    """Print on stderr what was found beside runs: copies, and files that cannot be read."""
    for text in (*report.copies, *report.entries):
        click.echo(plain(text), err=True)


@main.command()
@RUN
@face
def show(run: Path) -> None:
    """Show RUN: its metadata, its records by type, its files."""
    entries = Report()
    for one in distinct_runs(run, entries):
        report = Report()
        facts = read_manifest(one, report)
        table = read_table(one, report)
        _say(f"{one.name}: {status(facts)}")
        for name in ("room", "node", "kind", "seed", "schedule", "start", "end", "host", "resumed"):
            if facts.get(name) is not None:
                _say(f"  {name:10} {facts[name]}")
        if len(nodes := by_text(table, "node")) > 1:
            for node, count in nodes.items():
                _say(f"  {count:>10,} of {node}")
        for kind, count in sorted(types(table).items(), key=lambda item: -item[1]):
            _say(f"  {count:>10,} {kind}")
        if one.folder is not None:
            keyframes = len(list((one.folder / KEYFRAMES).glob("*.npz")))
            size = sum(path.stat().st_size for path in one.folder.rglob("*") if path.is_file())
            click.echo(f"  {keyframes} keyframes, {size / 1e6:.1f} MB in all")
        if text := report.summary():
            _say(f"  {text}")
        for text in report.copies:
            _say(f"  {text}")
    _tell(entries)


@main.command()
@RUNS
@click.option("--recompute", is_flag=True, help="also compute each run again and compare, bit for bit")
@face
def check(runs: tuple[Path, ...], recompute: bool) -> None:
    """Check that RUNS are whole. Prints one line per fault, and exits with code 1 if there is any."""
    wrong = 0
    entries = Report()
    for run in [run for one in distinct_runs(runs, entries) for run in (one, *_elsewhere(one))]:
        faults = check_run(run)
        if recompute and run.folder is not None and has_swarm(run):
            from chronoflux.replay.past_run import PastRun

            found = PastRun(run.folder).recompute()
            _say(f"{run.name}: {found}")
            faults += [f"{run.folder}: {text}" for text in found.differences]
        for fault in faults:
            _say(fault)
        for text in unprotected(run):
            _say(text)
        _say(f"{run.name}: {f'{len(faults)} faults' if faults else 'whole'}")
        wrong += bool(faults)
    _tell(entries)
    if wrong:
        raise LogError(runs[0], f"{wrong} runs are not whole: see above; repair mends what can be mended")


def _elsewhere(run: RunFiles) -> list[RunFiles]:
    """Return the copies of a run that have their own folders."""
    return [copy for copy in run.copies if copy.whole]


@main.command()
@RUNS
@face
def repair(runs: tuple[Path, ...]) -> None:
    """Cut torn tails of RUNS, remove half-written files, note what was interrupted."""
    for run in [run for one in distinct_runs(runs) for run in (one, *_elsewhere(one))]:
        done = repair_run(run)
        for line in done or [f"{run.name}: nothing to repair"]:
            _say(line)


def _frame(run: Path) -> Any:
    from chronoflux.telemetry import load

    return load(run)


def _csv(run: Path, path: Path) -> None:
    frame = _frame(run)
    for name in frame.columns:
        if frame[name].dtype in ("str", "object"):
            frame[name] = frame[name].map(lambda value: cell(value) if isinstance(value, str) else value)
    frame.rename(columns=cell).to_csv(path, index=False)


def _parquet(run: Path, path: Path) -> None:
    from chronoflux.telemetry.read.parquet_export import write_export

    write_export(_frame(run), path)


def _json(run: Path, path: Path) -> None:
    from chronoflux.telemetry import export_json

    export_json(run, path)


FORMATS: dict[str, Callable[[Path, Path], None]] = {".json": _json, ".csv": _csv, ".parquet": _parquet}


@main.command()
@RUN
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@face
def export(run: Path, path: Path) -> None:
    """Write RUN to PATH: .json (the array of the first ChronoFlux), .csv or .parquet.

    In CSV an apostrophe precedes text that begins with = + - @, so that no spreadsheet reads it as a formula.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: name a file that ends in {', '.join(FORMATS)}")
    try:
        FORMATS[path.suffix](run, path)
    except OSError as error:
        raise LogError(path, f"cannot be written ({error.strerror or error})") from error
    _say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@main.command()
@RUN
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(0), help="records of before")
@click.option("--once", is_flag=True, help="do not wait for more")
@face
async def tail(run: Path, count: int, once: bool) -> None:
    """Print the last records of RUN, and new ones until its end or Ctrl-C."""
    found = distinct_runs(run)
    if len(found) != 1 or found[0].folder is None:
        raise UsageError(f"{run}: name one run folder")
    await _follow(found[0], count, once)


async def _follow(run: RunFiles, count: int, once: bool) -> None:
    assert run.folder is not None
    path = run.folder / LOG
    try:
        with contextlib.closing(Tail(path)) as tail:
            lines = tail.lines()
            shown: Iterable[bytes | Record] = lines[len(lines) - min(count, len(lines)) :]
            if len(lines) < count and segments_of(run.folder, LOG.removesuffix(".jsonl")):
                entries = (entry for entry in read_entries(run, LOG, Report()) if not entry.torn)
                latest = collections.deque(entries, maxlen=count)
                shown = [e.found if isinstance(e.found, Record) else e.line for e in latest]
                tail.last = max([tail.last, *(e.found.seq or 0 for e in latest if e.found is not None)])
            for line in shown:
                _say_record(line)
            while not once and status(read_manifest(run, Report())) == "running":
                await asyncio.sleep(PAUSE)
                for line in tail.lines():
                    _say_record(line)
    except BrokenPipeError:  # of stdout
        raise
    except OSError as error:
        raise LogError(path, f"cannot be read ({error.strerror or error})") from error


class Tail:
    """Read the complete lines of a growing log, each once, even if the log is rotated meanwhile."""

    def __init__(self, path: Path) -> None:
        self.last: int = -1
        """The greatest seq so far; lines up to it are not returned again."""
        self._path = path
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - until `close`
        self._torn = b""

    def lines(self) -> list[bytes]:
        """Return the lines since the last call. Raise OSError when the file cannot be read."""
        found = self._rest()
        if not os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
            self.close()
            self._file, self._torn = open(self._path, "rb"), b""  # noqa: SIM115
            found += self._rest()
        return [line for line in found if self._is_new(line)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rest(self) -> list[bytes]:
        *lines, self._torn = (self._torn + self._file.read()).split(b"\n")
        return lines

    def _is_new(self, line: bytes) -> bool:
        try:
            seq = seq_of(line)
        except REFUSALS:
            return True
        new, self.last = seq > self.last, max(seq, self.last)
        return new


def _say_record(line: bytes | Record) -> None:
    try:
        record = line if isinstance(line, Record) else parse(line).record
    except REFUSALS as error:
        _say(f"(a bad line: {cause(line, error) if isinstance(line, bytes) else error})")
        return
    metrics = record.metrics
    values = {"H": metrics.H, "H_mesh": metrics.H_mesh, "tau": metrics.tau} if metrics else {}
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in values.items() if value is not None)
    data = "" if record.data is None else str(record.data)
    t = "" if record.t is None else f"{record.t:.3f}"
    _say(f"{t:>12} s  {record.type:18} {numbers}  {data}".rstrip())


def _length(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


if __name__ == "__main__":
    run_command(main)
