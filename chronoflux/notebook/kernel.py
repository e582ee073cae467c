"""The Jupyter kernel that this process may be."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel."""
    return kernel() is not None


def kernel() -> Any:
    """The Jupyter kernel that this process is, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)
