"""`PageFiles`: the files of the browser's node as the signaling server sends them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from chronoflux.page.tables import tables

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self' ws://{host} wss://{host}; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Content security policy: scripts, styles and connections of this server only."""


@dataclass(frozen=True)
class PageFile:
    """A file of the page: its media type, its bytes, and the tag that changes with them."""

    type: str
    body: bytes
    etag: str

    def headers(self, host: str) -> dict[str, str]:
        """Return the headers of the answer to a request of `host`, which was checked."""
        return {
            "Content-Type": self.type,
            "Content-Length": str(len(self.body)),
            "ETag": self.etag,
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Content-Security-Policy": POLICY.format(host=host),
        }


class PageFiles:
    """The page's files by path, read on first use.

    Examples
    --------
    >>> files = PageFiles()
    >>> files.get("/").type, files.get("/app.js").type, files.get("/../errors.py")
    ('text/html; charset=utf-8', 'text/javascript; charset=utf-8', None)
    """

    def __init__(self) -> None:
        self._files: dict[str, PageFile] = {}

    def get(self, path: str) -> PageFile | None:
        """Return the file of a request's path, or None if the page has no such file."""
        name = path.removeprefix("/") or "index.html"
        if name == "tables.json":  # never kept: events may be registered while the server runs
            return _file(".json", json.dumps(tables()).encode())
        if name not in self._files:
            known = {file.name: file for file in STATIC.iterdir() if file.suffix in TYPES}
            if name not in known:
                return None
            self._files[name] = _file(known[name].suffix, known[name].read_bytes())
        return self._files[name]


def _file(suffix: str, body: bytes) -> PageFile:
    return PageFile(TYPES[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
