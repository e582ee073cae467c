"""``python -m chronoflux.mesh check``, as a person runs it when it does not connect."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from chronoflux.mesh import negotiation
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.old_client import old_client
from tests.support import until


async def check(*arguments: str) -> tuple[int, str, str]:
    """The command, to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chronoflux.mesh", "check", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_it_says_who_is_there_and_how_each_is_reached(server: SignalServer, joined: Joiner) -> None:
    """With two nodes in the room it names both, direct, with code 0; the nodes' coupling and counts see
    nothing of it, and it is gone afterwards."""
    nodes = [await joined(server=server.url) for _ in range(2)]
    await until(lambda: all(list(node.peers["via"]) == ["direct"] for node in nodes))
    code, out, err = await check("room1", "--server", server.url)
    assert (code, "n1" in out, "n2" in out, out.count("direct")) == (0, True, True, 4), out + err
    assert "2 in room1: 2 direct" in out
    await until(lambda: all(len(node.peers) == 1 for node in nodes))
    for node in nodes:
        frame = node.telemetry()
        assert frame[frame["type"] == "telemetry"]["peers"].max() == 1
        told = [data for data in frame[frame["type"] == "peer"]["data"] if "probe" in data["name"]]
        assert {data["change"] for data in told} >= {"linked", "gone"}


async def test_whoever_cannot_link_is_reached_by_relay_or_told_of(server: SignalServer) -> None:
    """An old client that never answers an offer is told of as reached through the server; a node of ours that
    does not answer at all is not reached: code 1, one line that names it."""
    async with old_client(server.url) as old, old_client(server.url) as dead:
        await old.join(nodeId="runner")
        metadata = {"nodeId": "deaf", "kind": "headless"}
        await dead.send(type="join-room", room="room1", metadata=metadata, secret="0f" * 16)
        code, out, err = await check("room1", "--server", server.url, "--seconds", "2")
    assert code == 1
    assert err.splitlines()[-1] == "chronoflux: not reached: deaf; the table gives the reasons"
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "server" in rows["runner"]
    assert "no link yet" in rows["deaf"]


async def test_who_is_full_says_so_at_once(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the other side has as many links as it makes, that is the reason given, long before an attempt is
    given up; the relay carries meanwhile, so code 0 in the end."""
    monkeypatch.setattr(negotiation, "MAX_LINKS", 1)
    nodes = [await joined(server=server.url) for _ in range(2)]
    await until(lambda: all(list(node.peers["via"]) == ["direct"] for node in nodes))
    code, out, err = await check("room1", "--server", server.url, "--seconds", "5")
    assert (code, out.count("refused by the peer: it has 1 links already")) == (0, 2), out + err
    assert "2 relay" in out


async def test_nobody_there_is_what_it_says(server: SignalServer) -> None:
    """Alone, it says so and what may be wrong, in one line with code 1: nothing was found to work."""
    code, out, err = await check("room7", "--server", server.url)
    assert (code, out) == (1, "")
    assert "nobody else in room7" in err.splitlines()[-1]


@pytest.mark.parametrize("wrong", ["token", "server"])
async def test_what_keeps_it_out_is_one_line(tmp_path: Path, unused_tcp_port: int, wrong: str) -> None:
    """A wrong token, or no server, is one line that says what to do, with code 1."""
    (tmp_path / "token").write_text("wrong\n")
    async with SignalServer(port=0, token="right") as server:
        url = server.url if wrong == "token" else f"ws://127.0.0.1:{unused_tcp_port}"
        code, out, err = await check("room1", "--server", url, "--token-file", str(tmp_path / "token"))
    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert ("token" if wrong == "token" else "nothing listens there") in line
    assert "again" not in line


@pytest.mark.slow
async def test_wrong_use_is_code_2() -> None:
    """A URL or room that cannot be used is refused in one line with code 2."""
    for arguments in (["room1", "--server", "http://x"], ["  ", "--server", "ws://x:1"], ["--sekunden", "1"]):
        code, _, err = await check(*arguments)
        assert (code, len(err.splitlines())) == (2, 1), err
