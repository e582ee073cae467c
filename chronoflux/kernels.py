"""Kernels compiled before they are needed: seconds, when they are not in the cache of this machine yet.

``python -m chronoflux.kernels`` compiles all of them: at the end of a set-up, or in the making of an image.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from chronoflux.cli import FAILED, run_command
from chronoflux.model.engine.jit import KernelCache
from chronoflux.model.params import Params
from chronoflux.node.warm_up import warm_up
from chronoflux.render import rasterize
from chronoflux.telemetry.read.fast_scan import scan


@click.command()
def main() -> None:
    """Compile all kernels for this machine and put them into numba's cache, so that nothing has to wait for
    them later. Where they are there already it takes a second or two. Exit code 1: they could not be kept."""
    parts: dict[str, Callable[[], object]] = {
        "the swarm": lambda: warm_up(Params()),
        "pictures": rasterize.warm_up,
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
