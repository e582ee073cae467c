"""Find the Jupyter kernel of this process, if it is one."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel."""
    return kernel() is not None


def kernel() -> Any:
    """Return the Jupyter kernel of this process, or None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)
