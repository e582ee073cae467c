"""The command line of the analysis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from chronoflux.analyze import main
from tests.test_analysis_information import var
from tests.test_analysis_rooms import write


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
    assert "1 of 2 directions beyond chance" in done.stdout
    assert f"report: {page}" in done.stdout
    assert "drawing" in done.stderr
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_wrong_use_is_one_line_and_code_2(tmp_path: Path) -> None:
    """A missing folder for the page is wrong use; missing logs fail; each in one line."""
    wrong = analyze(tmp_path, "--out", tmp_path / "nowhere" / "report.html")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "does not exist" in wrong.stderr
    missing = analyze(tmp_path / "none")
    assert missing.returncode == 1
    assert len(missing.stderr.strip().splitlines()) == 1
