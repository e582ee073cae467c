"""Kernels that are compiled before they are needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import make_run

USE = """
import json, sys
import networkx
from numba.core import event

class Compiling(event.Listener):
    kernels = []
    def on_start(self, e):
        self.kernels.append(e.data["dispatcher"].py_func.__qualname__)
    def on_end(self, e):
        pass

event.register("numba:compile", Compiling())
import chronoflux as cf
from chronoflux.render.static_image import static_png

def use(graph=None, **params):
    simulation = cf.Simulation(cf.Params(**{"oscillators": 30, **params}), seed=1, graph=graph)
    simulation.hear("a" * 32, 0.0, 0.5, 0.0, 1.0)
    simulation.lion_gate()
    simulation.intent(x=1.0, y=2.0)
    simulation.advance(20)
    simulation.metrics(), simulation.vortices(), simulation.correlation_length(), simulation.mean_field()
    for _ in simulation.record(20, 5):
        pass
    static_png(simulation.snapshot())
    simulation.clone(seed=2).advance(1)
    simulation.reset()
    simulation.metrics(), simulation.vortices(), simulation.correlation_length()

use()
use(coupling="global", integrator="rk4")
use(boundary="plane", noise=0.1, phase_lag=0.5)
use(oscillators=5_000)
use(graph=networkx.complete_graph(30))
cf.load(sys.argv[1])
print(json.dumps(Compiling.kernels))
"""


@pytest.mark.slow
def test_nothing_is_compiled_any_more_after_all_was(tmp_path: Path) -> None:
    """After ``python -m chronoflux.kernels``, in an empty cache before, a process that uses swarms of every
    kind, pictures and logs compiles nothing."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""}
    log = make_run(tmp_path)

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("-m", "chronoflux.kernels")
    assert [line.split(":")[0] for line in said.splitlines()] == [
        "kernels of the swarm",
        "kernels of pictures",
        "kernels of logs",
    ]
    assert json.loads(run("-c", USE, str(log))) == []
