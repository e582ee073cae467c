"""Time-limited TURN credentials, as coturn's ``use-auth-secret`` checks them (its "REST API")."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from chronoflux.errors import UsageError, shorten
from chronoflux.signal.protocol import IceServer

LIFETIME = 3600.0
"""Validity of credentials, s."""


class Turn:
    """Makes credentials for the TURN servers at `urls`, which share `secret` with the signaling server.

    The user name is ``<expiry, Unix s>:<peer id>``, the password ``base64(HMAC-SHA1(secret, user name))``,
    after draft-uberti-behave-turn-rest-00.

    Raises
    ------
    UsageError
        If there is no URL, one is not a ``turn:`` or ``turns:`` URL, or the secret is empty.
    """

    urls: list[str]
    lifetime: float

    def __init__(
        self,
        urls: Sequence[str],
        secret: str,
        *,
        lifetime: float = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for url in urls:
            if not url.startswith(("turn:", "turns:")) or not url.isprintable() or len(url) > 512:
                raise UsageError(f"TURN server {shorten(url)}: give it as turn:host:3478")
        if not urls or not secret:
            raise UsageError("TURN needs at least one URL and a secret that is not empty")
        self.urls, self.lifetime = list(urls), lifetime
        self._secret, self._clock = secret.encode(), clock

    def credentials(self, peer_id: str) -> list[IceServer]:
        """Return the servers with fresh credentials for one peer."""
        username = f"{int(self._clock() + self.lifetime)}:{peer_id}"
        digest = hmac.new(self._secret, username.encode(), hashlib.sha1).digest()
        return [IceServer(urls=self.urls, username=username, credential=base64.b64encode(digest).decode())]
