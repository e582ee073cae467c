"""A link is one WebRTC data channel: made, used, broken, refused. Two real ones in one process."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from chronoflux.mesh import link as link_module
from chronoflux.mesh import sctp_limits
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.link import Link
from tests.support import until

Payload = dict[str, Any]


class End:
    """One end of a pair: its link and what happened to it."""

    def __init__(self, dials: bool, deliver: Callable[[Payload], None]) -> None:
        self.got: list[str | bytes] = []
        self.closed = 0
        self.opened = 0
        self.link = Link(
            dials=dials,
            send_signal=deliver,
            on_open=lambda link: self._count("opened"),
            on_message=lambda link, data: self.got.append(data),
            on_closed=lambda link: self._count("closed"),
        )

    def _count(self, name: str) -> None:
        setattr(self, name, getattr(self, name) + 1)


@asynccontextmanager
async def pair(
    to_answerer: Callable[[Payload], list[Payload]] = lambda payload: [payload],
) -> AsyncIterator[tuple[End, End]]:
    """A dialler and an answerer whose signals reach each other; `to_answerer` may change the dialler's."""

    def deliver(payload: Payload) -> None:
        for changed in to_answerer(payload):
            answerer.link.feed(changed)

    dialler = End(True, deliver)
    answerer = End(False, lambda payload: dialler.link.feed(payload))
    dialler.link.start()
    answerer.link.start()
    try:
        yield dialler, answerer
    finally:
        await asyncio.gather(dialler.link.close(), answerer.link.close())
        left = [task.get_name() for task in asyncio.all_tasks() if "link" in task.get_name()]
        assert not left


async def opened(*ends: End) -> None:
    await until(lambda: all(end.link.state == "open" for end in ends), what="links open")


async def test_two_ends_open_and_talk_both_ways_in_order() -> None:
    """A pair opens once on both sides and delivers every message in order, text and bytes."""
    async with pair() as (a, b):
        await opened(a, b)
        words = [f"message {i}" for i in range(200)]
        assert all(a.link.send(word) for word in words)
        b.link.send("back")
        await until(lambda: len(b.got) == 200 and a.got == ["back"])
        assert b.got == words
        assert (a.opened, b.opened) == (1, 1)


async def test_closing_one_end_ends_the_other() -> None:
    """When one side closes, the other learns it soon, with a reason, and each is told once."""
    async with pair() as (a, b):
        await opened(a, b)
        await a.link.close("enough")
        await until(lambda: b.closed)
        assert a.link.reason == "enough"
        assert b.link.reason
        assert not a.link.send("too late")
    assert (a.closed, b.closed) == (1, 1)


async def test_candidates_may_come_one_by_one() -> None:
    """An offer without candidates, followed by them as simple-peer sends them, connects."""

    def trickle(payload: Payload) -> list[Payload]:
        found = re.findall(r"a=(candidate:.*)\r\n", payload["sdp"])
        bare = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", payload["sdp"])
        one_by_one = [
            {"type": "candidate", "candidate": {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0}}
            for text in [*found, ""]
        ]
        return [{"type": "offer", "sdp": bare}, *one_by_one]

    async with pair(trickle) as (a, b):
        await opened(a, b)


async def test_a_handler_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a message handler is logged; the link goes on."""
    async with pair() as (a, b):

        def angry(link: Link, data: str | bytes) -> None:
            b.got.append(data)
            raise ValueError("not today")

        b.link._on_message = angry
        await opened(a, b)
        a.link.send("one")
        a.link.send("two")
        await until(lambda: b.got == ["one", "two"])
        assert "a handler failed" in caplog.text
        assert b.link.state == "open"


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "offer", "sdp": "rubbish"},
        {"type": "offer"},
        {"type": "offer", "sdp": 5},
        {"type": "candidate", "candidate": {"candidate": "candidate:1 2 3"}},
        {"type": "offer", "sdp": "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"},
    ],
)
async def test_a_bad_signal_ends_the_link_with_a_reason(payload: Payload) -> None:
    """A description or candidate that makes no sense ends this link, with a reason, and nothing else."""
    end = End(False, lambda payload: None)
    end.link.start()
    end.link.feed(payload)
    await until(lambda: end.closed)
    assert end.link.reason
    await end.link.close()


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that nobody answers gives up at its deadline and says why."""
    monkeypatch.setattr(link_module, "CONNECT_DEADLINE", 0.5)
    async with pair(lambda payload: []) as (a, _):
        await until(lambda: a.closed)
        assert "timed out" in a.link.reason
        assert "did not answer" in a.link.reason


async def test_a_message_over_the_limit_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a message over the limit is cut off."""
    monkeypatch.setattr(sctp_limits, "MAX_MESSAGE", 1000)
    async with pair() as (a, b):
        await opened(a, b)
        a.link.send("x" * 1001)
        await until(lambda: b.closed)
        assert "1000 are allowed" in b.link.reason
        assert b.got == []


async def test_the_second_channel_opens_when_asked_and_takes_what_is_perishable() -> None:
    """Only after `open_rt`, by the dialler, is there a channel without retransmission; perishable messages
    take it both ways, others keep their order on the first, and neither is heard twice."""
    async with pair() as (a, b):
        await opened(a, b)
        a.link.send("first")
        await until(lambda: b.got == ["first"])
        b.link.open_rt()  # the answerer's word opens nothing
        assert a.link._rt is b.link._rt is None
        assert a.link.send("before", perishable=True)
        a.link.open_rt()
        await until(lambda: b.link._rt is not None and b.link._rt.readyState == "open")
        rt = b.link._rt
        assert rt is not None
        assert (rt.label, rt.ordered, rt.maxRetransmits) == ("chronoflux-rt", False, 0)
        await until(lambda: a.link._rt is not None and a.link._rt.readyState == "open")
        sent = [f"{i}" for i in range(20)]
        for word in sent:
            assert a.link.send(word, perishable=True)
            assert b.link.send(word, perishable=True)
        a.link.send("last")
        await until(lambda: len(b.got) == 23 and len(a.got) == 20)
        assert sorted(a.got) == sorted(sent)  # type: ignore[type-var]
        assert sorted(b.got) == sorted(["first", "before", "last", *sent])  # type: ignore[type-var]


async def test_perishable_messages_are_paced_and_dropped_not_queued() -> None:
    """A flood of perishable messages is cut to the pace and to what may wait; what was dropped is counted,
    and what is reliable goes on."""
    async with pair() as (a, b):
        await opened(a, b)
        a.link.open_rt()
        await until(lambda: a.link._rt is not None and a.link._rt.readyState == "open")
        taken = sum(a.link.send("x" * 100, perishable=True) for _ in range(1000))
        assert 0 < taken <= link_module.PERISHABLE_HIGH_WATER / 100 + 1
        assert a.link.dropped == 1000 - taken
        assert a.link.send("an event")
        await until(lambda: "an event" in b.got)
        assert len(b.got) <= taken + 1  # a perishable one may be lost on its way
        rate, burst = link_module.RT_PACE
        taken, begun = 0, time.monotonic()
        for _ in range(200):  # never much in the channel, but without end
            taken += a.link.send("y", perishable=True)
            await asyncio.sleep(0)
        assert taken <= rate * (burst + time.monotonic() - begun)


@pytest.mark.parametrize("rt", [True, False])
async def test_events_wait_for_little_on_a_slow_link(rt: bool) -> None:
    """While nothing gets through, a minute of fields and telemetry leaves at most a few KiB in front of an
    event, with or without the second channel."""
    async with pair() as (a, b):
        await opened(a, b)
        if rt:
            a.link.open_rt()
            await until(lambda: a.link._rt is not None and a.link._rt.readyState == "open")
        sctp = a.link._connection.sctp  # type: ignore[union-attr]
        flush, sctp._data_channel_flush = sctp._data_channel_flush, lambda: asyncio.sleep(0)  # type: ignore
        field, record = "f" * 130, "t" * 700
        for _ in range(60):
            for _ in range(10):
                a.link.send(field, perishable=True)
            a.link.send(record, droppable=True)
        channels = [channel for channel in (a.link._channel, a.link._rt) if channel is not None]
        waiting = sum(channel.bufferedAmount for channel in channels)
        assert waiting <= link_module.HIGH_WATER + link_module.PERISHABLE_HIGH_WATER + 130 + 700
        assert a.link.send("an event")
        assert a.link.dropped >= 600
        sctp._data_channel_flush = flush
        await flush()
        await until(lambda: "an event" in b.got)


async def test_a_peer_that_takes_nothing_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a peer stops reading, what may be dropped is dropped, and at last the link is ended."""
    monkeypatch.setattr(link_module, "MAX_BUFFERED", 200_000)
    async with pair() as (a, b):
        await opened(a, b)
        b.link._connection.sctp._handle_data = lambda data: asyncio.sleep(0)  # type: ignore[union-attr, method-assign, assignment]
        while a.link.state == "open":
            a.link.send("x" * 10_000)
            if a.link._channel.bufferedAmount > link_module.HIGH_WATER:  # type: ignore[union-attr]
                assert not a.link.send("news of the second", droppable=True)
        assert "does not read" in a.link.reason
        assert a.link.dropped


async def test_without_an_address_a_link_says_so_at_once() -> None:
    """Where no candidate can be had a link ends at once instead of at its deadline, and names the cause."""
    end = End(True, lambda payload: None)
    end.link._ice = Ice(relay_only=True)
    end.link.start()
    await until(lambda: end.closed, timeout=5)
    assert end.link.reason.startswith("no candidates: only a TURN server")


async def test_who_is_not_who_was_signalled_is_refused() -> None:
    """A peer whose certificate is not the one in its description is refused, and the reason says so."""

    def forged(payload: Payload) -> list[Payload]:
        return [payload | {"sdp": re.sub(r"(fingerprint:\S+ )\S\S:\S\S", r"\g<1>00:00", payload["sdp"])}]

    async with pair(forged) as (_, b):
        await until(lambda: b.closed)
        assert b.link.reason.startswith("refused: the peer is not the one that was signalled")


async def test_no_route_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no packet finds its way between the two, the link ends at its deadline and says so."""
    monkeypatch.setattr(link_module, "CONNECT_DEADLINE", 1.0)

    def nowhere(payload: Payload) -> list[Payload]:
        elsewhere = r"\g<1>192.0.2.1 9 typ"  # an address for documentation: nobody answers there
        sdp = re.sub(r"(a=candidate:\S+ 1 udp \d+ )\S+ \d+ typ", elsewhere, payload["sdp"])
        return [payload | {"sdp": sdp}]

    def one_way(payload: Payload) -> None:
        dialler.link.feed(nowhere(payload)[0])

    dialler = End(True, lambda payload: answerer.link.feed(nowhere(payload)[0]))
    answerer = End(False, one_way)
    for end in (dialler, answerer):
        end.link.start()
    await until(lambda: dialler.closed and answerer.closed)
    for end in (dialler, answerer):
        assert end.link.reason.startswith("timed out")
        assert "no route between the addresses" in end.link.reason


@pytest.mark.parametrize("limit", ["FLOOD_MESSAGES", "FLOOD_BYTES"])
async def test_a_flood_ends_the_link(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends more messages or bytes than are read costs its link, not the node's time."""
    monkeypatch.setattr(link_module, limit, (100.0, 1.0))
    async with pair() as (a, b):
        await opened(a, b)
        for _ in range(100):
            a.link.send("x" * 100)
            a.link.send("y")
        await until(lambda: b.closed)
        assert "a second" in b.link.reason
        assert len(b.got) < 200


async def test_however_early_a_link_ends_no_socket_stays_open() -> None:
    """A link that is closed so many turns of the loop after its start, also amidst gathering its addresses,
    leaves no socket behind."""

    def sockets() -> int:
        return len(psutil.Process().net_connections(kind="udp"))

    async with pair() as (a, b):
        await opened(a, b)  # imports, and aiortc's certificate
    before, most = sockets(), 0
    for turns in range(30):
        end = End(True, lambda payload: None)
        end.link.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        most = max(most, sockets() - before)
        await end.link.close()
        assert sockets() == before, f"closed after {turns} turns"
    assert most > 0
