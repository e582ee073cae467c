"""A sweep on disk: marks that are there when a run is done, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from chronoflux.errors import LogError, UsageError
from chronoflux.model.params import Params
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.store import Folder
from chronoflux.sweeps.task import Outcome

RUN = Run("a1", (0,), {}, Params(), {}, 7)
VALUES = [0.1, -0.0, 5e-324, float("inf"), float("-inf")]


def test_values_come_back_exactly(tmp_path: Path) -> None:
    """What is kept is read again bit for bit, infinities included, as strict JSON; NaN stays NaN."""
    Folder(tmp_path / "deep" / "er").keep(RUN, Outcome("a1", {"H": [*VALUES, float("nan")]}, {"H": "1"}))
    (found,) = Folder(tmp_path / "deep" / "er").finished([RUN]).values()
    np.testing.assert_array_equal(np.signbit(found.values["H"][:5]), np.signbit(VALUES))
    np.testing.assert_array_equal(found.values["H"], [*VALUES, np.nan])
    text = (tmp_path / "deep" / "er" / "runs" / "a1" / "done.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"values": {"H": 1}}'])
def test_a_damaged_mark_counts_for_nothing(damage: str, tmp_path: Path) -> None:
    """A run whose mark is torn, empty or of something else is not done."""
    folder = Folder(tmp_path)
    folder.keep(RUN, Outcome("a1", {"H": [1.0]}, {"H": "1"}))
    (tmp_path / "runs" / "a1" / "done.json").write_text(damage)
    assert folder.finished([RUN]) == {}


def test_a_failure_is_no_mark_and_goes_when_mended(tmp_path: Path) -> None:
    """A failed run is not done; its reason lies in its folder until it succeeds."""
    folder, reason = Folder(tmp_path), tmp_path / "runs" / "a1" / "failed.json"
    folder.keep(RUN, Outcome("a1", error="ValueError: no", trace="…"))
    assert folder.finished([RUN]) == {}
    assert json.loads(reason.read_text())["error"] == "ValueError: no"
    folder.keep(RUN, Outcome("a1", {"H": [1.0]}, {"H": "1"}))
    assert list(folder.finished([RUN])) == ["a1"]
    assert not reason.exists()


def test_the_result_is_replaced_whole(tmp_path: Path) -> None:
    """A second result takes the place of the first, also where a crash left halves behind."""
    folder = Folder(tmp_path)
    (tmp_path / "results.zarr.new").mkdir()
    for length in (3, 2):
        folder.publish(xarray.Dataset({"H": ("kappa", np.arange(length) * 1.0, {"units": "1"})}))
        with xarray.open_zarr(tmp_path / "results.zarr", chunks=None) as found:
            assert found.sizes == {"kappa": length}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.zarr", "runs"]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be, or a folder that has gone, is an error that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        Folder(tmp_path / "file")
    folder = Folder(tmp_path / "out")
    (tmp_path / "out" / "runs").rmdir()
    with pytest.raises(LogError, match="cannot be written"):
        folder.keep(RUN, Outcome("a1", {"H": [1.0]}, {"H": "1"}))
