"""``python -m chronoflux``: list the command lines."""

from __future__ import annotations

import click

from chronoflux.cli import run_command
from chronoflux.version import VERSION

FACES = {
    "chronoflux.signal": "the signaling server, where nodes meet",
    "chronoflux.headless": "a node without a notebook",
    "chronoflux.mesh": "check ROOM: who is in a room, how each is reached, and why not",
    "chronoflux.logs": "what run folders hold, and whether they are whole",
    "chronoflux.analyze": "what the logs of a room say, as a summary and a report",
    "chronoflux.demo": "the whole way once, on this machine",
    "chronoflux.kernels": "compile what is compiled on first use, once and for all",
    "chronoflux.bench": "how fast the engine is here",
}


@click.command()
def main() -> None:
    """List the commands of ChronoFlux."""
    click.echo(
        f"ChronoFlux {VERSION}. In a notebook: import chronoflux as cf; node = await cf.join('room1')\n"
    )
    for module, what in FACES.items():
        click.echo(f"  python -m {module:22} {what}")
    click.echo("\nEach tells more with --help.")


if __name__ == "__main__":
    run_command(main)
