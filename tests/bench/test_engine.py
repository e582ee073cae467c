"""The benchmark: that it runs and says everything; not how fast it is."""

from __future__ import annotations

import json
import math
import sys

import pytest
from click.testing import CliRunner

from chronoflux.bench import engine, telemetry


@pytest.mark.slow
def test_all_rows_in_table_and_json(tmp_path):
    """At a tiny size every case of the table is there, with a value, its target and their ratio."""
    path = tmp_path / "bench.json"
    done = CliRunner().invoke(engine.main, ["--quick", "--json", str(path), "--scale", "0.002"])
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert {"machine", "threads", "load", "python", "numpy", "numba", "chronoflux", "quick"} <= found.keys()
    cases = [row["case"] for row in found["rows"]]
    for word, rows in (("classic", 4), ("lively", 3), ("global", 2), ("220", 2), ("picture", 1), ("dots", 1)):
        assert sum(word in case for case in cases) == rows, word
    for word, rows in (("cold", 1), ("memory at", 1), ("cKDTree", 2), ("bandwidth", 1)):
        assert sum(word in case for case in cases) == rows, word
    for row in found["rows"]:
        assert math.isfinite(row["value"])
        assert row["case"] in done.output
        if row["target"] is not None:
            better = row["target"] / row["value"] if row["least"] else row["value"] / row["target"]
            assert row["ratio"] == better
            assert row["processors"] is None or row["processors"] > 0
    for row in found["rows"]:
        if any(word in row["case"] for word in ("classic", "lively", "global", "metrics", "cold")):
            assert row["bound"] > 0, row["case"]
    assert "of lists looked at" in done.output


@pytest.mark.slow
def test_telemetry_rows(tmp_path):
    """`bench telemetry` measures reading beside pandas, a night of many nodes, its memory, and writing."""
    done = CliRunner().invoke(engine.main, ["telemetry", "--scale", "0.001"])
    assert done.exit_code == 0, done.output
    for word in ("last line cut", "json_normalize", "beside", "20 nodes", "memory", "writing"):
        assert word in done.output


@pytest.mark.slow
def test_studies_rows():
    """`bench studies` measures the report on a night, a sweep, and the same sweep when it is done."""
    done = CliRunner().invoke(engine.main, ["studies", "--scale", "0.02"])
    assert done.exit_code == 0, done.output
    for word in ("analyze, 3 nodes", "with report", "sweep, 4 runs", "when it is done"):
        assert word in done.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_node_needs_no_more_memory_with_time(tmp_path):
    """After 60,000 records a node has within 10 MB the memory it had after 10,000."""
    row = telemetry.resident(tmp_path, 60_000)
    assert row.value < 10, row


def test_missing_scipy_is_said(monkeypatch):
    """Without SciPy its rows say so, and have no value."""
    monkeypatch.setitem(__import__("sys").modules, "scipy.spatial", None)
    row = engine.without_the_engine(50, 1)
    assert row.value is None
    assert "scipy is not installed" in engine.line(row)


def test_ratios():
    """A ratio above 1 is better than the target, whether more or less is better."""
    assert engine.Row("a", 20.0, "M", 10.0).ratio == 2
    assert engine.Row("a", 20.0, "s", 10.0, True).ratio == 0.5
    assert engine.Row("a", 20.0, "s").ratio is None
