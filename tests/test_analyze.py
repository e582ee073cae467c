"""The command line of the analysis."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import chronoflux as cf
from chronoflux.analyze import main
from tests.analysis.test_information import var
from tests.analysis.test_rooms import write


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chronoflux.analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_logs_become_a_summary_and_a_report(tmp_path: Path) -> None:
    """From a folder of logs come a summary on stdout and one HTML page; the progress bar is on stderr."""
    logs = tmp_path / "logs"
    x = 0.5 + 0.05 * var([[0.5, 0], [0.4, 0.5]], 600, 1)
    for node, course in zip("ab", x.T, strict=True):
        write(logs, node, np.arange(600.0), order=course, phase=0 * course, hertz=1.2)
    page = tmp_path / "report.html"
    done = CliRunner().invoke(main, [str(logs), "--out", str(page), "--surrogates", "39"])
    assert done.exit_code == 0, done.stderr
    assert "1 of 2 directions are significant" in done.stdout
    assert f"report: {page}" in done.stdout
    assert "drawing" in done.stderr
    assert page.read_text().startswith("<!doctype html>")


def test_times_choose_what_is_looked_at(tmp_path: Path) -> None:
    """`--from` and `--to` take seconds, durations and times; the report begins with five sentences."""
    rng = np.random.default_rng(1)
    for node in "ab":
        write(tmp_path, node, np.arange(900.0), order=rng.random(900), phase=np.zeros(900), hertz=1.2)
    few = [str(tmp_path), "--surrogates", "19", "--ksg", "0", "--no-skip-settling"]
    first = cf.load(tmp_path)["at"].min() / 1000
    later = datetime.fromtimestamp(first + 600, UTC).isoformat()
    done = CliRunner().invoke(main, [*few, "--from", "5m", "--to", later])
    assert done.exit_code == 0, done.stderr
    assert "used: only records between 300 s and 600 s of mesh time" in done.stdout
    assert "the start-up is included" in done.stdout
    assert done.stdout.splitlines()[2].startswith("2 nodes (a and b)")
    for wrong in (["--from", "soon"], ["--null-runs", "5"]):
        refused = CliRunner().invoke(main, [*few, *wrong])
        assert refused.exit_code == 2, refused.output
        assert wrong[1] in refused.stderr


def test_without_run_folders_null_runs_say_why_not(tmp_path: Path) -> None:
    """Logs that are no run folders have no inputs to compute from: it is said, and the rest is measured."""
    rng = np.random.default_rng(1)
    for node in "ab":
        write(tmp_path, node, np.arange(300.0), order=rng.random(300), phase=np.zeros(300), hertz=1.2)
    files = sorted(map(str, tmp_path.glob("*/telemetry.jsonl")))
    assert files
    done = CliRunner().invoke(main, [*files, "--surrogates", "19", "--ksg", "0", "--null-runs", "19"])
    assert done.exit_code == 0, done.stderr
    assert (
        "whether the nodes are more than unrelated swarms: not measured (0 run folders; needed: run folders"
        in done.stdout
    )


@pytest.mark.slow
def test_wrong_use_is_one_line_and_code_2(tmp_path: Path) -> None:
    """A missing folder for the page is wrong use; missing logs fail; each in one line."""
    wrong = analyze(tmp_path, "--out", tmp_path / "nowhere" / "report.html")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "does not exist" in wrong.stderr
    missing = analyze(tmp_path / "none")
    assert missing.returncode == 1
    assert len(missing.stderr.strip().splitlines()) == 1
