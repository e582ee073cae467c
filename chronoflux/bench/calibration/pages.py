"""The calibration as a documentation page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.bench.calibration import LEVEL, Cell, Count, Kept, beyond_doubt, cells
from chronoflux.bench.calibration.measures import COUNT

INTRODUCTION = """# Calibration: how often p-values are wrong

Each measure, with its surrogates, is applied many times to data with a known answer. The tables show how
often p ≤ 0.05. The page is made by

    python -m chronoflux.bench calibration --results calibration.jsonl --write docs/calibration.md

which continues from what is in `calibration.jsonl`. `--repetitions` (default 1,000) and `--cells` choose how
much is computed. The column *of* shows how many repetitions stand behind a row. Measures that take long make
a share of them. Cells that are empty have not been measured.

- **size**: there is nothing to be found, and p ≤ 0.05 should occur in a share of 0.05. A cell **FAILS** when
  the lower Clopper–Pearson bound at 1 − 0.05/cells is above 0.05, with {sizes} such cells.
- **power**: there is an effect of the kind that the measure is for.
- **told**: a chain or a common driver. Some links exist, and others look like them. These rows are neither
  size nor power.

An entry is the share of p ≤ 0.05 among the repetitions that were not refused, its 95 % interval, and in
brackets the share that was refused with a reason. "–" means that all were refused.

## What was measured, and what was not

- Samples are 1 s apart. Repetition k = 0, 1, … draws its data from the seed (k, samples). A test uses
  {surrogates} surrogates, for events and doses 199, for null runs 19. With few repetitions a small excess
  cannot be detected: 25 repetitions show a size of 0.32 or more, 50 of 0.22, 100 of 0.16, 200 of 0.13, 1,000
  of 0.08. So "nothing fails" says little where rows have few.
- Rooms of strangers are drawn from 48 swarms of a preset (with events: from 6 groups of 8 that hear the same
  events; coupled: from 16 rooms). They are not independent of each other, so their intervals are too narrow.
- Strangers are measured at 300 samples; those of `storm`, the preset that never comes to rest, at 150 and 600
  too. With the other presets the length decides mainly how much is refused.
- Measures of two series get strangers of the default preset and of `storm` only. They
  share the tests of stationarity and the surrogates with the measures of rooms, which get every preset.
- *settled*: the first 60 s are left out. *events*: all swarms of a room hear the same intents (one in 20 s on
  average) and flips (one in 150 s). This violates the null hypothesis of surrogates, as events are a common
  driver. `information_flow` and `spreads` leave out the 8 s after each such event, and refuse a record with
  fewer than 60 s left. `pulls` uses the whole record. Measures of arrays, such as `assess`, do not know of
  events: their rows show what to expect. Null runs have the same events as the room.
- Coupled rooms that do not lock need `pulls`. `information_flow` and `spreads` have hardly any power there,
  with `column="phase"` as well.
- One repetition with null runs takes seconds, so few are made. Such rows exclude gross errors only.
- Power laws are compared with two alternatives by Vuong's test. *refused*: one of them fits significantly
  better. *preferred*: the power law fits significantly better than both.
"""


def document(results: Path | None, where: Mapping[str, Any]) -> str:
    """Return the page from the results in a file."""
    kept, every = Kept(results), cells()
    sizes = sum(cell.kind == "size" for cell in every)
    parts = [INTRODUCTION.format(sizes=sizes, surrogates=COUNT)]
    facts = ", ".join(f"{name} {value}" for name, value in where.items() if name not in ("load", "threads"))
    done = {cell: count for cell in every if (count := kept.get(cell)) is not None}
    repetitions = sum(count.repetitions for count in done.values())
    parts.append(f"Made with: {facts}. {len(done)} of {len(every)} cells, {repetitions:,} repetitions.\n")
    failing = [cell.name for cell, count in done.items() if beyond_doubt(cell, count, sizes)]
    parts.append(f"## What fails: {len(failing)} of {sum(c.kind == 'size' for c in done)} sizes\n")
    parts.append("\n".join(f"- {name}" for name in failing) + "\n" if failing else "Nothing.\n")
    for measure in dict.fromkeys(cell.measure for cell in done):
        own = [cell for cell in done if cell.measure == measure]
        lengths = sorted({cell.n for cell in every if cell.measure == measure})
        parts.append(f"## {measure}\n")
        heads = " | ".join(f"{n:,} samples" for n in lengths)
        rows = [f"| data | | of | {heads} |", "|---|---|---|" + "---|" * len(lengths)]
        for data in dict.fromkeys(cell.data for cell in own):
            asked = {cell.n: cell for cell in own if cell.data == data}
            entries = [_entry(asked.get(n), done, sizes) for n in lengths]
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
