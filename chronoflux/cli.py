"""What every command line shares: exit codes, one-line errors on stderr, Ctrl-C, tracebacks on request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click

from chronoflux.errors import ChronofluxError, ParameterError, UsageError, plain
from chronoflux.util.output import discard_output, never_fail_to_encode

DONE, FAILED, WRONG_USE = 0, 1, 2
_OPEN_FILES = (1 << 20, 1 << 16, 24_576, 10_240, 4_096)
"""Limits to try when the hard limit is refused; macOS allows from 10,240 (older) to 245,760."""


def run_command(command: click.Command) -> NoReturn:
    """Run a click command. Wrong use prints one line on stderr and exits with code 2."""
    never_fail_to_encode()
    try:
        command.main(standalone_mode=False)
        if sys.stdout is not None:  # None without a console on Windows
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(FAILED)
    except click.ClickException as error:
        _complain(f"{error.format_message().rstrip('.')} (--help lists the options)")
        sys.exit(WRONG_USE)
    except click.Abort:
        _complain("interrupted")
        sys.exit(FAILED)
    sys.exit(DONE)


def run_face(work: Callable[[], Coroutine[Any, Any, None]], *, debug: bool) -> None:
    """Run a command's coroutine. Exit with code 2 for wrong use, 1 for any other failure."""
    try:
        asyncio.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        _complain("interrupted")
        sys.exit(FAILED)
    except BrokenPipeError:  # of stdout: nobody reads a message
        raise
    except Exception as error:  # noqa: BLE001 - for any error the user gets one line and an exit code
        if debug:
            traceback.print_exc()
        unknown = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        _complain(str(error) if isinstance(error, ChronofluxError) else unknown)
        sys.exit(WRONG_USE if isinstance(error, UsageError | ParameterError) else FAILED)


def on_stop_signals(stop: Callable[[], object], last_words: Callable[[], object] = lambda: None) -> None:
    """Call `stop` on the running loop at Ctrl-C and SIGTERM, instead of raising KeyboardInterrupt.

    At the second signal the process calls `last_words` and ends at once.
    """
    loop = asyncio.get_running_loop()

    def again(*_: object) -> None:
        last_words()
        _complain("interrupted again: ended at once")
        os._exit(FAILED)

    def first() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, again)  # not on the loop, which may be blocked
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, first)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(first))


def on_hangup(act: Callable[[], object]) -> None:
    """Call `act` on the running loop at SIGHUP, on systems that have this signal."""
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def read_token(path: Path | None) -> str | None:
    """Read the room's token from the file at `path`. Return None if `path` is None.

    Raises
    ------
    UsageError
        When the file cannot be read or is empty.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"token file {path}: {error.strerror}; give a readable file") from None
    except UnicodeDecodeError:
        raise UsageError(f"token file {path} is not UTF-8 text; put the room's token into it") from None
    if not token:
        raise UsageError(f"token file {path} is empty; put the room's token into it")
    return token


def raise_open_files() -> None:
    """Raise the soft limit on open files as far as the system allows; each connection is an open file.

    The usual soft limit of 1024 (256 on macOS) is far below the hard limit. Where the hard limit is reported
    as infinite, the kernel still has its own limit and refuses more, so lower values are tried in turn.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return
    for wanted in (hard, *_OPEN_FILES):
        if soft == resource.RLIM_INFINITY or (wanted <= soft and wanted != resource.RLIM_INFINITY):
            continue
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def _complain(line: str) -> None:
    click.echo(f"chronoflux: {plain(line)}", err=True)
