"""`HandshakeLimit`: how many may stand between being accepted and having finished their handshake."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class HandshakeLimit(Generic[K]):
    """Those whose handshake is under way, in all and by address.

    They are no connections yet, so the lobby knows nothing of them; but each is an open file for as long as
    its handshake may take. When there are too many the oldest has to go: who means to come in is through in
    a moment, whoever only stands there is not.
    """

    def __init__(self, most: int, per_address: int) -> None:
        self._most, self._per_address = most, per_address
        self._waiting: dict[K, str] = {}
        self._by_address: dict[str, dict[K, None]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self, who: K, address: str) -> K | None:
        """Somebody begins; who has to go for it, if somebody has."""
        goes: K | None = None
        if len(self._by_address.get(address, ())) >= self._per_address:
            goes = next(iter(self._by_address[address]))
        elif len(self._waiting) >= self._most:
            goes = next(iter(self._waiting))
        if goes is not None:
            self.leave(goes)
        self._waiting[who] = address
        self._by_address.setdefault(address, {})[who] = None
        return goes

    def leave(self, who: K) -> None:
        """Somebody is through, or gone. Again: nothing happens."""
        address = self._waiting.pop(who, None)
        if address is not None:
            del self._by_address[address][who]
            if not self._by_address[address]:
                del self._by_address[address]
