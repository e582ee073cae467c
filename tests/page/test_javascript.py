"""The page's modules that need no browser, tested by Node.js's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_node(file: str) -> None:
    """All tests of a JavaScript file pass."""
    done = subprocess.run(
        ["node", "--test", str(HERE / file)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
