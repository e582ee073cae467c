"""The calibration: its cells, its counts, and that what is off fails."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.bench_calibration import DATA, LINKED, Cell, Count, cells, line, measure
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
    assert {cell.data for cell in cells()} <= DATA.keys() | LINKED.keys()
    assert {cell.n for cell in cells("TE × shift / AR(.9)")} == {150, 300, 600}
    with pytest.raises(ParameterError, match="cells"):
        next(measure("no such cell", 10))
    for make in (*LINKED.values(), DATA["trends"], DATA["steps"]):
        assert np.isfinite(make(150, np.random.default_rng(1)).H).all()
