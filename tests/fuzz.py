"""Messages as somebody hostile, or broken, may send them: mutated from good ones, or random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

EXTREMES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, -(2**63), 10**30, 1e308, -1e308, 5e-324, 0.5, "", "\0", "x" * 70_000),
    *("<script>alert(1)</script>", "../../etc/passwd", "\u202e", "\ud800", [], {}, [[]] * 9, {"a": {"": {}}}),
)
TOKENS = (
    *(b"NaN", b"Infinity", b"1e999", b"9" * 400, b"[" * 3000, b'{"type":'),
    *(b"\xff", b"\0", b'"', b"}", b","),
)


def mutants(originals: Sequence[dict[str, Any]], count: int, seed: int = 0) -> Iterator[bytes]:
    """As many messages, the same for the same seed: some random, most near to one of the `originals`."""
    rng = random.Random(seed)
    kinds: list[Callable[[random.Random, dict[str, Any]], bytes]] = [_noise, _damaged, _odd, _odd, _spliced]
    for _ in range(count):
        yield rng.choice(kinds)(rng, rng.choice(originals))


def _noise(rng: random.Random, original: dict[str, Any]) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 10, 1000)))


def _damaged(rng: random.Random, original: dict[str, Any]) -> bytes:
    """Some bytes changed, left out or doubled."""
    text = bytearray(json.dumps(original).encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
    return bytes(text)


def _spliced(rng: random.Random, original: dict[str, Any]) -> bytes:
    """Something in the middle that JSON does not know, or knows too well."""
    text = json.dumps(original).encode()
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(TOKENS) + text[at + rng.randint(0, 8) :]


def _odd(rng: random.Random, original: dict[str, Any]) -> bytes:
    """Right in form, with a value somewhere that is none."""
    message = json.loads(json.dumps(original))
    where: Any = message
    while True:
        key = rng.choice(list(where) if isinstance(where, dict) else range(len(where)))
        if isinstance(where[key], dict | list) and where[key] and rng.random() < 0.7:
            where = where[key]
            continue
        where[key] = rng.choice(EXTREMES)
        return json.dumps(message, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
