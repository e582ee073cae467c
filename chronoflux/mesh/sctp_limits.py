"""How much of what a peer has not finished yet may be kept: `bound` watches an SCTP transport of aiortc.

aiortc (1.16) gathers the fragments of a message for as long as they come, keeps whatever else is incomplete
or out of order, and raises on packets that make no sense. So the transport's two entrances are wrapped:
what would go over a limit is not taken, and the link is told why, once. This file alone, beside `link.py`,
knows aiortc; it is the only one that reaches into what is private there, and its tests hold that together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_TSN_MODULO,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
)

log = logging.getLogger(__name__)

MAX_MESSAGE = 256 * 1024  # bytes
MAX_CHUNKS = 1024  # fragments kept, and chunks that came before their turn: a window of whole ones
MAX_STREAMS = 8  # one a channel; ours uses two


def bound(transport: RTCSctpTransport, refuse: Callable[[str], object]) -> None:
    """Hold a transport to the limits from now on; `refuse` is told in words what was broken, once.

    Besides the constants above: no more bytes are kept than the window that the transport advertised.
    """
    handle, receive, window = transport._handle_data, transport._receive_chunk, transport._advertised_rwnd
    refused = False

    def give_up(reason: str) -> None:
        nonlocal refused
        if not refused:
            refused = True
            refuse(reason)

    async def handle_data(data: bytes) -> None:
        if refused:
            return
        try:
            await handle(data)
        except ConnectionError:
            raise  # our own end is gone; aiortc knows what to do
        except Exception as error:
            # Whatever a hostile packet makes of aiortc's parsers, it ends this link and nothing else.
            log.debug("link: a packet that aiortc cannot take", exc_info=True)
            give_up(f"the peer sent a packet that makes no sense ({type(error).__name__})")

    async def receive_chunk(chunk: Chunk) -> None:
        if refused:
            return
        reason = _too_much(transport, chunk, window)
        if reason is None:
            await receive(chunk)
        else:
            give_up(reason)

    transport._handle_data = handle_data  # type: ignore[method-assign]
    transport._receive_chunk = receive_chunk  # type: ignore[method-assign]


def _too_much(transport: RTCSctpTransport, chunk: Chunk, window: int) -> str | None:
    """Which limit would be broken if this chunk were taken, in words."""
    streams = transport._inbound_streams
    match chunk:
        case DataChunk():
            named = {chunk.stream_id}
        case ForwardTsnChunk():
            named = {stream for stream, _ in chunk.streams}
        case _:
            return None
    if max(len(named | streams.keys()), len(transport._data_channels)) > MAX_STREAMS:
        return f"the peer opened more than {MAX_STREAMS} channels"
    if isinstance(chunk, ForwardTsnChunk):
        return None
    kept = sum(len(stream.reassembly) for stream in streams.values())
    if max(kept, len(transport._sack_misordered)) >= MAX_CHUNKS:
        return f"the peer sent more than {MAX_CHUNKS} fragments without finishing their messages"
    held = window - transport._advertised_rwnd + len(chunk.user_data)
    if held > window:
        return f"the peer sent more than {window} bytes without finishing their messages"
    if held > MAX_MESSAGE and chunk.stream_id in streams:
        length = _length(streams[chunk.stream_id].reassembly, chunk)
        if length > MAX_MESSAGE:
            return f"the peer sent a message of more than {length} bytes; {MAX_MESSAGE} are allowed"
    return None


def _length(fragments: Sequence[DataChunk], chunk: DataChunk) -> int:
    """Bytes of the message that `chunk` is part of, as far as it is there without a gap."""
    known = {fragment.tsn: fragment for fragment in fragments}
    length = len(chunk.user_data)
    for step, edge, other in (
        (-1, SCTP_DATA_FIRST_FRAG, SCTP_DATA_LAST_FRAG),
        (1, SCTP_DATA_LAST_FRAG, SCTP_DATA_FIRST_FRAG),
    ):
        part = chunk
        while not part.flags & edge:
            found = known.get((part.tsn + step) % SCTP_TSN_MODULO)
            if found is None or found.flags & other:
                break
            part = found
            length += len(part.user_data)
    return length
