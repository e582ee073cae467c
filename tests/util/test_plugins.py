"""Plugins: an example package registers an event and a preset, and one that fails is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example_plugin"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the example package, built and unpacked like any other."""
    folder = tmp_path_factory.mktemp("plugin")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([*pip, *offline, str(EXAMPLE)], check=True)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "CHRONOFLUX_ENGINE": "plain",
    }


def test_an_event_and_a_preset_of_another_package(environment: dict[str, str], tmp_path: Path) -> None:
    """A run takes the plugin's preset and fires its event, which is on record and recomputed."""
    (tmp_path / "tides.toml").write_text('[[entry]]\nat = "1s"\nevent = "tide"\nturn = 1.5\n')
    command = [sys.executable, "-m", "chronoflux"]
    options = [
        "--offline",
        "--speed",
        "max",
        "--duration",
        "2s",
        "--preset",
        "ebb",
        "--schedule",
        "tides.toml",
    ]
    node = [*command, "headless", "room1", "10", "bot-1", *options]
    done = subprocess.run(node, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "logs").iterdir()
    records = [json.loads(line) for line in (run / "telemetry.jsonl").read_text().splitlines()]
    assert [record["data"]["turn"] for record in records if record["type"] == "tide"] == [1.5]
    assert json.loads((run / "run.json").read_text())["params"]["noise"] == 0.5
    check = [*command, "logs", "check", "--recompute", str(run)]
    done = subprocess.run(check, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_names_load_them(environment: dict[str, str]) -> None:
    """`cf.presets` has the plugin's preset; `import chronoflux` alone does not load plugins."""
    code = (
        "import sys, chronoflux as cf; print('chronoflux_tides' in sys.modules);"
        "print('ebb' in cf.presets); from chronoflux.model.events import EVENTS; print('tide' in EVENTS)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True"], done.stderr


def test_a_plugin_that_fails_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """A plugin that cannot be imported is left out with a warning, and the rest works."""
    (tmp_path / "chronoflux_tides.py").write_text("import nothing_of_that_name")
    path = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    code = "import chronoflux as cf; print(len(cf.presets) > 3, 'ebb' in cf.presets)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert "plugin tides of chronoflux-tides is left out: ModuleNotFoundError" in done.stderr
