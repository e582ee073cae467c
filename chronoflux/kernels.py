"""Compile kernels ahead of time, so that no later run has to wait for them.

``python -m chronoflux.kernels`` compiles all of them, for example at the end of an installation or while a
container image is built.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from chronoflux.cli import FAILED, run_command
from chronoflux.model.engine import KernelCache
from chronoflux.model.params import Params
from chronoflux.node.warm_up import warm_up
from chronoflux.render import rasterize
from chronoflux.telemetry.read.fast_scan import scan
from chronoflux.util.help_page import HelpPage


@click.command(cls=HelpPage, examples=("chronoflux kernels",))
def main() -> None:
    """Compile all kernels for this machine into numba's cache.

    Later runs then do not wait for compilation. If the kernels are cached already, this takes a second or
    two.
    Exit code 1: the cache could not be written.
    """
    parts: dict[str, Callable[[], object]] = {
        "the swarm": lambda: warm_up(Params()),
        "pictures": rasterize.warm_up,
        "logs": lambda: scan(b"{}\n"),
    }
    for what, compile_ in parts.items():
        start = time.perf_counter()
        compile_()
        click.echo(f"kernels of {what}: {time.perf_counter() - start:.1f} s")
    if KernelCache.problem is not None:  # a warning has given the reason
        sys.exit(FAILED)


if __name__ == "__main__":
    run_command(main)
