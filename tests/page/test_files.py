"""The page as the server sends it: files, headers, and who gets it."""

from __future__ import annotations

import json

import pytest

from chronoflux.page.files import STATIC, PageFiles
from chronoflux.signal.server import SignalServer
from tests.signal.test_server import http

MOST, MOST_SMALL = 400_000, 120_000
"""Most bytes of all files, plain and gzipped."""


def asked(path: str, *headers: str, method: str = "GET", host: str = "localhost") -> str:
    """A request of a browser."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept: text/html,*/*", *headers]
    return "\n".join(lines) + "\n\n"


async def test_browsers_get_the_page_and_others_the_words(server: SignalServer) -> None:
    """At / a browser gets HTML with a strict policy, a program the line to join with."""
    status, headers, body = await http(server.port, asked("/", host="localhost:8089"))
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<script type="module" src="app.js">' in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "ws://localhost:8089" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    status, _, body = await http(server.port, "GET / HTTP/1.1\nHost: localhost\n\n")
    assert "cf.join" in body


async def test_each_file_is_sent_once(server: SignalServer) -> None:
    """All static files are there with their type; whoever has one is told that it is the same."""
    for path in STATIC.iterdir():
        status, headers, body = await http(server.port, asked(f"/{path.name}"))
        assert (status, body) == (200, path.read_text())
        again = await http(server.port, asked(f"/{path.name}", f"If-None-Match: {headers['ETag']}"))
        assert (again[0], again[2]) == (304, "")
        assert (await http(server.port, asked(f"/{path.name}", method="HEAD")))[::2] == (200, "")


@pytest.mark.parametrize("path", ["/nothing.js", "/../tables.py", "/%2e%2e/tables.py", "/static/app.js"])
async def test_nothing_else_is_sent(server: SignalServer, path: str) -> None:
    """Other paths, and those that lead out of the folder, are not found."""
    assert (await http(server.port, asked(path)))[0] == 404


async def test_the_tables_are_those_of_the_package(server: SignalServer) -> None:
    """Parameters, presets and events come from the package's own tables."""
    _, headers, body = await http(server.port, asked("/tables.json"))
    assert headers["Content-Type"] == "application/json"
    found = json.loads(body)
    assert {entry["name"] for entry in found["parameters"]} >= {"oscillators", "kappa", "integrator"}
    assert found["presets"][0]["name"] == "classic"
    assert [entry["wire"] for entry in found["events"]] == ["intent", "portal", "flip"]


async def test_a_server_without_the_page() -> None:
    """With ``page=False`` there are no files, and browsers get the words."""
    async with SignalServer(port=0, page=False) as server:
        assert "cf.join" in (await http(server.port, asked("/")))[2]
        assert (await http(server.port, asked("/app.js")))[0] == 404


async def test_the_page_of_another_name_is_refused(server: SignalServer) -> None:
    """A foreign host name gets no page: it could be one that was made to point here."""
    assert (await http(server.port, asked("/", host="evil.example")))[0] == 403


def test_the_page_is_small() -> None:
    """All files together stay below 400 kB, and 120 kB gzipped."""
    import gzip

    bodies = [path.read_bytes() for path in STATIC.iterdir()]
    assert sum(map(len, bodies)) <= MOST
    assert sum(len(gzip.compress(body)) for body in bodies) <= MOST_SMALL
    assert PageFiles().get("/app.js") is not None
