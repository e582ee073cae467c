"""What marks cached kernels as current."""

from __future__ import annotations

import re
from pathlib import Path

from chronoflux.model import metrics
from chronoflux.model.engine import jit

ENGINE = Path(jit.__file__).parent
KERNELS = re.compile(r"^@(cached_kernel|device_function|inlined|allocating|intrinsic|overload)\b", re.M)


def test_files_with_kernels_mark_them():
    """No file that defines a kernel, or a part of one, is left out of the checksum."""
    package = ENGINE.parents[1]
    left_out = [path for path in package.rglob("*.py") if path.name in jit._WITHOUT_KERNELS]
    assert len(left_out) > 4
    with_kernels = [path.name for path in left_out if KERNELS.search(path.read_text(encoding="utf-8"))]
    assert with_kernels == []


def test_a_change_of_a_source_changes_the_mark(tmp_path):
    """The checksum of a folder depends on its sources, and not on what no kernel uses."""
    (tmp_path / "field.py").write_text("A = 1\n")
    first = jit._checksum.__wrapped__(tmp_path)
    (tmp_path / "plain.py").write_text("B = 1\n")
    assert jit._checksum.__wrapped__(tmp_path) == first
    (tmp_path / "field.py").write_text("A = 2\n")
    assert jit._checksum.__wrapped__(tmp_path) != first


def test_a_kernel_is_marked_by_the_engine_and_by_its_folder(monkeypatch):
    """A kernel outside of the engine is compiled anew after a change of the engine or beside it."""
    marks = []
    monkeypatch.setattr(jit, "cache_on_disk", lambda compiled, stamp: marks.append(stamp))
    jit.cached_kernel(metrics.local_order)
    jit.cached_kernel(jit._checksum.__wrapped__)
    assert marks == [(jit._checksum(ENGINE), jit._checksum(folder)) for folder in (ENGINE.parent, ENGINE)]
