"""What every command line shares: exit codes, one line on stderr, Ctrl-C, a traceback only when asked for."""

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

from chronoflux.errors import ChronofluxError, ParameterError, UsageError
from chronoflux.util.output import discard_output, never_fail_to_encode
from chronoflux.util.text import plain

DONE, FAILED, WRONG_USE = 0, 1, 2
_OPEN_FILES = (1 << 20, 1 << 16, 24_576, 10_240, 4_096)
"""Limits to try where the hard one is refused; macOS allows from 10,240 (older) to 245,760."""


def run_command(command: click.Command) -> NoReturn:
    """Run a click command; what it refuses is one line on stderr and code 2."""
    never_fail_to_encode()
    try:
        command.main(standalone_mode=False)
        if sys.stdout is not None:  # as it is without a console on Windows
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
    """Run a command's coroutine; leave with code 2 for wrong use, 1 for anything else that fails."""
    try:
        asyncio.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        _complain("interrupted")
        sys.exit(FAILED)
    except BrokenPipeError:  # of stdout: there is nobody to tell
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, the user gets one line and a code
        if debug:
            traceback.print_exc()
        unknown = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        _complain(str(error) if isinstance(error, ChronofluxError) else unknown)
        sys.exit(WRONG_USE if isinstance(error, UsageError | ParameterError) else FAILED)


def on_stop_signals(stop: Callable[[], object], last_words: Callable[[], object] = lambda: None) -> None:
    """Have a function called on the running loop at Ctrl-C and SIGTERM, in place of a KeyboardInterrupt.

    At the second one the process ends at once, wherever it is, after `last_words`.
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
            signal.signal(number, again)  # not on the loop, which may stand still
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, first)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(first))


def on_hangup(act: Callable[[], object]) -> None:
    """Have a function called on the running loop at SIGHUP, where there is such a signal."""
    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def read_token(path: Path | None) -> str | None:
    """The room's token from the file that an option named, if it did.

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
    """Raise the soft limit on open files as far as the system lets it; each connection is one.

    The usual soft limit of 1024, or 256 on macOS, is far below the hard one. Where the hard one is said to be
    infinite, the kernel still has a limit of its own and refuses more: then less is tried.
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
