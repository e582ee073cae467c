"""`Manifest`: the content of ``run.json``, kept up to date by the log's thread."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import write_manifest
from chronoflux.telemetry.format.records import to_json

EVERY = 60.0
"""Seconds between two updates of the last tick in ``run.json``."""
RETRY_EVERY = 1.0
"""Seconds between two attempts while writing fails."""

logger: logging.Logger = logging.getLogger(__name__)


class Manifest:
    """Hold the facts of a run and write them to disk. Not thread-safe: callers hold a lock."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.problem: str | None = None
        self.facts: dict[str, Any] = facts
        self._folder = folder
        self._due = False
        self._written = time.monotonic()

    def write(self) -> None:
        """Write the file at once. Raises OSError."""
        write_manifest(self._folder, to_json(self.facts))

    def update(self, **facts: Any) -> None:
        """Add or change facts and mark the file as due to be written."""
        self.facts |= facts
        self._due = True

    def is_due(self) -> bool:
        """Return whether facts have changed or the last write is too long ago."""
        wait = EVERY if self.problem is None else RETRY_EVERY
        return (self._due and self.problem is None) or time.monotonic() - self._written >= wait

    def content(self, **more: Any) -> bytes:
        """Return the content to be written now, with `more` current facts, and mark it as not due."""
        self._due = False
        self._written = time.monotonic()
        return to_json(self.facts | more)

    def replace(self, content: bytes) -> None:
        """Replace the file. When that fails, :attr:`problem` holds the reason."""
        try:
            write_manifest(self._folder, content)
            self.problem = None
        except OSError as error:
            if self.problem is None:
                self.problem = f"{self._folder}: run.json cannot be written ({error.strerror or error})"
                logger.warning(self.problem)


def host() -> str:
    """Return this machine's host name."""
    return valid_text(socket.gethostname())


def valid_text(text: str) -> str:
    """Return `text` with a ``?`` for each character that UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def check_facts(path: str | Path, facts: Mapping[str, Any]) -> None:
    """Check that facts can be written as JSON.

    Raises
    ------
    LogError
        When a fact cannot be written as JSON.
    """
    try:
        to_json(facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise LogError(path, f"a value for run.json cannot be written: {error}") from error
