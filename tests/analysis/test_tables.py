"""Logs as tables: nodes beside each other, and the part of a table that measures stand on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chronoflux as cf
from chronoflux.analysis.tables import side_by_side, together
from chronoflux.errors import ParameterError
from tests.analysis.test_rooms import START, frame, write

__all__ = ["frame"]


def test_nodes_are_laid_beside_each_other_on_mesh_time(frame: pd.DataFrame) -> None:
    """Each node is one column on one time axis; what is not on record is NaN, and counted."""
    table = side_by_side(frame, "H")
    assert list(table.columns) == ["a", "b", "c"]
    assert (table.index.name, len(table), table.index[1]) == ("seconds", 600, 1.0)
    assert table["b"].isna().sum() == 10
    assert table.attrs["missing"] == {"a": 0, "b": 10, "c": 0}
    assert table.attrs["start"] == pd.Timestamp(START, unit="ms", tz="UTC")
    own = frame[(frame["node"] == "c") & (frame["type"] == "telemetry")]
    assert table["c"].to_numpy() == pytest.approx(own["H"].to_numpy())


def test_phases_are_carried_to_the_common_moment(frame: pd.DataFrame) -> None:
    """A mean field recorded 130 ms later is turned back with its own frequency before it is compared."""
    table = side_by_side(frame, "psi")
    difference = np.angle(np.exp(1j * (table["a"] - table["b"]))).astype(float)
    assert difference[np.isfinite(difference)] == pytest.approx(0.5, abs=1e-4)


def test_records_that_straddle_a_moment_leave_no_hole(tmp_path: Path) -> None:
    """Records that come half a step beside the others', a tick earlier or later, stand for every moment."""
    rng = np.random.default_rng(3)
    for node, off in (("a", 0.0), ("b", 0.5)):
        seconds = np.arange(200) + off + 0.016 * rng.integers(-1, 2, 200)
        write(tmp_path, node, seconds, order=0.5 + 0 * seconds, phase=0 * seconds, hertz=1.2)
    table = side_by_side(cf.load(tmp_path), "H")
    assert table.iloc[1:-1].notna().all(axis=None)


def table_of(values: np.ndarray, column: str = "H") -> pd.DataFrame:
    """Courses (moments, nodes) as `side_by_side` gives them."""
    table = pd.DataFrame(values, columns=[f"n{i}" for i in range(values.shape[1])])
    table.attrs = {"step": 1.0, "column": column}
    return table


def test_a_lost_second_is_bridged_and_a_guest_left_out() -> None:
    """Holes of up to 5 s become straight lines, counted; who was there for minutes only is left out."""
    values = np.arange(1000.0)[:, None] * [1.0, 2.0, 3.0, 4.0]
    holes = values.copy()
    holes[[100, 500, 501, 502, 503, 504], [0, 1, 1, 1, 1, 1]] = np.nan
    holes[60:, 3] = np.nan
    holes[:10, 2] = np.nan
    found = together(table_of(holes))
    assert list(found.columns) == ["n0", "n1", "n2"]
    assert found.to_numpy() == pytest.approx(values[10:, :3])
    assert found.index[0] == 10
    assert (found.attrs["masked"], found.attrs["bridged"], found.attrs["left_out"]) == (10, 6, ["n3"])
    six = holes.copy()
    six[505, 1] = np.nan
    assert len(together(table_of(six))) == 494
    assert len(together(table_of(holes, "psi"), least=4)) == 50


def test_nobody_together_is_refused() -> None:
    """Fewer nodes than needed, and nodes that never ran at the same time, are refused by name."""
    apart = np.full((100, 2), np.nan)
    apart[:40, 0] = apart[60:, 1] = 1.0
    for table, words in ((table_of(np.ones((9, 1))), "at least 2"), (table_of(apart), "no moment with 2")):
        with pytest.raises(ParameterError, match=words):
            together(table)
    assert len(together(table_of(apart), least=1)) == 40


@settings(max_examples=50)
@given(st.data())
def test_what_is_together_is_unbroken(data: st.DataObject) -> None:
    """Whatever is missing, what is left has no hole, and is, but for bridges, what was there."""
    nodes, n = data.draw(st.integers(1, 5)), data.draw(st.integers(5, 60))
    values = np.random.default_rng(0).random((n, nodes))
    lost = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, nodes - 1)), max_size=2 * n))
    values[tuple(np.array(lost, dtype=int).reshape(-1, 2).T)] = np.nan
    if np.isnan(values).all():
        return
    table = table_of(values)
    found = together(table, least=1)
    assert found.notna().all(axis=None)
    assert len(found) + found.attrs["masked"] == n
    assert sorted([*found.columns, *found.attrs["left_out"]]) == list(table.columns)
    same = found.to_numpy() == table.loc[found.index, found.columns].to_numpy()
    assert np.count_nonzero(~same) == found.attrs["bridged"]
