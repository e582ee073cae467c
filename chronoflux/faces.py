"""What every command line shares: exit codes, one line on stderr, a traceback only when asked for."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click

from chronoflux.errors import ChronofluxError, ParameterError, UsageError

DONE, FAILED, WRONG_USE = 0, 1, 2


def run_face(work: Callable[[], Coroutine[Any, Any, None]], *, debug: bool) -> NoReturn:
    """Run a command's coroutine and leave the process with its exit code: 0 done, 2 wrong use, 1 else."""
    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        sys.exit(FAILED)
    except Exception as error:  # noqa: BLE001 - whatever it was, the user gets one line and a code
        if debug:
            traceback.print_exc()
        known = isinstance(error, ChronofluxError)
        line = str(error) if known else f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        click.echo(f"chronoflux: {line}", err=True)
        sys.exit(WRONG_USE if isinstance(error, UsageError | ParameterError) else FAILED)
    sys.exit(DONE)
