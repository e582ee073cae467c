"""``python -m chronoflux.bench calibration``: how often p ≤ 0.05 when the null hypothesis holds.

Each measure with its surrogates (:mod:`~chronoflux.bench.calibration.measures`) is applied many times to data
with a known answer (:mod:`~chronoflux.bench.calibration.data`). A cell of null data fails when the share of
p ≤ 0.05, among repetitions not refused, is significantly above 0.05: when its lower Clopper–Pearson bound at
1 − 0.05/cells is. The table also shows power, and results for rooms with a common driver or a chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from chronoflux.analysis.validation import library
from chronoflux.bench.calibration.data import DATA, LENGTHS, LINKED, RECORDED, SIZES
from chronoflux.bench.calibration.measures import MEASURES
from chronoflux.errors import ParameterError
from chronoflux.util.executor import in_order, run_all

Kind = Literal["size", "power", "told"]
EVERYTHING = DATA | LINKED | RECORDED | SIZES
LEVEL = 0.05
BATCH = 25
"""Repetitions in one job of a process."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table: a measure, data by name, and the number of samples."""

    measure: str
    data: str
    n: int
    kind: Kind

    @property
    def name(self) -> str:
        """Name in the table, used to select cells."""
        return f"{self.measure} / {self.data} / {self.n}"


@dataclass
class Count:
    """Result of a cell: repetitions, how many of them were refused, and how many had p ≤ 0.05."""

    repetitions: int = 0
    refused: int = 0
    found: int = 0

    def add(self, more: Count) -> None:
        """Add more repetitions of the same cell."""
        self.repetitions += more.repetitions
        self.refused += more.refused
        self.found += more.found

    def interval(self, level: float) -> tuple[float, float]:
        """Return the Clopper–Pearson interval of the share found, of those not refused; two-sided."""
        beta = library("scipy.stats", "calibration").beta
        n, k, tail = self.repetitions - self.refused, self.found, (1 - level) / 2
        low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
        return low, high


TOLD = ("common driver", "chain")
COMMON = 300
"""Number of samples at which every kind of data is measured."""


def cells(wanted: str = "") -> list[Cell]:
    """Return all cells whose name contains `wanted`.

    Strangers are measured at 300 samples, and those of the preset `storm`, which never come to rest, at all
    lengths.
    """
    found = []
    for measure, one in MEASURES.items():
        for data in (*one.nothing, *one.something):
            kind: Kind = "told" if data in TOLD else "size" if data in one.nothing else "power"
            few = data.startswith("strangers") and "storm" not in data
            lengths = (COMMON,) if few and one.lengths == LENGTHS else one.lengths
            found += [Cell(measure, data, n, kind) for n in lengths]
    return [cell for cell in found if wanted in cell.name]


def first_of_all(cell: Cell) -> tuple[bool, bool, bool, float]:
    """Return a key that sorts cells: rooms, then 300 samples, then the rest; what takes long comes last."""
    one = MEASURES[cell.measure]
    room = cell.measure.startswith(("pulls", "information_flow", "spreads"))
    return (not cell.measure.startswith("pulls"), cell.n != COMMON, not room, -one.share)


def batch(job: tuple[Cell, int, int]) -> Count:
    """Compute repetitions of a cell; `job` has the cell, the number of the first one, and their count."""
    cell, first, repetitions = job
    work, make = MEASURES[cell.measure].work, EVERYTHING[cell.data]
    count = Count(repetitions)
    for seed in range(first, first + repetitions):
        room = make(cell.n, np.random.default_rng([seed, cell.n]))
        try:
            count.found += work(room, seed) <= LEVEL + 1e-12
        except ParameterError:
            count.refused += 1
    return count


def beyond_doubt(cell: Cell, count: Count, cells_in_all: int) -> bool:
    """Return whether p ≤ 0.05 is significantly more frequent than 0.05 on null data."""
    left = count.repetitions - count.refused
    return cell.kind == "size" and left > 0 and count.interval(1 - 2 * LEVEL / cells_in_all)[0] > LEVEL


def line(cell: Cell, count: Count, cells_in_all: int) -> str:
    """Format a row of the table."""
    left = count.repetitions - count.refused
    share = "    –" if not left else f"{count.found / left:5.3f}"
    low, high = count.interval(0.95) if left else (0.0, 1.0)
    refused = count.refused / count.repetitions
    fails = beyond_doubt(cell, count, cells_in_all)
    verdict = {"size": "FAILS" if fails else "", "power": "power", "told": "told"}[cell.kind]
    columns = (
        f"{cell.measure:32} {cell.data:28} {cell.n:4} {left:6} {share} {low:5.3f}–{high:5.3f} {refused:7.3f}"
    )
    return f"{columns}  {verdict}".rstrip()


HEAD = f"{'measure × surrogate':32} {'data':28} {'n':>4} {'asked':>6} p≤.05 {'95 %':^11} refused"


class Kept:
    """Results in a JSON Lines file: a line per cell and number of repetitions, the last of which holds.

    Without a file, nothing is saved.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._found = path, dict[str, Count]()
        for text in path.read_text("utf-8").splitlines() if path is not None and path.exists() else ():
            try:
                row = json.loads(text)
                counts = Count(*(row[name] for name in ("repetitions", "refused", "found")))
                self._found[row["cell"]] = counts
            except (ValueError, KeyError, TypeError) as error:
                raise ParameterError("results", text[:80], "a file that bench calibration wrote") from error

    def get(self, cell: Cell) -> Count | None:
        """Return the result of a cell; None when there is none."""
        return self._found.get(cell.name)

    def add(self, cell: Cell, count: Count) -> None:
        """Save the result of a cell."""
        self._found[cell.name] = count
        if self._path is not None:
            row = {"cell": cell.name, **asdict(count)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def measure(
    wanted: str, repetitions: int, *, results: Path | None = None, jobs: int | None = None
) -> Iterator[str]:
    """Yield the table line by line as cells finish, the most important cells first.

    Parameters
    ----------
    wanted
        Part of the names of the cells that are measured.
    repetitions
        Number of repetitions of a cell; measures that take long make a share of them.
    results
        File of finished cells, which is written and read: an interrupted run continues, and a run with more
        repetitions adds those that are missing.
    jobs
        Number of processes; None: one per processor.
    """
    chosen = sorted(cells(wanted), key=first_of_all)
    if not chosen:
        raise ParameterError("cells", wanted, "part of the name of one, such as 'TE × shift / AR(.9) / 300'")
    sizes = max(1, sum(cell.kind == "size" for cell in chosen))
    kept = Kept(results)
    yield HEAD
    to_do: list[tuple[Cell, int, int]] = []
    total: dict[Cell, Count] = {}
    goal = {cell: max(1, round(repetitions * MEASURES[cell.measure].share)) for cell in chosen}
    for cell in chosen:
        known = kept.get(cell) or Count()
        if known.repetitions >= goal[cell]:
            yield line(cell, known, sizes)
            continue
        total[cell] = Count(**asdict(known))
        starts = range(known.repetitions, goal[cell], BATCH)
        to_do += [(cell, i, min(BATCH, goal[cell] - i)) for i in starts]
    found = map(batch, to_do) if jobs == 1 else _spread_out(to_do, jobs)
    for (cell, _, _), more in zip(to_do, found, strict=True):
        so_far = total[cell]
        so_far.add(more)
        if so_far.repetitions == goal[cell]:
            kept.add(cell, so_far)
            yield line(cell, so_far, sizes)


def _spread_out(to_do: list[tuple[Cell, int, int]], jobs: int | None) -> Iterator[Count]:
    if jobs is None:
        yield from in_order(run_all(batch, to_do))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as executor:
        yield from in_order(run_all(batch, to_do, executor))
