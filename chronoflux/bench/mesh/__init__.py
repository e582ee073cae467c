"""``python -m chronoflux.bench mesh``: speed of the mesh and server on this machine, with targets."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from chronoflux.bench.mesh.attacked import attacked
from chronoflux.bench.mesh.cases import Figure, crowd, events, idle, joining, relay
from chronoflux.cli import raise_open_files

Case = Callable[[], Awaitable[list[Figure]]]


async def measure(quick: bool, scale: float) -> AsyncIterator[Figure]:
    """Yield all figures: medians of three runs, or one run if `quick` or if it takes minutes."""

    def count(whole: int) -> int:
        return max(4, int(whole * scale * (0.2 if quick else 1)))

    async def join() -> list[Figure]:
        return [await joining(count(40))]

    async def rest() -> list[Figure]:
        return [await idle(60 * scale * (0.2 if quick else 1))]

    runs = 1 if quick else 3
    cases: list[tuple[Case, int]] = [
        (join, runs),
        (lambda: events(8, 2, count(300), 10.0, 10.0, 20), runs),
        (lambda: events(48, 4, count(500), 4.0, 2.0, 250), 1),
        (lambda: relay(10 * scale), runs),
        (crowd, runs),
        (rest, 1),
        (lambda: attacked(60 * scale * (0.2 if quick else 1), 2 if quick else 5), 1),
    ]
    for case, times in cases:
        for figure in median_of([await case() for _ in range(times)]):
            yield figure


def median_of(runs: list[list[Figure]]) -> list[Figure]:
    """Join the figures of several runs of a case: medians, with the range in the note."""
    figures = []
    for same in zip(*runs, strict=True):
        values = [figure.value for figure in same if figure.value is not None]
        if not values:
            figures.append(same[0])
            continue
        middle = min(same, key=lambda figure: abs((figure.value or 0.0) - median(values)))
        spread = f"{len(values)} runs: {min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
        note = "; ".join(filter(None, (middle.note, spread)))
        figures.append(replace(middle, value=median(values), note=note))
    return figures


def line(figure: Figure) -> str:
    """Format a row of the table."""
    value = "–" if figure.value is None else f"{figure.value:.3g}"
    target = "" if figure.target is None else f"≤ {figure.target:g}"
    met = {None: "", True: "met", False: "not met"}[figure.met]
    return f"{figure.case:58} {value:>7} {figure.unit:11} {target:>6} {met:7}  {figure.note}".rstrip()


async def bench(quick: bool, scale: float, where: dict[str, Any], path: Path | None) -> None:
    """Measure, print the table, and also write it to `path`."""
    raise_open_files()
    click.echo(", ".join(f"{name} {value}" for name, value in where.items()))
    figures = []
    async for figure in measure(quick, scale):
        figures.append(figure)
        click.echo(line(figure))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    click.echo(f"load at the end {load}")
    if path is not None:
        rows = [asdict(figure) | {"met": figure.met} for figure in figures]
        table = {**where, "load at the end": load, "quick": quick, "rows": rows}
        text = json.dumps(table, indent=1, ensure_ascii=False)
        await asyncio.to_thread(path.write_text, text, encoding="utf-8")
