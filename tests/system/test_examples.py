"""Examples in docstrings: each runs and says what it prints."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import chronoflux as cf
from chronoflux import analysis

HOUSE = Path(cf.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITHOUT = {"Recorder": "it records a room through a signaling server, and examples use no network"}
"""What cannot have an example, and why."""


def _modules() -> list[str]:
    """Names of the modules with an example, found in their text, so that collecting imports none of them."""
    found = []
    for module in pkgutil.walk_packages([str(HOUSE)], "chronoflux."):
        path = HOUSE.parent / module.name.replace(".", "/")
        path = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if ">>> " in path.read_text("utf-8"):
            found.append(module.name)
    return found


@pytest.mark.parametrize("name", _modules())
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of each docstring print what it shows; each docstring has a working folder of its own."""
    found = [one for one in doctest.DocTestFinder().find(importlib.import_module(name)) if one.examples]
    assert found, "no docstring that doctest finds holds the example"
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, one in enumerate(found):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        runner.run(one)
    assert not runner.failures


@pytest.mark.parametrize("package", [cf, analysis], ids=lambda package: package.__name__)
def test_every_public_function_and_class_has_an_example(package: ModuleType) -> None:
    """What `__all__` names has an example in its docstring; only what is listed with its reason has none."""
    values = {name: getattr(package, name) for name in package.__all__}
    asked = {name: value for name, value in values.items() if callable(value)}
    parser = doctest.DocTestParser()
    lacking = {name for name, value in asked.items() if not parser.get_examples(inspect.getdoc(value) or "")}
    assert lacking == set(WITHOUT) & set(asked)
