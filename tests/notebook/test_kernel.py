"""Finding the Jupyter kernel of a process."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from chronoflux.notebook.kernel import in_notebook, kernel


def test_a_plain_process_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without IPython, and at an IPython prompt, there is no kernel."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    assert not in_notebook()


def test_the_kernel_of_a_notebook_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook it is the kernel of IPython's shell."""
    own = object()
    shell = SimpleNamespace(kernel=own)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert kernel() is own
