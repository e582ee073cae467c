"""Which web pages may use the server, by the headers of their requests."""

from __future__ import annotations

from typing import Any

import pytest

from chronoflux.errors import UsageError
from chronoflux.signal.access import Access


def access(**options: Any) -> Access:
    """The rules of a server on a machine called lab-pc."""
    given: dict[str, Any] = {"origins": (), "host_names": (), "own_name": "lab-pc", "tls": False}
    return Access(**given | options)


def verdict(rules: Access, host: str | None, origin: str | None = None, *, websocket: bool = True) -> str:
    """The code with which a request is refused; empty: it is let in."""
    refusal = rules.refusal(
        hosts=[] if host is None else [host], origins=[] if origin is None else [origin], websocket=websocket
    )
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8888", True),
        ("HTTP://LOCALHOST:8888", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:3000", True),
        ("https://lab.example", True),
        ("http://192.168.1.7:8089", True),  # the server's own page
        ("https://192.168.1.7:8089", True),  # where a proxy ends TLS
        ("http://192.168.1.7:8090", False),
        ("http://192.168.1.7", False),
        ("http://192.168.1.8:8089", False),
        ("null", False),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("https://lab.example.evil.example", False),
        ("https://lab.example:444", False),
        ("chrome-extension://abcdef", False),
        ("", False),
    ],
)
def test_pages_by_their_origin(origin: str, allowed: bool) -> None:
    """Pages of loopback, the server's own and those named by --origin are let in, and nobody else's."""
    rules = access(origins=["https://lab.example:443"])
    assert verdict(rules, "192.168.1.7:8089", origin) == ("" if allowed else "origin")


def test_a_page_without_origin_of_its_own() -> None:
    """`null`, which every sandboxed frame has, is let in only when it was named."""
    assert verdict(access(origins=["null"]), "localhost:8089", "null") == ""


def test_with_tls_the_own_page_is_https() -> None:
    """Where the server itself speaks TLS, a page that came without it is not its own."""
    assert verdict(access(tls=True), "10.0.0.1:8089", "https://10.0.0.1:8089") == ""
    assert verdict(access(tls=True), "10.0.0.1:8089", "http://10.0.0.1:8089") == "origin"


def test_default_ports_need_not_be_written() -> None:
    """Behind a proxy on port 443 neither the origin nor the host names a port; both may."""
    rules = access(host_names=["signal.example.org"])
    assert verdict(rules, "signal.example.org", "https://signal.example.org") == ""
    assert verdict(rules, "signal.example.org:443", "https://signal.example.org") == ""
    assert verdict(rules, "signal.example.org:8443", "https://signal.example.org") == "origin"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8089", True),
        ("192.168.1.7", True),
        ("[2001:db8::1]:8089", True),
        ("localhost:1", True),
        ("LOCALHOST.", True),
        ("lab-pc:8089", True),
        ("lab-pc.local:8089", True),
        ("Signal.Example.org", True),
        ("evil.example", False),
        ("lab-pc.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1, evil.example", False),
        ("x@127.0.0.1", False),
        ("signal:8089", False),
        ("", False),
        (None, False),
    ],
)
def test_hosts_by_their_name(host: str | None, allowed: bool) -> None:
    """HTTP, and WebSockets of pages, must name the server by an address, localhost, the machine's own name or
    one that it was given."""
    rules = access(host_names=["signal.example.org"])
    expected = "" if allowed else "host"
    assert verdict(rules, host, websocket=False) == expected
    assert verdict(rules, host, "http://localhost:8888") == expected


def test_who_is_no_browser_may_use_any_name() -> None:
    """A WebSocket without Origin may come by any name: a container's, one of a hosts file."""
    for host in ("signal:8089", "lab-pc:8089", "evil.example", None):
        assert verdict(access(), host) == ""


def test_every_header_counts() -> None:
    """One good header among several saves nobody."""
    rules = access()
    refusal = rules.refusal(hosts=["localhost", "evil.example"], origins=[], websocket=False)
    assert refusal is not None
    assert "--host-name" in refusal.text
    pages = ["http://localhost", "https://evil.example"]
    refusal = rules.refusal(hosts=["localhost"], origins=pages, websocket=True)
    assert refusal is not None
    assert "--origin" in refusal.text


def test_a_qualified_own_name() -> None:
    """A machine that knows its name with the domain goes by the first part too."""
    rules = access(own_name="lab-pc.example.org")
    for host in ("lab-pc.example.org", "lab-pc", "lab-pc.local"):
        assert verdict(rules, host, websocket=False) == ""


@pytest.mark.parametrize("origin", ["foo", "https://", "https://a b", "lab.example", "https://lab.example/x"])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    """What no browser would send as its origin is refused at the start, with an example."""
    with pytest.raises(UsageError, match=r"https://example\.org"):
        access(origins=[origin])


@pytest.mark.parametrize("name", ["", "https://lab.example", "lab.example:80", "a b", "-x", "x" * 300])
def test_a_host_name_that_is_none_is_refused(name: str) -> None:
    """What can be no host name is refused at the start, with an example."""
    with pytest.raises(UsageError, match=r"lab\.example\.org"):
        access(host_names=[name])
