"""What the README shows is known to type checkers, and so is every public name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYRIGHT = shutil.which(
    "pyright", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)

needs_pyright = pytest.mark.skipif(PYRIGHT is None, reason="no pyright here: make setup installs it")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a checker in the repository, so that it finds what is installed where this Python is."""
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(places), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def pyright(*arguments: str) -> dict[str, Any]:
    """What pyright reports, as it writes it in JSON."""
    assert PYRIGHT is not None
    done = run(PYRIGHT, "--outputjson", *arguments)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
def test_mypy_accepts_the_uses_of_the_readme() -> None:
    done = run(sys.executable, "-m", "mypy", "--strict", str(HERE))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@needs_pyright
def test_pyright_accepts_the_uses_of_the_readme() -> None:
    report = pyright("--project", str(HERE / "pyrightconfig.json"), "--pythonpath", sys.executable)
    found = report["generalDiagnostics"]
    assert report["summary"]["filesAnalyzed"] >= 6
    assert not found, "\n".join(f"{one['file']}: {one['message']}" for one in found)


@pytest.mark.slow
@needs_pyright
def test_every_public_name_has_a_known_type() -> None:
    # --verifytypes looks for other packages where the `python` of PATH has them, whatever --pythonpath says
    found = pyright("--verifytypes", "chronoflux", "--ignoreexternal")["typeCompleteness"]
    unknown = [
        f"{symbol['name']}: {one['message']}"
        for symbol in found["symbols"]
        if symbol["isExported"]
        for one in symbol["diagnostics"]
        if one["severity"] == "error"
    ]
    assert found["exportedSymbolCounts"]["withKnownType"] > 1000
    assert not unknown, "\n".join(unknown)
    assert found["completenessScore"] == 1
