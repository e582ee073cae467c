"""The calibration as a documentation page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.bench.calibration import LEVEL, Cell, Count, Kept, beyond_doubt, cells
from chronoflux.bench.calibration.data import LENGTHS
from chronoflux.bench.calibration.measures import COUNT

INTRODUCTION = """# Calibration: how often p-values are wrong

How often p ≤ 0.05 comes out, of each measure with its surrogates, where the answer is known. Made by

    python -m chronoflux.bench calibration --results calibration.jsonl --write docs/calibration.md

which computes what is not yet in `calibration.jsonl`, 1,000 repetitions of each cell if not told otherwise;
`--repetitions` and `--cells` choose how much. What stands here comes from as many repetitions as the column
*of* says. Cells that are empty or missing were not measured.

- **size**: nothing is to be found; p ≤ 0.05 should come in a share of 0.05. A cell **FAILS** when the lower
  Clopper–Pearson bound at 1 − 0.05/cells, over the {sizes} such cells there are, lies above 0.05.
- **power**: there is something to be found, of the kind that the measure is for.
- **told**: a chain or a common driver, in which some links are there, and others look like them.

Each entry: the share of p ≤ 0.05 among what was not refused, its 95 % interval, and in brackets the share
that was refused in words. Samples are a second apart where that matters. Repetition k draws its data from the
seed (k, samples), k = 0, 1, …; {surrogates} surrogates each, for events 199. With few repetitions
a small excess can't be seen. Rooms of swarms are drawn from 48 swarms of a preset (with events: 6
groups of 8 that hear the same; coupled: 16 rooms), so they are not independent, and their intervals are too
narrow.

Strangers with events do what the null hypothesis of every shift excludes: they have something in common, and
what is found there is the events. Null runs take events as given.
"""


def document(results: Path | None, where: Mapping[str, Any]) -> str:
    """Return the page from the results in a file; for each cell, those with the most repetitions."""
    kept, every = Kept(results), cells()
    sizes = sum(cell.kind == "size" for cell in every)
    parts = [INTRODUCTION.format(sizes=sizes, surrogates=COUNT)]
    facts = ", ".join(f"{name} {value}" for name, value in where.items() if name not in ("load", "threads"))
    done = {cell: count for cell in every if (count := kept.most(cell)) is not None}
    parts.append(f"Made with: {facts}. {len(done)} of {len(every)} cells are done.\n")
    failing = [cell.name for cell, count in done.items() if beyond_doubt(cell, count, sizes)]
    parts.append(f"## What fails: {len(failing)} of {sum(c.kind == 'size' for c in done)}\n")
    parts.append("\n".join(f"- {name}" for name in failing) + "\n" if failing else "Nothing.\n")
    for measure in dict.fromkeys(cell.measure for cell in done):
        lengths = " | ".join(f"{n} samples" for n in LENGTHS)
        parts.append(f"## {measure}\n")
        rows = [f"| data | | of | {lengths} |", "|---|---|---|" + "---|" * len(LENGTHS)]
        own = [cell for cell in done if cell.measure == measure]
        for data in dict.fromkeys(cell.data for cell in own):
            asked = {cell.n: cell for cell in own if cell.data == data}
            entries = [_entry(asked.get(n), done, sizes) for n in LENGTHS]
            counts = sorted({done[cell].repetitions for cell in asked.values()})
            of = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
            rows.append(f"| {data} | {next(iter(asked.values())).kind} | {of} | {' | '.join(entries)} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _entry(cell: Cell | None, done: Mapping[Cell, Count], sizes: int) -> str:
    if cell is None:
        return ""
    count = done[cell]
    refused = f"({count.refused / count.repetitions:.2f})"
    left = count.repetitions - count.refused
    if not left:
        return f"– {refused}"
    low, high = count.interval(1 - LEVEL)
    fails = " **FAILS**" if beyond_doubt(cell, count, sizes) else ""
    return f"{count.found / left:.3f}, {low:.2f}–{high:.2f} {refused}{fails}"
