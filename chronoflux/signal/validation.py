"""Checks of names, ids, URLs, metadata and payloads, from users and from remotes."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chronoflux.errors import UsageError, shorten

NAME_LENGTH = 64
"""Most characters of an id, a name or a reason."""
METADATA_BYTES = 4096
"""Most bytes of a peer's metadata as JSON."""
DEPTH = 32
"""Deepest nesting of objects and arrays in a payload."""


def peer_id(secret: bytes) -> str:
    """Return the id of a 16-byte secret: the first 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(secret).hexdigest()[:32]


def clean(text: str) -> str:
    """Return `text` in displayable form: at most 64 characters, unprintable ones as ``�``."""
    cut = text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 1] + "…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in cut)


def room_name(text: str) -> str:
    """Check the name of a room that a user gave, and return it.

    Raises
    ------
    UsageError
        If it is not a string of 1 to 64 printable characters, or is blank.
    """
    fits = isinstance(text, str) and len(text) <= NAME_LENGTH and text.isprintable() and bool(text.strip())
    if not fits:
        raise UsageError(
            f"room {shorten(text)} is not a valid room name: give 1 to {NAME_LENGTH} printable characters"
        )
    return text


def server_url(url: str) -> str:
    """Check the URL of a signaling server that a user gave, and return it.

    Raises
    ------
    UsageError
        If it is not of the form ``ws://host:port`` or ``wss://host``, optionally with a path.
    """
    remedy = "give it as ws://host:8089 or wss://host"
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError):
        raise UsageError(f"server {shorten(url)} is not a URL: {remedy}") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or not url.isprintable() or port == 0:
        raise UsageError(f"server {shorten(url)} is not a WebSocket URL: {remedy}")
    if parts.username or parts.password or parts.query or parts.fragment or " " in url:
        raise UsageError(
            f"server {shorten(url)}: no user, query or fragment is allowed: {remedy}; pass tokens as token=…"
        )
    return url


def metadata_or_none(value: Any) -> dict[str, Any]:
    """Return a peer's metadata as a server sent them, or an empty dict if they are invalid."""
    return {} if value is None or metadata_problem(value) else value


def metadata_problem(metadata: Any) -> str:
    """Return why metadata are invalid, or an empty text if they are valid."""
    if not isinstance(metadata, dict):
        return "is not an object"
    if not is_plain(metadata):
        return "nests too deep or holds too large a number"
    try:
        size = len(msgspec.json.encode(metadata))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return "is not JSON"
    if size > METADATA_BYTES:
        return f"has {size} bytes, more than {METADATA_BYTES}"
    for name in ("nodeId", "kind", "version"):
        value = metadata.get(name)
        if isinstance(value, str) and len(value) > NAME_LENGTH:
            return f"{name} is longer than {NAME_LENGTH} characters"
    return "" if _is_printable(metadata) else "is not printable"


def is_plain(value: Any, depth: int = DEPTH) -> bool:
    """Return whether no container nests deeper than `depth` and no integer exceeds 64 bits."""
    if isinstance(value, dict):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _is_printable(value: Any) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(isinstance(key, str) and key.isprintable() for key in value) and all(
            map(_is_printable, value.values())
        )
    return not isinstance(value, list) or all(map(_is_printable, value))
