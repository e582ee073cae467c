"""A WebRTC peer in a process of its own that answers an offer and then misbehaves.

``python -m tests.hostile_peer HOW``: the offer on stdin, the answer on stdout, each a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_DATA_UNORDERED,
    WEBRTC_STRING,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
)

WHOLE = SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG


def chunk(tsn: int, stream: int, flags: int, data: bytes) -> DataChunk:
    """A piece of a message, as no orderly sender would make it."""
    made = DataChunk(flags)
    made.tsn, made.stream_id, made.stream_seq, made.protocol = tsn % 2**32, stream, 0, WEBRTC_STRING
    made.user_data = data
    return made


async def huge(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """One message of 100 MB, in order, as fast as it is acknowledged."""
    transport._remote_max_message_size = 0
    channel.send(b"x" * 100_000_000)


async def endless(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """A message whose fragments never end, at twice the allowed length a second."""
    start = transport._local_tsn
    for i in range(100_000):
        flags = SCTP_DATA_FIRST_FRAG if i == 0 else 0
        await transport._send_chunk(chunk(start + i, channel.id or 0, flags, b"x" * 1000))
        if i % 50 == 0:
            await asyncio.sleep(0.1)


async def fragments(
    transport: RTCSctpTransport, channel: RTCDataChannel, count: int = 200_000, data: bytes = b"x"
) -> None:
    """Unordered messages of which only the first fragment ever comes."""
    start = transport._local_tsn
    for i in range(count):
        flags = SCTP_DATA_FIRST_FRAG | SCTP_DATA_UNORDERED
        await transport._send_chunk(chunk(start + 2 * i, channel.id or 0, flags, data))
        if i % 50 == 0:
            await asyncio.sleep(0.01)


async def wide(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """The same with full fragments."""
    await fragments(transport, channel, 100_000, b"x" * 1150)


async def gaps(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """Whole messages with every other number left out, so that nothing is ever settled."""
    start = transport._local_tsn
    for i in range(200_000):
        flags = WHOLE | SCTP_DATA_UNORDERED
        await transport._send_chunk(chunk(start + 2 * i + 1, channel.id or 0, flags, b"x"))
        if i % 50 == 0:
            await asyncio.sleep(0.01)


async def streams(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """A fragment on every stream there can be."""
    start = transport._local_tsn
    for i in range(65_000):
        await transport._send_chunk(chunk(start + i, i, SCTP_DATA_FIRST_FRAG, b"x"))
        if i % 50 == 0:
            await asyncio.sleep(0.01)


async def channels(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """Channel after channel, opened in order."""
    for i in range(1000):
        RTCDataChannel(transport, _parameters(f"channel {i}"))
        await asyncio.sleep(0.01)


async def forward(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """News of streams that were never used."""
    for start in range(0, 65_000, 250):
        news = ForwardTsnChunk()
        news.cumulative_tsn = (transport._local_tsn + start) % 2**32
        news.streams = [(stream, 1) for stream in range(start, start + 250)]
        await transport._send_chunk(news)
        await asyncio.sleep(0.01)


async def rubbish(transport: RTCSctpTransport, channel: RTCDataChannel) -> None:
    """A chunk too short for what it says it is, in a packet that is otherwise right."""
    short = ForwardTsnChunk()
    short.cumulative_tsn = transport._local_tsn
    short.streams = [(1, 1)]
    body = type(short).body.fget(short)  # type: ignore[attr-defined]
    cut = type("Cut", (ForwardTsnChunk,), {"body": body[:-1]})()
    await transport._send_chunk(cut)


def _parameters(label: str) -> Any:
    from aiortc.rtcdatachannel import RTCDataChannelParameters

    return RTCDataChannelParameters(label=label)


Attack = Callable[[RTCSctpTransport, RTCDataChannel], Coroutine[Any, Any, None]]
ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (huge, endless, fragments, wide, gaps, streams, channels, forward, rubbish)
}


async def main(attack: Attack) -> None:
    """Answer, attack, and stay until killed."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    begun: set[asyncio.Task[None]] = set()

    @connection.on("datachannel")
    def opened(channel: RTCDataChannel) -> None:
        if not begun and connection.sctp is not None:
            begun.add(asyncio.create_task(attack(connection.sctp, channel)))

    line = await asyncio.to_thread(sys.stdin.readline)
    await connection.setRemoteDescription(RTCSessionDescription(**json.loads(line)))
    await connection.setLocalDescription(await connection.createAnswer())
    answer = connection.localDescription
    print(json.dumps({"type": answer.type, "sdp": answer.sdp}), flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until the other side is done with us
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(ATTACKS[sys.argv[1]]))
