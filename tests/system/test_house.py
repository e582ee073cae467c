"""The house itself: imports point down, the front door is light, the faces are listed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import chronoflux as cf
from chronoflux.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
SHARE_WITH_A_BASE = {
    "chronoflux.model.simulation.Simulation",  # model/observables.py
    "chronoflux.telemetry.write.file_writer.FileWriter",  # telemetry/write/worker_thread.py
    "chronoflux.telemetry.write.rotation.Rotator",
}
"""Classes that use private attributes of a base in another module."""


def test_imports_point_down() -> None:
    """No room imports from a floor above it (the contract in pyproject.toml)."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


class Module(NamedTuple):
    """The classes of a module, and which module each imported name is from."""

    classes: dict[str, ast.ClassDef]
    imported: dict[str, str]


def read_modules() -> dict[str, Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in (ROOT / "chronoflux").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        found[".".join(path.relative_to(ROOT).with_suffix("").parts)] = Module(
            {node.name: node for node in nodes if isinstance(node, ast.ClassDef)},
            {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names},
        )
    return found


def defined(kind: ast.ClassDef) -> set[str]:
    """The names that a class defines, declares or assigns."""
    nodes = list(ast.walk(kind))
    functions = [n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    names = [n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    stored = [n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
    return {*functions, *names, *stored}


def inherited(modules: dict[str, Module], home: str, kind: ast.ClassDef) -> tuple[set[str], set[str]]:
    """The names that the bases of a class define: those of its own module, and those of other modules."""
    near: set[str] = set()
    far: set[str] = set()
    for base in kind.bases:
        while isinstance(base, ast.Subscript):
            base = base.value
        name = getattr(base, "id", "")
        where = home if name in modules[home].classes else modules[home].imported.get(name, "")
        if where in modules and name in modules[where].classes:
            found = modules[where].classes[name]
            close, distant = inherited(modules, where, found)
            near |= defined(found) | close if where == home else set()
            far |= distant if where == home else defined(found) | close | distant
    return near, far


def used(kind: ast.ClassDef) -> set[str]:
    """The private attributes of `self` and `super()` that a class uses."""
    return {
        node.attr
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("self", "super()")
        and re.match(r"_(?!_)", node.attr)
    }


def test_a_class_uses_its_own_private_attributes_only() -> None:
    """No class uses a private attribute that it only inherits from a class of another module.

    Except those in `SHARE_WITH_A_BASE`: their bases are made for them alone.
    """
    modules = read_modules()
    assert "_lifecycle" in used(modules["chronoflux.node.node"].classes["Node"])
    found = {}
    for home, module in modules.items():
        for name, kind in module.classes.items():
            near, far = inherited(modules, home, kind)
            if shared := (used(kind) & far) - near - defined(kind):
                found[f"{home}.{name}"] = sorted(shared)
    assert found.keys() <= SHARE_WITH_A_BASE, found


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
    """`python -m chronoflux` names every command line, and each runs as a module, too, with --help."""
    listed = subprocess.run(
        [sys.executable, "-m", "chronoflux"], capture_output=True, text=True, check=True
    ).stdout
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.doc[:40])}", listed, re.MULTILINE)
        command = [sys.executable, "-m", f"chronoflux.{name}", "--help"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0
        assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("an event", r"^EVENTS\b.*=|EVENTS\.register\("),
        ("a metric", r"^def order\("),
        ("a column of the log", r"^FLOATS\b"),
        ("a control of the live view", r"^class Toolbar\b"),
        ("a limit of the server", r"^class Limits\b"),
    ],
)
def test_the_map_says_where_things_are_changed(question: str, found: str) -> None:
    """README's map names the file to change for an event, a metric, a log column, a control and a limit."""
    (line,) = re.findall(rf"^\| {question} \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = [ROOT / "chronoflux" / path for path in re.findall(r"`([\w/]+\.py)`", line)]
    assert all(path.is_file() for path in named)
    assert re.search(found, named[0].read_text(), re.MULTILINE)


def test_the_map_has_every_room() -> None:
    """README's map has each package and module at the top of the house, and no file that is not there."""
    text = (ROOT / "README.md").read_text()
    parts = text[text.index("## How the parts fit") : text.index("| to change |")]
    rows = [row.split("|")[1:3] for row in re.findall(r"^\| `.*$", parts, re.MULTILINE)]
    rooms = {name for where, _ in rows for name in re.findall(r"`([\w/.]+)`", where)}
    package = ROOT / "chronoflux"
    there = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    there |= {path.name for path in package.glob("*.py") if path.name != "__init__.py"}
    assert rooms == there
    for where, what in rows:
        folders = [package / name for name in re.findall(r"`([\w/]+)/`", where)] or [package]
        for name in re.findall(r"`([\w/]+\.py)`", what):
            assert any((folder / name).is_file() for folder in folders), name
