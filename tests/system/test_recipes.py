"""The documented recipes, as they stand there: proxies, TURN server and systemd unit are really run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from chronoflux.mesh.ice import Ice
from chronoflux.mesh.spectator import Spectator, visit
from tests import processes
from tests.certificates import self_signed
from tests.conftest import need
from tests.docs.pages import recipe
from tests.network import own_address
from tests.old_client import old_client
from tests.processes import free_port
from tests.support import until

NAME = "signal.example.org"
PROXIES = ["caddy", "nginx"]


def replaced(text: str, **changes: str) -> str:
    """A text with each of some words replaced, all of which must be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def options(text: str) -> list[str]:
    """The arguments of the one ``chronoflux signal`` line of a block."""
    arguments = shlex.split(text)
    assert arguments[:2] == ["chronoflux", "signal"]
    return arguments[2:]


class Proxy:
    """A proxy's configuration as documented, moved to free ports, with a certificate made on the spot."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.port, self.behind = free_port(), free_port()
        self.cert, key = self_signed(folder, NAME)
        self.file = folder / kind
        self.environment = os.environ | {
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        if kind == "caddy":
            site = replaced(
                recipe("reverse_proxy"),
                **{f"{NAME} {{": f"{NAME}:{self.port} {{\n\tbind 127.0.0.1\n\ttls {self.cert} {key}"},
                **{"8089": str(self.behind)},
            )
            self.file.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
            self.check = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(self.file)]
            self.run = ["caddy", "run", "--adapter", "caddyfile", "--config", str(self.file)]
            return
        live = f"/etc/letsencrypt/live/{NAME}"
        site = replaced(
            recipe("proxy_pass"),
            **{"listen 443": f"listen 127.0.0.1:{self.port}", "8089": str(self.behind)},
            **{f"{live}/fullchain.pem": str(self.cert), f"{live}/privkey.pem": str(key)},
        )
        user = "user root;" if os.geteuid() == 0 else ""
        paths = "".join(
            f"{kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.file.write_text(
            f"{user}\ndaemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}{site}}}\n"
        )
        self.run = ["nginx", "-e", "stderr", "-c", str(self.file)]
        self.check = [*self.run, "-t"]


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_takes_its_recipe(kind: str, tmp_path: Path) -> None:
    """The recipe is a configuration that the proxy itself finds right."""
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    proxy = Proxy(kind, tmp_path)
    done = subprocess.run(proxy.check, capture_output=True, text=True, timeout=60, env=proxy.environment)
    assert done.returncode == 0, done.stderr


@contextlib.asynccontextmanager
async def running(*command: str, **more: Any) -> AsyncIterator[None]:
    """A command, until the end of the block."""
    process = await asyncio.create_subprocess_exec(*command, **more)
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(port: int, address: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@pytest.fixture
async def proxied(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Proxy]:
    """A proxy and the server behind it, both started as documented; the public name leads to it."""
    kind = request.param
    need(shutil.which(kind), kind)
    proxy = Proxy(kind, tmp_path)
    (tmp_path / "secret.txt").write_text("sesame\n")
    line = replaced(recipe("--trusted-proxy"), **{"secret.txt": str(tmp_path / "secret.txt")})
    lead_home(monkeypatch)
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.cert))
    async with (
        processes.signaling(proxy.behind, *options(line), "--max-per-address", "2"),
        running(*proxy.run, env=proxy.environment),
    ):
        await until(lambda: answers(proxy.port), 30, f"{kind} listens")
        yield proxy


def lead_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the recipes lead to this machine, and no proxy of the environment stands before it."""
    import socket

    real = socket.getaddrinfo

    def home(host: Any, *more: Any, **named: Any) -> Any:
        ours = isinstance(host, str) and host.endswith(".example.org")
        return real("127.0.0.1" if ours else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", home)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
@pytest.mark.parametrize("proxied", PROXIES, indirect=True)
async def test_two_nodes_link_through_a_proxy(proxied: Proxy) -> None:
    """Two nodes meet at the public name with TLS and link; the proxy's word on who comes from where counts;
    pages of the public name are let in, those of others are not."""
    url = f"wss://{NAME}:{proxied.port}"
    async with Guests(url, token="sesame") as guests:
        await until(lambda: guests.ways() == ["direct", "direct"], 60, "linked")
        trusting: dict[str, Any] = {
            "ssl": ssl.create_default_context(cafile=str(proxied.cert)),
            "proxy": None,
        }
        async with old_client(url, **trusting) as third:
            await until(lambda: third.of("error"))
            assert third.of("error")[0]["code"] == "address-full"
        elsewhere = trusting | {"local_addr": ("127.0.0.2", 0)}
        async with old_client(url, **elsewhere, origin=f"https://{NAME}:{proxied.port}") as page:
            await until(lambda: page.of("welcome"))
        with pytest.raises(InvalidStatus) as caught:
            async with old_client(url, **elsewhere, origin="https://evil.example"):
                pass
        assert caught.value.response.status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("proxied", PROXIES, indirect=True)
async def test_a_proxy_shows_health_and_no_metrics(proxied: Proxy) -> None:
    """Through the proxy anybody may ask for the server's health, and nobody for its metrics."""
    assert [await status(proxied, path) for path in ("/healthz", "/metrics", "/metrics?x")] == [200, 404, 404]


class Guests:
    """Nodes without a swarm in room1, so that nothing has to be computed: they meet and link like others."""

    def __init__(self, url: str, **options: Any) -> None:
        self.rooms = [visit("room1", url, Spectator(name, "headless"), **options) for name in ("one", "two")]

    async def __aenter__(self) -> Guests:
        self._tasks = [asyncio.create_task(room.run()) for room in self.rooms]
        self._tasks.append(asyncio.create_task(self._speak()))
        return self

    async def __aexit__(self, *ended: object) -> None:
        await asyncio.gather(*(room.leave("done") for room in self.rooms))
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _speak(self) -> None:
        while True:
            for room in self.rooms:
                room.mesh.keep_alive()
            await asyncio.sleep(0.5)

    def ways(self) -> list[str]:
        """How each reaches the others."""
        now = time.monotonic()
        return [peer.via(now) for room in self.rooms for peer in room.mesh.peers.values()]


async def status(proxy: Proxy, path: str) -> int:
    """The status of a GET by the public name."""
    trusting = ssl.create_default_context(cafile=str(proxy.cert))
    given = {"ssl": trusting, "server_hostname": NAME}
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, **given)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {NAME}:{proxy.port}\r\nConnection: close\r\n\r\n".encode())
    head = await reader.readline()
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    return int(head.split()[1])


@pytest.mark.slow
async def test_a_pair_links_by_the_turn_server_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With coturn and the server's options as documented, two nodes that show no address of
    theirs link, and each says that the other is reached by TURN."""
    need(shutil.which("turnserver"), "turnserver (Debian: coturn)")
    port, turn_port = free_port(), free_port()
    lead_home(monkeypatch)
    address = own_address()
    here = f"listening-ip={address}\nrelay-ip={address}\nlistening-port={turn_port}\n"
    file = tmp_path / "turnserver.conf"
    file.write_text(replaced(recipe("use-auth-secret"), SECRET="north") + here)
    (tmp_path / "turn-secret.txt").write_text("north\n")
    (tmp_path / "secret.txt").write_text("sesame\n")
    line = replaced(recipe("--turn-secret-file"), **{"turn.example.org:3478": f"{address}:{turn_port}"})
    given = [str(tmp_path / word) if word.endswith(".txt") else word for word in options(line)]
    quiet = ["--log-file=stdout", f"--pidfile={tmp_path / 'pid'}"]
    async with (
        running("turnserver", "-c", str(file), *quiet, stdout=asyncio.subprocess.DEVNULL, cwd=tmp_path),
        processes.signaling(port, *given),
    ):
        await until(lambda: answers(turn_port, address), 30, "coturn listens")
        url = f"ws://127.0.0.1:{port}"
        async with Guests(url, token="sesame", ice=Ice(relay_only=True)) as guests:
            await until(lambda: guests.ways() == ["turn", "turn"], 60, "linked by TURN")


def test_systemd_takes_its_unit(tmp_path: Path) -> None:
    """The documented unit is one that systemd finds right, and its command one that we take."""
    unit = replaced(
        recipe("[Unit]"),
        **{"/opt/chronoflux/.venv/bin/chronoflux": str(Path(sys.executable).with_name("chronoflux"))},
    )
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    line = shlex.split(replaced(command, **{"%H": "host", "/var/lib/chronoflux": str(tmp_path / "logs")}))
    done = subprocess.run([*line, "--dry-run"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: its command was run, the unit was not checked")
    (tmp_path / "chronoflux.service").write_text(unit)
    verify = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "chronoflux.service")]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60)
    said = [line for line in done.stderr.splitlines() if "chronoflux" in line]
    assert (done.returncode, said) == (0, []), done.stderr
