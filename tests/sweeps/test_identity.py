"""The hash of a function's code: the same where it does the same, another where it may not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from chronoflux.sweeps.identity import fingerprint


def made(text: str) -> Callable[..., object]:
    space: dict[str, Callable[..., object]] = {}
    exec(text, space)
    return space["f"]


def test_what_changes_the_hash() -> None:
    """A constant, a default, an enclosed value, an option of a partial, a method: each gives another hash."""
    texts = [
        "def f(sim): return 1.0",
        "def f(sim): return 2.0",
        "def f(sim, a=1): return a",
        "def f(sim, a=2): return a",
        "def f(sim, *, a=2): return a",
        "def f(sim): return sim.H",
        "def f(sim): return sim.G",
        "def f(sim): return [lambda: 1]",
        "def f(sim): return [lambda: 2]",
        "f = (lambda a: lambda sim: a)(1)",
        "f = (lambda a: lambda sim: a)(2)",
        "class f:\n    def advance(self): return 1",
        "class f:\n    def advance(self): return 2",
        "class f:\n    @property\n    def x(self): return 2",
        "class f:\n    @staticmethod\n    def x(): return 2",
    ]
    found = [fingerprint(made(text)) for text in texts]
    found += [fingerprint(partial(made(texts[2]), a=a)) for a in (3, 4)]
    assert len(set(found)) == len(found)
    assert found[: len(texts)] == [fingerprint(made("\n\n" + text)) for text in texts]


@pytest.mark.slow
def test_the_same_in_another_process() -> None:
    """The hash does not depend on the process, nor on where the function stands in its file."""
    text = "def f(sim, names=('H', 'tau')): return {name: sim.metrics()[name] for name in names}"
    code = f"from chronoflux.sweeps.identity import fingerprint\n{text}\nprint(fingerprint(f))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint(made(text))


def test_what_has_no_code_goes_by_name() -> None:
    """Built-in functions and instances are known by the names they have."""
    assert fingerprint(len).startswith("len:")
    assert fingerprint(len) != fingerprint(max)
