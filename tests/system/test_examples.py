"""Examples in docstrings: each runs and says what it prints."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import chronoflux as cf

HOUSE = Path(cf.__file__).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _modules() -> list[str]:
    """Every module with an example, by name; told from its text, so that collecting loads none of them."""
    found = []
    for module in pkgutil.walk_packages([str(HOUSE)], "chronoflux."):
        path = HOUSE.parent / module.name.replace(".", "/")
        path = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if ">>> " in path.read_text("utf-8"):
            found.append(module.name)
    return found


@pytest.mark.parametrize("name", _modules())
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of the module prints what its docstring shows; its files go into a working folder."""
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=FLAGS, raise_on_error=False)
    assert found.attempted, "no docstring that doctest finds holds the example"
    assert not found.failed
