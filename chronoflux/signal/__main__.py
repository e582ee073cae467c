"""``python -m chronoflux.signal``: the signaling server, where nodes meet."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import click

from chronoflux.cli import on_stop_signals, raise_open_files, run_command, run_face
from chronoflux.errors import UsageError
from chronoflux.signal import network
from chronoflux.signal.limits import Limits
from chronoflux.signal.server import DEFAULT_PORT, SignalServer, library_log
from chronoflux.signal.topology import Name, Topology
from chronoflux.signal.turn import Turn
from chronoflux.util.help_page import HelpPage, NearestChoice
from chronoflux.version import VERSION

EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


def _limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option ``--max-…`` for each field of `Limits`."""
    for entry in reversed(fields(Limits)):
        option = click.option(
            "--max-" + entry.name.replace("_", "-"),
            f"limit_{entry.name}",
            type=type(entry.default),
            default=entry.default,
            show_default=True,
            help=f"Limit: {entry.metadata['doc']}.",
        )
        command = option(command)
    return command


GROUPS = {
    "Address": ["host", "port", "host_names", "tls_cert", "tls_key"],
    "Who may connect": ["token_file", "origins", "trusted_proxies", "exempt", "page"],
    "Links between nodes": ["topology", "degree", "turn_urls", "turn_secret_file"],
    "Limits": [f"limit_{entry.name}" for entry in fields(Limits)],
}
EXAMPLES = (
    "chronoflux signal",
    "chronoflux signal --host 0.0.0.0 --token-file token.txt",
)


@click.command(cls=HelpPage, groups=GROUPS, examples=EXAMPLES, context_settings={"max_content_width": 100})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 opens it to networks.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0: any."
)
@click.option("--token-file", type=EXISTING, help="File with the token that clients must show.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Web origin whose pages may use this server, as https://example.org, or null; repeatable.",
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    help="Further host name at which browsers reach this server, as lab.example.org; repeatable.",
)
@click.option("--tls-cert", type=EXISTING, help="Certificate chain (PEM), for wss.")
@click.option("--tls-key", type=EXISTING, help="The certificate's key (PEM).")
@click.option(
    "--turn", "turn_urls", multiple=True, help="TURN server to hand out, as turn:host:3478; repeatable."
)
@click.option("--turn-secret-file", type=EXISTING, help="File with the TURN server's shared secret.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    help="Address or network of a proxy whose X-Forwarded-For is trusted; repeatable.",
)
@click.option(
    "--exempt",
    multiple=True,
    help="Address or network exempt from the limits on joins, held places and wrong tokens; repeatable.",
)
@click.option(
    "--topology",
    type=NearestChoice(get_args(Name)),
    default="auto",
    show_default=True,
    help="Which nodes are linked with each other; auto: full up to 16 nodes, random above.",
)
@click.option("--degree", type=int, help="Number of links of each node, even  (default: random 6, ring 2).")
@click.option(
    "--page/--no-page", default=True, show_default=True, help="Serve browsers a page that is a node."
)
@_limit_options
@click.option("--debug", is_flag=True, help="Log everything and show tracebacks.")
def main(debug: bool, **options: Any) -> None:
    """Run a signaling server until Ctrl-C or SIGTERM.

    Nodes meet here and then talk directly. Metrics for Prometheus are at /metrics, health at /healthz.
    """
    level = logging.DEBUG if debug else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stderr)
    library_log.setLevel(level)
    run_face(lambda: _run(**options), debug=debug)


async def _run(
    *,
    host: str,
    port: int,
    token_file: Path | None,
    origins: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    turn_urls: tuple[str, ...],
    turn_secret_file: Path | None,
    trusted_proxies: tuple[str, ...],
    host_names: tuple[str, ...],
    exempt: tuple[str, ...],
    topology: Name,
    degree: int | None,
    page: bool,
    **limits: Any,
) -> None:
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    raise_open_files()
    server = SignalServer(
        host,
        port,
        token=None if token_file is None else _secret(token_file),
        origins=origins,
        tls=_tls(tls_cert, tls_key),
        turn=_turn(turn_urls, turn_secret_file),
        topology=Topology(topology, degree),
        trusted_proxies=trusted_proxies,
        host_names=host_names,
        exempt=exempt,
        page=page,
        limits=Limits(**{name.removeprefix("limit_"): value for name, value in limits.items()}),
    )
    async with server:
        _announce(server, page=page)
        serving = asyncio.create_task(server.serve_forever(), name="signaling server")
        stopping = asyncio.create_task(stop.wait(), name="signaling server's end")
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.is_set():
            serving.result()
        await server.close()
        await asyncio.wait([serving, stopping])
    click.echo("signaling server ended")


def _announce(server: SignalServer, *, page: bool) -> None:
    """Print the server's address, the line with which others join, and the address for browsers."""
    open_at = server.public_urls
    click.echo(f"ChronoFlux signaling server {VERSION} on {[*open_at, server.url][0]}")
    token = ', token="…"' if server.has_token else ""
    here = f'await cf.join("room1", server="{server.url}"{token})'
    if network.is_loopback(server.host):
        click.echo(f"On this machine join with: {here}")
        click.echo("To open it to other machines: --host 0.0.0.0")
        if page:
            click.echo(f"In a browser: {_page_url(server.url)}")
        return
    if open_at:
        click.echo(f'Join with: await cf.join("room1", server="{open_at[0]}"{token})')
        if page:
            click.echo(f"In a browser: {_page_url(open_at[0])}")
    else:
        click.echo(f"No network is up; on this machine join with: {here}")
    if others := open_at[1:]:
        click.echo(f"This machine's other addresses: {', '.join(others)}")
    if not server.has_token:
        click.echo(
            "warning: anybody who reaches this port may join; require a token with --token-file", err=True
        )


def _page_url(url: str) -> str:
    """The address of the page, in the room ``room1``, of a server at this WebSocket URL."""
    return f"http{url.removeprefix('ws')}/#room1"


def _secret(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not text:
        raise UsageError(f"{path} is empty: write the secret into it")
    return text


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{cert} and {key} cannot be used as certificate and key: {error}") from None
    return context


def _turn(urls: tuple[str, ...], secret_file: Path | None) -> Turn | None:
    if not urls and secret_file is None:
        return None
    if not urls or secret_file is None:
        raise UsageError("--turn and --turn-secret-file go together")
    return Turn(urls, _secret(secret_file))


if __name__ == "__main__":
    run_command(main)
