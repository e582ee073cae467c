"""Which STUN and TURN servers are used, and with a real TURN server what becomes of the links."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import chronoflux as cf
from chronoflux.errors import UsageError
from chronoflux.headless.__main__ import main
from chronoflux.mesh.ice import Ice
from chronoflux.signal.server import SignalServer
from chronoflux.signal.turn import Turn
from tests.conftest import Joiner
from tests.network import coturn
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)
SECRET = "a secret of the tests"


async def by_turn(*nodes: cf.Node) -> None:
    """Wait until every node says that it reaches the other by TURN."""
    await until(lambda: all(set(node.peers["via"]) == {"turn"} for node in nodes), 40)


def pairs(node: cf.Node) -> set[str]:
    """The kinds of the local candidates that a node's links use."""
    kinds = set()
    for peer in session_of(node).mesh.peers.values():
        connection = peer.link._connection  # type: ignore[union-attr]
        ice = connection.sctp.transport.transport._connection  # type: ignore[union-attr]
        kinds |= {pair.local_candidate.type for pair in ice._nominated.values()}
    return kinds


@pytest.mark.slow
async def test_relay_only_links_through_turn_alone(joined: Joiner, tmp_path: Path) -> None:
    """With the policy "relay" and the server's credentials two nodes link, and only by TURN."""
    async with coturn(SECRET, tmp_path) as url, SignalServer(port=0, turn=Turn([url], SECRET)) as server:
        nodes = [
            await joined(server=server.url, params=QUICK, ice_transport_policy="relay") for _ in range(2)
        ]
        await by_turn(*nodes)
        assert pairs(nodes[0]) == pairs(nodes[1]) == {"relay"}


@pytest.mark.slow
async def test_expired_credentials_are_named_and_renewed(joined: Joiner, tmp_path: Path) -> None:
    """Credentials that coturn refuses leave no link, and the table says that it is they; when the signaling
    server has sent fresh ones, the pair links."""
    behind = [1000.0]
    async with coturn(SECRET, tmp_path) as url:
        turn = Turn([url], SECRET, lifetime=6.0, clock=lambda: time.time() - behind[0])
        async with SignalServer(port=0, turn=turn) as server:
            a, b = [
                await joined(server=server.url, params=QUICK, ice_transport_policy="relay") for _ in range(2)
            ]
            await until(lambda: "credentials are wrong or expired" in " ".join(b.peers["reason"]))
            assert set(b.peers["via"]) <= {"", "relay"}
            behind[0] = 0.0
            await by_turn(a, b)
            assert pairs(a) == pairs(b) == {"relay"}


async def test_relay_only_without_turn_says_so_and_uses_the_server(
    server: SignalServer, joined: Joiner
) -> None:
    """With the policy "relay" and no TURN server there is no link, `peers` says why, and events go on."""
    a = await joined(server=server.url, params=QUICK)
    b = await joined(server=server.url, params=QUICK, ice_transport_policy="relay")
    await until(lambda: "TURN" in " ".join(b.peers["reason"]) and set(b.peers["via"]) == {"relay"})
    a.intent()
    await until(lambda: b.received == 1)


def test_headless_takes_ice_options(tmp_path: Path) -> None:
    """A headless node takes its ICE servers from a file, and refuses a broken one in one line."""
    file = tmp_path / "ice.json"
    options = ["room1", "20", "x", "--offline", "--duration", "1", "--log-dir", f"{tmp_path}"]
    options += ["--ice-transport-policy", "relay", "--ice-servers", f"{file}"]
    for text, word in (("{", "JSON"), ("{}", "list"), ('[{"url": "stun:x"}]', "urls")):
        file.write_text(text)
        refused = CliRunner().invoke(main, options)
        assert refused.exit_code == 2
        assert word in refused.stderr
        assert refused.stderr.count("\n") == 1
    file.write_text(json.dumps([{"urls": "turn:127.0.0.1:9", "username": "u", "credential": "c"}]))
    assert CliRunner().invoke(main, options).exit_code == 0


def test_servers_of_the_user_stand() -> None:
    """The signaling server's word on ICE servers counts only where the user said nothing."""
    news = [{"urls": "stun:b"}]
    assert Ice.from_options(None, "all").with_servers(news).servers == tuple(news)
    assert Ice.from_options([{"urls": "stun:a"}], "relay").with_servers(news) == Ice(
        ({"urls": "stun:a"},), True, True
    )
    assert Ice.from_options([], "all").with_servers(news).servers == ()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["urls", "x"]), inner),
    )
)
def test_other_servers_are_refused_in_a_line_without_their_values(given: Any) -> None:
    """Whatever else is given as ICE servers is refused by name, without showing a credential."""
    if given is None or given == []:
        return
    with pytest.raises(UsageError) as refused:
        Ice.from_options([{"urls": "turn:x", "credential": "sesame", "more": given}], "all")
    assert "sesame" not in str(refused.value)
    with pytest.raises(UsageError):
        Ice.from_options(given, "all")
    with pytest.raises(UsageError, match="policy"):
        Ice.from_options(None, given)
