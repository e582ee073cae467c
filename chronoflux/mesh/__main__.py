"""``python -m chronoflux.mesh check ROOM``: who is in a room, how each is reached, and why not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chronoflux.cli import on_stop_signals, read_token, run_command, run_face
from chronoflux.errors import ChronofluxError, plain
from chronoflux.signal.validation import room_name, server_url
from chronoflux.util.help_page import HelpGroup

if TYPE_CHECKING:
    from chronoflux.mesh.peer import Peer
    from chronoflux.mesh.room_session import Room

SERVER = "ws://localhost:8089"
PATIENCE = 25.0
"""Default of ``--seconds``; an attempt to link is given up after 20 s."""
FINAL_PATHS = ("direct", "turn", "server")
"""Paths that will not be replaced by a better one."""
SETTLING = 3.0
"""Time in which further peers may appear, and round trips are measured, s."""
KEEP_ALIVE = 1.0
"""Time between messages to peers, so that they do not consider the links dead, s."""


@dataclass(frozen=True)
class Line:
    """The result for one peer: one row of the table."""

    name: str
    kind: str
    way: str
    rtt: str
    note: str
    reached: bool


@click.group(
    cls=HelpGroup,
    examples=(
        "chronoflux mesh check room1",
        "chronoflux mesh check room1 --server wss://signal.example.org --token-file token.txt",
    ),
)
def main() -> None:
    """Look at the mesh of a room."""


@main.command()
@click.argument("room", default="chrono-default")
@click.option("--server", default=SERVER, show_default=True, help="signaling server, ws:// or wss://")
@click.option(
    "--seconds",
    default=PATIENCE,
    show_default=True,
    type=click.FloatRange(min=0.5, max=600),
    help="longest time to wait, in s; the check ends sooner when all peers are linked directly",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="file with the room's token"
)
@click.option("--debug", is_flag=True, help="show tracebacks and all log messages")
def check(debug: bool, **options: Any) -> None:
    """Say who is in ROOM, how each is reached from here, how long a round trip takes, and why not.

    Joins as a probe, which has no swarm, fires nothing, and is not counted. Exit code 0: everybody is
    reached, by a link or by the server's relay; 1: somebody is not, nobody is there, or the server is not
    reached; 2: wrong use.
    """
    level = logging.DEBUG if debug else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    run_face(lambda: _check(**options), debug=debug)


async def _check(room: str, server: str, seconds: float, token_file: Path | None) -> None:
    from chronoflux.mesh.spectator import Spectator, visit  # aiortc takes half a second

    room, server = room_name(room), server_url(server)
    name = f"probe-{socket.gethostname()[:32]}-{os.urandom(2).hex()}"
    visited = visit(room, server, Spectator(name), token=read_token(token_file))
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    running = asyncio.create_task(visited.run(), name="probe")
    try:
        await visited.first_answer()
        if visited.client.state != "joined":
            raise ChronofluxError(visited.client.last_error or f"{server} does not answer")
        click.echo(f"joined {room} on {server}; checking …", err=True)
        await _wait_until_settled(visited, seconds, stop)
        lines = [_line(peer) for peer in visited.mesh.peers.values()]
        joined, why = visited.client.state == "joined", visited.client.last_error
    finally:
        await visited.leave("checked")
        running.cancel()
        await asyncio.wait([running])
    if lines:
        _report(room, lines)
    if not joined:
        raise ChronofluxError(f"the connection to the server was lost meanwhile: {why}")
    if not lines:
        text = f"nobody else in {room} on {server}: are server and room the same on both sides?"
        raise ChronofluxError(text)
    if missed := [line.name for line in lines if not line.reached]:
        raise ChronofluxError(f"not reached: {', '.join(missed)}; the table gives the reasons")


async def _wait_until_settled(visited: Room, seconds: float, stop: asyncio.Event) -> None:
    """Wait at least `SETTLING` seconds, until all peers are on a final path or the time is over."""
    began, spoken = time.monotonic(), 0.0
    while not stop.is_set():
        now = time.monotonic()
        peers = list(visited.mesh.peers.values())
        settled = now - began >= SETTLING and all(peer.via(now) in FINAL_PATHS for peer in peers)
        if settled or now - began >= seconds:
            return
        if now - spoken >= KEEP_ALIVE:
            spoken = now
            visited.mesh.keep_alive()
        await asyncio.sleep(0.05)


def _line(peer: Peer) -> Line:
    now = time.monotonic()
    way, rtt = peer.via(now), peer.row(None, 0.0)["rtt_ms"]
    linked = way in ("direct", "turn")
    note = "" if linked else peer.reason or (peer.link is not None and "no link yet") or "no link"
    if not peer.ours and not linked:  # also while our offer is pending
        way, note = "server", f"{peer.client_description()}: it is reached only through the server"
    name = peer.name if peer.name != peer.id[:8] else peer.id
    return Line(name, peer.kind, way or "–", "–" if rtt is None else f"{rtt:.1f} ms", note, bool(way))


def _report(room: str, lines: list[Line]) -> None:
    """Print the table and a summary line."""
    rows = [("name", "kind", "way", "round trip", "why not direct")]
    rows += [(line.name, line.kind, line.way, line.rtt, line.note) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        click.echo(plain("  ".join([*cells, row[4]])).rstrip())
    ways = [line.way for line in lines]
    known = ("direct", "turn", "relay", "server")
    counts = ", ".join(f"{ways.count(way)} {way}" for way in known if way in ways)
    click.echo(f"{len(lines)} in {room}: {counts or 'nobody reached'}")


if __name__ == "__main__":
    run_command(main)
