"""The signaling client where the environment names a proxy: a real one, which passes on or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chronoflux.signal import client as client_module
from chronoflux.signal.proxy import is_near, shown
from chronoflux.signal.server import SignalServer
from tests.certificates import self_signed
from tests.signal.test_client import joined, running
from tests.support import until

FAR = "signal.example.org"  # where only the proxy knows a way


class Proxy:
    """An HTTP proxy that answers CONNECT, and passes bytes on to this machine's port of the same number."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.splitlines()[0])
            writer.write(self.answer)
            if not self.answer.startswith(b"HTTP/1.1 200"):
                await writer.drain()
                writer.close()
                return
            port = int(head.split()[1].rpartition(":")[2])
            there, away = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(self._pass(reader, away), self._pass(there, writer))
            finally:
                away.close()
        writer.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxied(
    monkeypatch: pytest.MonkeyPatch, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n", login: str = ""
) -> AsyncIterator[Proxy]:
    """A proxy that the environment names; nothing else there does."""
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "WS_PROXY",
        "WSS_PROXY",
        "SOCKS_PROXY",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    proxy = Proxy(answer)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        proxy.url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}127.0.0.1:{port}")
        yield proxy


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect without long pauses."""
    monkeypatch.setattr(client_module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(client_module, "LAST_DELAY", 0.05)


async def test_a_far_server_is_joined_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, server: SignalServer
) -> None:
    """A server in the public internet is joined through the proxy that the environment names."""
    async with proxied(monkeypatch) as proxy, running(f"ws://{FAR}:{server.port}") as ours:
        await joined(ours)
        assert proxy.asked == [f"CONNECT {FAR}:{server.port} HTTP/1.1"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "refused: HTTP 403 Forbidden"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", "refused: HTTP 405"),
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "refused: HTTP 407 Proxy Authentication Required: give its",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answers, but is not an HTTP proxy"),
    ],
)
async def test_its_refusal_is_named_and_final(
    answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that refuses is named, with what it says and how to go without it, but not with the password
    for it; nobody tries again."""
    async with proxied(monkeypatch, answer, "me:sesame@") as proxy, running(f"ws://{FAR}:8089") as ours:
        await until(lambda: ours.client.state == "refused")
        assert f"ws://{FAR}:8089 cannot be reached: the proxy {proxy.url} {said}" in ours.client.reason
        assert f"NO_PROXY={FAR}" in ours.client.reason
        assert "sesame" not in ours.client.reason
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("status", [b"502 Bad Gateway", b"503 Service Unavailable", b"504 Gateway Timeout"])
async def test_what_may_pass_is_tried_again(
    status: bytes, quick: None, monkeypatch: pytest.MonkeyPatch, server: SignalServer
) -> None:
    """While the proxy does not reach the server the client says so and tries again, until it does."""
    answer = b"HTTP/1.1 " + status + b"\r\n\r\n"
    async with proxied(monkeypatch, answer) as proxy, running(f"ws://{FAR}:{server.port}") as ours:
        await until(lambda: len(proxy.asked) > 2)
        said = f"the proxy {proxy.url} refused: HTTP {status.decode()}"
        assert any(said in reason for _, reason in ours.states)
        proxy.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        await joined(ours)


async def test_a_proxy_that_is_not_there(
    quick: None, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """A proxy that does not listen is named, and not the server, of which nothing is known."""
    async with proxied(monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_tcp_port}")
        async with running(f"ws://{FAR}:8089") as ours:
            await until(lambda: ours.client.state == "waiting")
            said = f"the proxy http://127.0.0.1:{unused_tcp_port} cannot be reached: nothing listens there"
            assert any(said in reason for _, reason in ours.states)


@pytest.mark.parametrize(
    "value", ["socks5://127.0.0.1:1", "127.0.0.1:3128", "me:sesame@proxy:3128", "gopher://x"]
)
async def test_a_proxy_that_cannot_be_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of a kind that is not understood, or written wrongly, is named and said to be no use."""
    async with proxied(monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", value)
        async with running(f"ws://{FAR}:8089") as ours:
            await until(lambda: ours.client.state in ("refused", "waiting"))
            assert "the proxy" in ours.client.reason
            assert "sesame" not in ours.client.reason


async def test_what_fails_behind_the_proxy_names_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate that is not trusted behind a proxy, which may be the proxy's, is told with the way."""
    cert, key = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    async with (
        SignalServer(port=0, tls=serving) as secure,
        proxied(monkeypatch) as proxy,
        running(f"wss://{FAR}:{secure.port}") as ours,
    ):
        await until(lambda: ours.client.state == "refused")
        assert "its certificate is not trusted" in ours.client.reason
        assert f"through the proxy {proxy.url}" in ours.client.reason


@pytest.mark.parametrize(
    "host",
    ["10.1.2.3", "172.16.0.1", "192.168.1.7", "100.64.0.9", "100.127.1.2", "127.0.0.1", "169.254.3.4",
     "[::1]", "[fd00::2]", "[fe80::1%25eth0]", "localhost", "lab-pc", "lab-pc.local", "nas.lan",
     "pi.home.arpa"],
)  # fmt: skip
async def test_what_is_near_goes_without(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers on this machine, on private, shared and link-local networks, and of local names are never asked
    for at a proxy."""
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT", 0.2)
    async with proxied(monkeypatch) as proxy, running(f"ws://{host}:9") as ours:
        await until(lambda: ours.client.state in ("waiting", "refused"))
        assert not proxy.asked


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2001:4860:4860::8888]", "example.org", "100.63.0.1", "100.128.0.1"]
)
def test_what_is_far_does_not(host: str) -> None:
    """Public addresses and names go by the environment's proxy."""
    assert not is_near(f"ws://{host}:8089")


def test_a_proxy_is_shown_without_its_password() -> None:
    """Neither a whole URL nor half of one shows what is before the @."""
    assert shown("http://me:s@sesame@proxy:3128") == "http://proxy:3128"
    assert shown("me:sesame@proxy:3128") == "proxy:3128"
