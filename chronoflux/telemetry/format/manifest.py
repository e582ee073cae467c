"""`Manifest`: ``run.json`` as the log's thread keeps it up to date."""

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
"""Seconds after which the last tick in ``run.json`` is renewed."""
RETRY_EVERY = 1.0
"""Seconds between two attempts while writing fails."""

logger = logging.getLogger(__name__)


class Manifest:
    """The facts of a run, and whether they are on the disk. Whoever uses it from several threads locks."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.problem: str | None = None
        self.facts = facts
        self._folder = folder
        self._due = False
        self._written = time.monotonic()

    def write(self) -> None:
        """Write it at once. Raises OSError."""
        write_manifest(self._folder, to_json(self.facts))

    def update(self, **facts: Any) -> None:
        """Put facts into it; it is due then."""
        self.facts |= facts
        self._due = True

    def is_due(self) -> bool:
        """Whether it has something new, or has not been written for long."""
        wait = EVERY if self.problem is None else RETRY_EVERY
        return (self._due and self.problem is None) or time.monotonic() - self._written >= wait

    def content(self, **more: Any) -> bytes:
        """What is to be written now, with `more` facts of this moment; it is not due any longer."""
        self._due = False
        self._written = time.monotonic()
        return to_json(self.facts | more)

    def replace(self, content: bytes) -> None:
        """Replace the file; :attr:`problem` says so when that fails."""
        try:
            write_manifest(self._folder, content)
            self.problem = None
        except OSError as error:
            if self.problem is None:
                self.problem = f"{self._folder}: run.json cannot be written ({error.strerror or error})"
                logger.warning(self.problem)


def host() -> str:
    """This machine's name."""
    return valid_text(socket.gethostname())


def valid_text(text: str) -> str:
    """`text` without what UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode()


def check_facts(path: str | Path, facts: Mapping[str, Any]) -> None:
    """Refuse facts that are not JSON.

    Raises
    ------
    LogError
        When there are such.
    """
    try:
        to_json(facts)
    except (TypeError, ValueError, RecursionError) as error:
        raise LogError(path, f"a fact for run.json cannot be written: {error}") from error
