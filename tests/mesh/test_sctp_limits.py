"""What hostile peers leave unfinished is bounded: real ones, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys

import psutil
import pytest
from aiortc.rtcsctptransport import SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG, DataChunk
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.mesh import sctp_limits
from chronoflux.mesh.link import Link
from tests.support import until

GROWTH = 16 * 2**20  # bytes of memory that an attack may cost

REASONS = {
    "huge": f"{sctp_limits.MAX_MESSAGE} are allowed",
    "endless": f"{sctp_limits.MAX_MESSAGE} are allowed",
    "fragments": f"more than {sctp_limits.MAX_CHUNKS} fragments",
    "wide": "bytes without finishing",
    "gaps": f"more than {sctp_limits.MAX_CHUNKS} fragments",
    "streams": f"more than {sctp_limits.MAX_STREAMS} channels",
    "channels": f"more than {sctp_limits.MAX_STREAMS} channels",
    "forward": f"more than {sctp_limits.MAX_STREAMS} channels",
    "rubbish": "invalid packet",
}


SLOW = ("endless", "fragments", "gaps", "channels")


@pytest.mark.parametrize(
    "attack", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in REASONS]
)
async def test_a_hostile_peer_is_cut_off_while_it_sends(attack: str) -> None:
    """A message or fragments without end, too many channels, rubbish: the link ends with a reason that says
    so, nothing of it is handed on, and memory stays as it was."""
    hostile = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile_peer", attack),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert hostile.stdin is not None
    assert hostile.stdout is not None
    offers: list[dict[str, str]] = []
    got: list[str | bytes] = []
    link = Link(
        dials=True,
        send_signal=offers.append,
        on_open=lambda link: None,
        on_message=lambda link, data: got.append(data),
        on_closed=lambda link: None,
    )
    link.start()
    try:
        await until(lambda: offers)
        hostile.stdin.write(json.dumps(offers[0]).encode() + b"\n")
        async with asyncio.timeout(30):
            link.feed(json.loads(await hostile.stdout.readline()))
        memory = psutil.Process().memory_info
        before, most = memory().rss, 0
        async with asyncio.timeout(30):
            while link.state != "closed":
                most = max(most, memory().rss)
                await asyncio.sleep(0.01)
        assert REASONS[attack] in link.reason
        assert most - before < GROWTH
        assert sum(map(len, got)) <= sctp_limits.MAX_CHUNKS
    finally:
        await link.close()
        hostile.kill()
        await hostile.communicate()


FIRST, LAST = SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.data())
def test_the_length_of_a_message_is_counted_over_its_own_fragments(
    messages: list[int], start: int, data: st.DataObject
) -> None:
    """Wherever a message begins among the others, and whichever fragment comes last, its length is the
    bytes of its own unbroken fragments."""
    chunks: list[DataChunk] = []
    owners: list[int] = []
    for owner, count in enumerate(messages):
        for i in range(count):
            made = DataChunk((FIRST if i == 0 else 0) | (LAST if i == count - 1 else 0))
            made.tsn, made.user_data = (start + len(chunks)) % 2**32, b"x" * data.draw(st.integers(1, 9))
            chunks.append(made)
            owners.append(owner)
    index = data.draw(st.integers(0, len(chunks) - 1))
    others = [chunk for chunk in chunks if chunk is not chunks[index]]
    own = [chunk for chunk, owner in zip(chunks, owners, strict=True) if owner == owners[index]]
    assert sctp_limits._length(others, chunks[index]) == sum(len(chunk.user_data) for chunk in own)
