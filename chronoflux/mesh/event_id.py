"""The id of an event: a hash of its origin, content and time, so that others cannot alter the event.

It is the first 128 bits, as 32 lower-case hex digits, of the SHA-256 of the origin, the message's ``type``,
the time and the content, concatenated in this order, each encoded as follows. The time is the message's
``stamp`` if it has one, else its ``at``. The content is an object: the message without the fields of the
envelope (`ENVELOPE`).

========================  ==============================================================================
null, false, true         the byte ``z``, ``f`` or ``t``
number                    ``n``, then 8 bytes: IEEE 754 double, big-endian; whole numbers too, −0 as 0
string                    ``s``, then the number of bytes as 4 bytes, big-endian, then the UTF-8 bytes
list                      ``l``, then the number of items as 4 bytes, big-endian, then the items
object                    ``o``, then the number of entries as 4 bytes, big-endian, then each key (written as
                          a string) and its value, in the order of the keys' code points
========================  ==============================================================================

Earlier versions of ChronoFlux use random UUIDs, which are 32 hex digits too, and other programs may use any
text. To keep hashes distinct from random UUIDs, `mint` moves the time by a microsecond until the id does not
have the form of a random UUID. An id of 32 hex digits without that form must therefore be the event's hash.

``tests/event_ids.json`` holds test vectors for all languages.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

ENVELOPE = frozenset({"type", "id", "origin", "at", "hops", "n", "stamp"})
"""Fields of an event's message that are not part of its content."""
DEPTH = 32  # deepest nesting of content
TICK = 0.001  # ms by which `mint` moves a time; present-day times as doubles have a resolution of 0.00024 ms
_HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
_RANDOM = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", re.ASCII)


def event_id(origin: str, wire: str, at: float, content: Mapping[str, Any]) -> str:
    """Return the id of an event of type `wire` that `origin` fired at mesh time `at` (ms).

    Raises
    ------
    ValueError
        If a value cannot be encoded: a number that is not finite, half a surrogate pair, lists and objects
        nested more than 32 deep, or a type that JSON does not have.

    Examples
    --------
    >>> event_id("a" * 32, "flip", 1.7e12, {})
    '82cc25a797c5b61bd6a8e72a44f4765c'
    """
    parts: list[bytes] = []
    for value in (origin, wire, at, content):
        _write(value, parts, DEPTH)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def mint(
    origin: str, wire: str, at: float, content: Mapping[str, Any], taken: Callable[[str], bool]
) -> tuple[str, float]:
    """Return an id that is not `taken` for an event at `at`, and its time, which may be µs later."""
    while True:
        found = event_id(origin, wire, at, content)
        if not _RANDOM.fullmatch(found) and not taken(found):
            return found, at
        at += TICK


def must_match(key: str) -> bool:
    """Return whether an id has the form of a hash and not of a random UUID, so must be the hash."""
    return bool(_HASH.fullmatch(key)) and not _RANDOM.fullmatch(key)


def content_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of an event's message, which its id covers besides origin, type and time."""
    return {name: value for name, value in message.items() if name not in ENVELOPE}


def _write(value: Any, parts: list[bytes], depth: int) -> None:
    if value is None or isinstance(value, bool):
        parts.append({None: b"z", False: b"f", True: b"t"}[value])
    elif isinstance(value, int | float):
        parts.append(_number(value))
    elif isinstance(value, str):
        text = _text(value)
        parts += [b"s", struct.pack(">I", len(text)), text]
    elif depth and isinstance(value, list | tuple):
        parts += [b"l", struct.pack(">I", len(value))]
        for item in value:
            _write(item, parts, depth - 1)
    elif depth and isinstance(value, Mapping):
        parts += [b"o", struct.pack(">I", len(value))]
        for key in sorted(value):
            _write(key, parts, depth)
            _write(value[key], parts, depth - 1)
    else:
        raise ValueError(f"{type(value).__name__} in an event's content, or too deep in it")


def _number(value: float) -> bytes:
    try:
        number = float(value) + 0.0  # −0 becomes 0, because some languages do not distinguish them
    except OverflowError:
        raise ValueError("a number too large for a double in an event's content") from None
    if not math.isfinite(number):
        raise ValueError(f"{number} in an event's content")
    return b"n" + struct.pack(">d", number)


def _text(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair in an event's content") from None
