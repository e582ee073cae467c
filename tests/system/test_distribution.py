"""The wheel and the sdist: what is in them, and that each works by itself, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.distributions import check_sdist, check_wheel

ROOT = Path(__file__).parents[2]
READ = "import sys, chronoflux as cf; print(len(cf.load(sys.argv[1])))"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return folder


def test_what_is_in_them(built: Path) -> None:
    """Both have the whole package and the notebooks, the sdist has the tests; neither has caches or logs."""
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    assert check_wheel(wheel) + check_sdist(sdist) == []


@pytest.mark.slow
def test_the_wheel_stands_alone(built: Path, tmp_path: Path) -> None:
    """From a fresh environment with the wheel alone: a node runs, pandas reads its log, notebooks are copied
    out, and the demo runs a server and three nodes, and names what a notebook needs."""
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=1200)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    program = str(python.parent / "chronoflux")
    offline = ["--offline", "--speed", "max", "--duration", "5s"]
    run(program, "headless", "room1", "20", "bot-1", *offline)
    assert int(run(str(python), "-c", READ, "logs")) > 5
    assert "01_join_a_room.ipynb" in run(program, "notebooks", "mine")
    said = run(program, "demo", "--seconds", "20", "--log-dir", "demo")
    assert 'pip install "chronoflux[lab]"' in said
    assert "no event fired while all three were there was lost" in said


@pytest.mark.slow
def test_the_sdist_tests_itself(built: Path, tmp_path: Path) -> None:
    """From the unpacked sdist its tests run, those that read its other files among them."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    chosen = [
        "tests/test_main.py",
        "tests/test_notebooks.py",
        "tests/test_demo.py",
        "tests/util",
        "tests/signal",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [*command, *chosen], cwd=folder, env=environment, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-3000:]
