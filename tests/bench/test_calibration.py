"""The calibration: its cells, its counts, and that what is off fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronoflux.bench.calibration import (
    EVERYTHING,
    Cell,
    Count,
    batch,
    beyond_doubt,
    cells,
    first_of_all,
    line,
    measure,
)
from chronoflux.bench.calibration.data import DATA, LINKED
from chronoflux.bench.calibration.pages import document
from chronoflux.errors import ParameterError


def test_a_cell_fails_only_beyond_doubt() -> None:
    """30 of 200 is more than 5 % beyond doubt, 13 of 200 is not; refused ones count for neither."""
    cell = Cell("MI × shift", "AR(.5)", 300, "size")
    assert line(cell, Count(220, 20, 30), 20).endswith("FAILS")
    assert "FAILS" not in line(cell, Count(220, 20, 13), 20)
    assert "–" in line(cell, Count(200, 200, 0), 20)
    assert Count(200, 0, 10).interval(0.95) == pytest.approx((0.0242, 0.0900), abs=1e-3)


def test_every_cell_has_its_data() -> None:
    """Cells are chosen by a part of their name, and each names data that are there."""
    assert {cell.data for cell in cells()} <= EVERYTHING.keys()
    assert len({cell.name for cell in cells()}) == len(cells())
    assert {cell.n for cell in cells("TE × shift / AR(.9)")} == {150, 300, 600}
    with pytest.raises(ParameterError, match="cells"):
        next(measure("no such cell", 10))
    drawn = [make for name, make in LINKED.items() if not name.startswith("coupled")]  # swarms take minutes
    for make in (*drawn, DATA["trends"], DATA["steps"], DATA["three linked, three not"]):
        assert np.isfinite(make(150, np.random.default_rng(1)).H).all()


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted goes on with the cells that are missing, and gives the same table."""
    kept, wanted = tmp_path / "kept.jsonl", "event response × signs / AR(.5)"
    whole = list(measure(wanted, 6, results=kept, jobs=1))
    lines = kept.read_text("utf-8").splitlines()
    assert len(lines) == 3
    kept.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    asked: list[str] = []

    def counted(job: tuple[Cell, int, int]) -> Count:
        asked.append(job[0].name)
        return batch(job)

    monkeypatch.setattr("chronoflux.bench.calibration.batch", counted)
    assert list(measure(wanted, 6, results=kept, jobs=1)) == whole
    assert asked == [f"{wanted} / 600"]


def test_more_repetitions_are_added_to_those_that_are_done(tmp_path: Path) -> None:
    """A run with more repetitions computes only those that are missing, and gives what a single run gives."""
    kept, wanted = tmp_path / "kept.jsonl", "event response × signs / AR(.5) / 300"
    list(measure(wanted, 3, results=kept, jobs=1))
    [cell] = cells(wanted)
    alone = batch((cell, 0, 8))
    assert list(measure(wanted, 8, results=kept, jobs=1))[1] == line(cell, alone, 1)
    assert '"repetitions": 8' in kept.read_text("utf-8").splitlines()[-1]


def test_the_primary_measure_comes_first() -> None:
    """Cells are measured in the order of their weight: pulls, then rooms at 300 samples."""
    order = [cell.measure for cell in sorted(cells(), key=first_of_all)]
    pulls = sum(name.startswith("pulls") for name in order)
    assert all(name.startswith("pulls") for name in order[:pulls])
    assert order[pulls].startswith("information_flow")


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("matched epochs × blocks of the night / trends / 3600", (0, 3)),
        ("matched epochs × blocks of the night / blocks / 3600", (8, 10)),
        ("power law, refused × Vuong / power law sizes / 300", (0, 3)),
    ],
)
def test_kinds_of_p_that_have_no_surrogates(name: str, share: tuple[int, int]) -> None:
    """Blocks of a night and power laws have cells, too: rarely an effect without one, mostly where it is."""
    [cell] = cells(name)
    assert share[0] <= batch((cell, 0, 10)).found <= share[1]


def test_null_runs_have_cells() -> None:
    """A recorded room is judged by null runs of itself: a coupled one is found, strangers get a p, too."""
    [apart] = cells("null runs, locking × new draws / recorded strangers")
    [coupled] = cells("null runs, locking × new draws / recorded, coupled")
    assert batch((apart, 0, 1)).refused == 0
    assert batch((coupled, 0, 1)).found == 1


def test_a_page_is_made_of_what_is_kept(tmp_path: Path) -> None:
    """The page has the shares and repetitions of what is done, and what fails; other files are refused."""
    kept = tmp_path / "kept.jsonl"
    row = (
        '{"cell": "MI × shift / AR(.5) / 300", "asked": 100, "repetitions": 100, "refused": 20, "found": 40}'
    )
    kept.write_text(row + "\n", encoding="utf-8")
    page = document(kept, {"python": "3.12"})
    assert "| AR(.5) | size | 100 |  | 0.500, 0.39–0.61 (0.20) **FAILS** |  |" in page
    assert "- MI × shift / AR(.5) / 300" in page
    kept.write_text("something else\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="results"):
        document(kept, {})


MENDED = (
    "MI × shift / AR(.9) / 300",
    "TE × shift / AR(.9) / 150",
    "spread × AR / white noise / 150",
    "spread × AR / AR(.9) / 300",
    "spread × AR / steps / 150",
    "spreads × AR / AR(.5) / 300",
    "permutation entropy × AR / AR(.9) / 300",
    "event response × signs / AR(.9) / 300",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", MENDED)
def test_sizes_are_right(name: str) -> None:
    """Of 200 repetitions no more than chance explains have p ≤ 0.05; of stationary data few are refused.

    At most 5 % from 300 samples on, and 30 % of 150. The draws are the same each time. Each cell is judged at
    1 − 0.05 / the number of cells here.
    """
    [cell] = cells(name)
    count = Count()
    for first in range(0, 200, 25):
        count.add(batch((cell, first, 25)))
    assert not beyond_doubt(cell, count, len(MENDED)), line(cell, count, len(MENDED))
    if cell.data != "steps":
        assert count.refused <= (10 if cell.n >= 300 else 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "MI × shift / correlated / 300",
        "TE × shift / driven / 300",
        "spread × AR / followed / 300",
        "spreads × AR / followed / 300",
        "permutation entropy × AR / logistic map / 300",
    ],
)
def test_what_is_there_is_found(name: str) -> None:
    """At least half of 40 repetitions find what the measure is for."""
    [cell] = cells(name)
    assert batch((cell, 0, 40)).found >= 20
