"""The name of a node."""

from __future__ import annotations

import os
import socket

from chronoflux.errors import UsageError, shorten

_OWN_SUFFIX = os.urandom(2).hex()


def node_name(given: str | None, kind: str) -> str:
    """Return the name given, or one that is constant within this process, so that a cell can be run again."""
    if given is None:
        return f"{kind}-{socket.gethostname()[:32]}-{_OWN_SUFFIX}"
    return given


def checked_name(given: object) -> str:
    """Return a name as given by a user; UsageError unless it is a string of 1 to 64 printable characters."""
    if not isinstance(given, str) or not 0 < len(given) <= 64 or not given.isprintable():
        raise UsageError(f"node_id = {shorten(given)}: give 1 to 64 printable characters")
    return given
