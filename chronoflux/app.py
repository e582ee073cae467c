"""``chronoflux app``: serve notebook 02 as a page, with a node for each visitor, by Voilà."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from chronoflux.cli import read_token, run_command, run_face
from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.notebooks import ROOM_PAGE, find_notebook
from chronoflux.util.help_page import HelpPage

IDLE = 60
"""Seconds without a connection after which a visitor's kernel is ended."""
LOG_DIR = "CHRONOFLUX_LOG_DIR"


def arguments(notebook: Path, host: str, port: int, token: str | None, idle: int = IDLE) -> list[str]:
    """Return Voilà's arguments."""
    return [
        str(notebook),
        "--no-browser",
        f"--Voila.ip={host}",
        f"--port={port}",
        *([f"--token={token}"] if token else []),
        f"--MappingKernelManager.cull_idle_timeout={idle}",
        f"--MappingKernelManager.cull_interval={max(1, idle // 4)}",
        # Voilà sets no cookie for the page's goodbye, which names its kernel, a secret: none is asked for.
        "--Voila.tornado_settings=disable_check_xsrf=True",
    ]


@click.command(
    cls=HelpPage,
    examples=("chronoflux app", "chronoflux app --host 0.0.0.0 --token-file token.txt"),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="address; 0.0.0.0 opens it to networks")
@click.option("--port", default=8866, show_default=True, type=click.IntRange(0, 65_535), help="port")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="file with the token that visitors must show, as …/?token=…",
)
@click.option("--token", envvar="CHRONOFLUX_APP_TOKEN", hidden=True)
@click.option(
    "--idle-timeout",
    default=IDLE,
    show_default=True,
    type=click.IntRange(1),
    help="seconds without a connection after which a visitor's node leaves",
)
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("logs"),
    show_default=True,
    help="where the runs of the visitors are written",
)
@click.option("--debug", is_flag=True, help="show tracebacks")
def main(
    host: str,
    port: int,
    token_file: Path | None,
    token: str | None,
    idle_timeout: int,
    log_dir: Path,
    debug: bool,
) -> None:
    """Serve a page for visitors: each has a node of their own, and the room is in the address.

    http://localhost:8866/?room=room2 joins room2. A visitor's node leaves when the page is closed.
    CHRONOFLUX_SERVER and CHRONOFLUX_TOKEN name the signaling server and its token. Needs Voilà:
    pip install "chronoflux[app]"
    """
    asked: list[str | None] = []

    async def check() -> None:
        if find_spec("voila") is None:
            raise ChronofluxError('Voilà is not installed: pip install "chronoflux[app]"')
        asked.append(token or read_token(token_file))
        _make_folder(log_dir)

    run_face(check, debug=debug)
    _serve(host, port, asked[0], idle_timeout, log_dir.resolve())


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--log-dir {path}: cannot be made ({error.strerror})") from None


def _serve(host: str, port: int, token: str | None, idle: int, log_dir: Path) -> None:
    """Run Voilà in this process until Ctrl-C or SIGTERM, which end the visitors' kernels in order.

    A kernel's working folder is the notebook's, which an installed package may not be able to write: the
    notebook is served from a copy.
    """
    from voila.app import Voila

    os.environ[LOG_DIR] = str(log_dir)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="chronoflux-app-") as folder:
        notebook = Path(shutil.copy(find_notebook(ROOM_PAGE), folder))
        Voila.launch_instance(arguments(notebook, host, port, token, idle))


if __name__ == "__main__":
    run_command(main)
