"""The model without numba's compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    "model/engine/test_field.py",
    "model/engine/test_motion.py::test_equal_to_the_twin",
    "model/engine/test_motion.py::test_unstable_drag_stays_finite",
    "model/engine/test_phases.py::test_nearest",
    "model/engine/test_phases.py::test_graph",
    "model/test_metrics.py::test_local_order",
    "model/test_simulation.py::test_equal_to_the_twin",
    "model/test_simulation.py::test_bit_for_bit_through_save_and_load[26-global]",
    "model/test_peer_fields.py::test_fresh_for_two_seconds",
]


@pytest.mark.slow
def test_small_tests_pass_as_plain_python():
    """With NUMBA_DISABLE_JIT=1 the kernels are plain Python and pass a small set of their tests."""
    here = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *(str(here / name) for name in SMALL)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        cwd=here.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
