"""Kernels compiled before they are needed: seconds, when they are not in the cache of this machine yet.

``python -m chronoflux.kernels`` compiles all of them: at the end of a set-up, or in the making of an image.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from chronoflux.faces import FAILED, run_command
from chronoflux.model import raster
from chronoflux.model.jit import KernelCache
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry.scan import scan


def warm_up(params: Params, *, pictures: bool = False) -> None:
    """Compile what a swarm of `params` runs on, by one that is thrown away; and what it is drawn with."""
    if pictures:
        raster.warm_up()
    small = params.replace(oscillators=min(params.oscillators, 16))
    simulation = Simulation(small, seed=0)
    simulation.anchor(0.0)
    simulation.hear("nobody", 0.0, 0.5, 0.0, 1.0)
    simulation.intent(x=0.0, y=0.0)
    simulation.metrics()  # before a tick, as after a reset: neighbours are found by a kernel of its own then
    simulation.advance(2)
    simulation.metrics()
    simulation.snapshot()


@click.command()
def main() -> None:
    """Compile all kernels for this machine and put them into numba's cache, so that nothing has to wait for
    them later. Where they are there already it takes a second or two. Exit code 1: they could not be kept."""
    parts: dict[str, Callable[[], object]] = {
        "the swarm": lambda: warm_up(Params()),
        "pictures": raster.warm_up,
        "logs": lambda: scan(b"{}\n"),
    }
    for what, compile_ in parts.items():
        start = time.perf_counter()
        compile_()
        click.echo(f"kernels of {what}: {time.perf_counter() - start:.1f} s")
    if KernelCache.problem is not None:  # a warning said why
        sys.exit(FAILED)


if __name__ == "__main__":
    run_command(main)
