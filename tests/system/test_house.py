"""The house itself: imports point down, the front door is light, the faces are listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import chronoflux as cf

ROOT = Path(__file__).parents[2]


def test_imports_point_down() -> None:
    """No room imports from a floor above it (the contract in pyproject.toml)."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_front_door_is_light() -> None:
    """`import chronoflux` loads nothing heavy; each name of the public surface loads on first use."""
    heavy = ["numba", "pandas", "aiortc", "ipywidgets", "matplotlib", "numpy"]
    code = f"import sys, chronoflux; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    for name in cf.__all__:
        assert getattr(cf, name)
    with pytest.raises(AttributeError, match="nothing"):
        cf.nothing  # noqa: B018


def test_the_faces_are_listed_and_each_has_help() -> None:
    """`python -m chronoflux` names every command line, and each of them has --help."""
    listed = subprocess.run(
        [sys.executable, "-m", "chronoflux"], capture_output=True, text=True, check=True
    ).stdout
    faces = [word for word in listed.split() if word.startswith("chronoflux.")]
    assert {"chronoflux.signal", "chronoflux.headless"} <= set(faces)
    for face in faces:
        done = subprocess.run([sys.executable, "-m", face, "--help"], capture_output=True, text=True)
        assert done.returncode == 0
        assert "Usage" in done.stdout
