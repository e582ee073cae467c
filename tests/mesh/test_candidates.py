"""Which addresses are told and tried: few, the best, and none that is no single machine's."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aioice
import ifaddr
import pytest
from aioice.ice import StunProtocol

from chronoflux.mesh import candidates
from chronoflux.mesh import link as link_module
from chronoflux.mesh.candidates import MAX_SENT, MAX_TRIED, CandidateLimit
from chronoflux.signal import addresses
from tests.mesh.test_link import End
from tests.support import until

HEAD = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"


def line(address: str, port: int, kind: str = "host", protocol: str = "udp") -> str:
    """A candidate's line in a description."""
    return f"a=candidate:1 1 {protocol} 2130706431 {address} {port} typ {kind}\r\n"


@contextmanager
def third_parties(count: int) -> Iterator[list[socket.socket]]:
    """UDP sockets on an address of this machine, which keep what they get."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        address = next(address for address in addresses.best() if ":" not in address)
        for each in sockets:
            each.bind((address, 0))
            each.setblocking(False)
        yield sockets
    finally:
        for each in sockets:
            each.close()


def packets(sockets: Sequence[socket.socket]) -> Counter[int]:
    """Packets that each got, by its port."""
    got: Counter[int] = Counter()
    for each in sockets:
        while True:
            try:
                each.recv(2048)
            except BlockingIOError:
                break
            got[each.getsockname()[1]] += 1
    return got


@pytest.mark.parametrize("one_by_one", [False, True], ids=["in the offer", "one by one"])
async def test_an_offer_with_64_foreign_candidates(
    one_by_one: bool, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    """Of 64 candidates of an offer that are other machines' a node tries no more than its allowance, each a
    few times, and the rest gets nothing."""
    monkeypatch.setattr(link_module, "CONNECT_DEADLINE", 6.0)
    offers: list[str] = []
    asking = End(True, lambda payload: offers.append(payload["sdp"]))
    asking.link.start()
    await until(lambda: offers)
    await asking.link.close()
    with third_parties(64) as sockets:
        foreign = [line(*each.getsockname()) for each in sockets]
        bare = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offers[0])
        end = End(False, lambda payload: None)
        end.link.start()
        end.link.feed({"type": "offer", "sdp": bare if one_by_one else bare + "".join(foreign)})
        for text in foreign if one_by_one else ():
            candidate = {"candidate": text[2:].strip(), "sdpMid": "0", "sdpMLineIndex": 0}
            end.link.feed({"type": "candidate", "candidate": candidate})
            await asyncio.sleep(0)
        await until(lambda: end.closed)
        await end.link.close()
        got = packets(sockets)
    record_property("UDP packets to third parties in 6 s", got.total())
    assert 0 < len(got) <= MAX_TRIED["host"]
    # in 6 s a check is sent five times at most: at 0, 0.5, 1.5 and 3.5 s, and once if answered otherwise
    assert got.total() <= MAX_TRIED["host"] * candidates.FROM_EACH * 5


def test_how_many_are_told_and_tried() -> None:
    """At most 32 are told and 16 tried; no type crowds out another; what comes first is taken."""
    sdp = HEAD + "".join(
        line(f"10.0.0.{n}", n, kind) for kind in ("host", "srflx", "relay") for n in range(1, 65)
    )
    assert (sum(MAX_SENT.values()), sum(MAX_TRIED.values())) == (32, 16)
    for most in (MAX_SENT, MAX_TRIED):
        kept = CandidateLimit(most).trim(sdp)
        assert kept.startswith(HEAD)
        assert Counter(re.findall(r"typ (\w+)", kept)) == most
        assert re.findall(r"10\.0\.0\.(\d+) .*host", kept) == [str(n) for n in range(1, most["host"] + 1)]
    allowance = CandidateLimit(MAX_TRIED)
    taken = [text for text in sdp.splitlines()[2:] if allowance.take(candidates.parse(text))]
    assert len(taken) == 16


@pytest.mark.parametrize(
    "text",
    [
        line("224.0.0.251", 5353),
        line("239.255.255.250", 1900),
        line("255.255.255.255", 9),
        line("240.0.0.1", 9),
        line("0.0.0.0", 9),
        line("0.1.2.3", 9),
        line("127.0.0.1", 8089),
        line("127.8.9.1", 8089),
        line("::", 9),
        line("::1", 9),
        line("ff02::1", 9),
        line("ff0e::1", 9),
        line("fe80::1", 9),
        line("::ffff:224.0.0.1", 9),
        line("::ffff:127.0.0.1", 9),
        line("10.0.0.1", 0),
        line("10.0.0.1", 65536),
        line("10.0.0.1", -1),
        line("10.0.0.1", 9, protocol="tcp"),
        line("10.0.0.1", 9, "prflx"),
        line("10.0.0.1", 9, "rubbish"),
        line("example.org", 9),
        line("10.1", 9),
    ],
)
def test_what_is_never_tried(text: str) -> None:
    """Multicast, broadcast, unspecified, loopback and link-local addresses, port 0, names and other
    protocols are left out of a description, and are not counted."""
    good = line("10.0.0.1", 9)
    allowance = CandidateLimit({"host": 1})
    assert allowance.trim(HEAD + text + good + text) == HEAD + good
    with pytest.raises(ValueError, match="few fields"):
        candidates.parse("candidate:1 2 3")


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "100.64.0.1", "169.254.1.1", "8.8.8.8", "2001:db8::1", "fd00::1"]
)
def test_what_is_tried(address: str) -> None:
    """Private, shared and public addresses, and a browser's names for its own, are tried."""
    for text in (line(address, 9), line("0f3a-b.local", 9), line(address, 9, "relay")):
        assert CandidateLimit(MAX_TRIED).trim(HEAD + text) == HEAD + text


def adapter(name: str, *ips: str) -> ifaddr.Adapter:
    """An interface as ifaddr tells of it."""
    return ifaddr.Adapter(
        name, name, [ifaddr.IP((ip, 0, 0) if ":" in ip else ip, 24, name) for ip in ips], index=1
    )


def test_the_best_addresses_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Addresses of the default routes come first, then real interfaces, then containers' bridges, and last
    what has no carrier; a second address of one waits for the first of the others."""
    bridges = [adapter(f"br-{n}", f"172.{n}.0.1", f"fd00:{n}::1", f"fd00:{n}::2") for n in range(17, 37)]
    odd = adapter("lab0", "10.5.0.1")
    for name, carrier in (("eth0", "1"), ("wlan0", "1"), ("lab0", "1"), ("down0", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "carrier").write_text(carrier + "\n")
    (tmp_path / "lab0" / "bridge").mkdir()
    real = [
        adapter("lo", "127.0.0.1", "::1"),
        adapter("down0", "10.6.0.1"),
        odd,
        *bridges,
        adapter("wlan0", "10.3.0.9", "10.3.0.8", "fe80::1"),
        adapter("eth0", "10.2.0.7", "10.2.0.8", "2001:db8::8", "2001:db8::7"),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: real)
    monkeypatch.setattr(addresses, "SYSTEM", tmp_path)
    routes = {False: "10.2.0.8", True: "2001:db8::7"}
    monkeypatch.setattr(addresses, "lan_address", lambda ipv6=False: routes[ipv6])
    best = addresses.best()
    assert best[:6] == ["10.2.0.8", "2001:db8::7", "10.3.0.9", "10.3.0.8", "10.2.0.7", "2001:db8::8"]
    assert len(best) == addresses.MOST_ADDRESSES == MAX_SENT["host"]
    assert "172.17.0.1" in best
    assert "10.5.0.1" in best
    assert "10.6.0.1" not in best
    assert addresses.best(use_ipv4=False)[0] == "2001:db8::7"
    real[1:] = [adapter("down0", "10.6.0.1")]
    assert addresses.best() == ["10.6.0.1"]


async def test_each_is_tried_from_a_few_addresses() -> None:
    """Each candidate of a peer is tried from a TURN relay, an address in its own network, and the best,
    however many addresses there are; naming it again adds nothing."""

    def candidate(host: str, kind: str = "host") -> aioice.Candidate:
        return aioice.Candidate(
            foundation="1", component=1, transport="udp", priority=1, host=host, port=9, type=kind
        )

    connection = aioice.Connection(ice_controlling=True)
    ours = [candidate(f"10.{n}.0.1") for n in range(16)] + [
        candidate("fd00::1"),
        candidate("9.9.9.9", "relay"),
    ]
    for one in ours:
        protocol = StunProtocol(connection)
        protocol.local_candidate = one
        connection._protocols.append(protocol)
    candidates.limit_pairs(connection)
    for host in ("10.7.0.5", "8.8.8.8", "10.7.0.5", "fd00::2"):
        await connection.add_remote_candidate(candidate(host))
    tried: dict[str, list[str]] = {}
    for each in connection._check_list:
        tried.setdefault(each.remote_candidate.host, []).append(each.local_candidate.host)
    assert set(tried["10.7.0.5"]) == {"9.9.9.9", "10.7.0.1", *(f"10.{n}.0.1" for n in range(4))}
    assert set(tried["8.8.8.8"]) == {"9.9.9.9", *(f"10.{n}.0.1" for n in range(5))}
    assert tried["fd00::2"] == ["fd00::1"]
