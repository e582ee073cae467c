"""Limits on the incomplete data that an SCTP transport of aiortc buffers for a peer.

aiortc (1.16) buffers the fragments of a message and out-of-order chunks without a limit, and raises on
malformed packets. `bound` wraps the two methods through which the transport receives: data that would exceed
a limit are discarded, and the link is told why, once. This module is the only one that uses private
attributes of aiortc; `tests/util/test_private_interfaces.py` names them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aioice import Connection
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    SCTP_TSN_MODULO,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    RTCSctpTransport,
)

log: logging.Logger = logging.getLogger(__name__)

MAX_MESSAGE = 256 * 1024  # bytes
MAX_CHUNKS = 1024  # most fragments, and most out-of-order chunks: a window of full-size chunks
MAX_STREAMS = 8  # one for each channel; our links use two


def ice_connection(transport: RTCSctpTransport) -> Connection:
    """The ICE connection below a transport."""
    return transport.transport.transport._connection


def bound(transport: RTCSctpTransport, refuse: Callable[[str], object]) -> None:
    """Enforce the limits on a transport. `refuse` is called once, with a text that names the exceeded limit.

    Besides the constants above, no more bytes are buffered than the window that the transport advertised.
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
            raise  # our own side is closed; aiortc handles it
        except Exception as error:
            # An error of aiortc's parsers on a hostile packet must end this link only.
            log.debug("link: a packet that aiortc cannot take", exc_info=True)
            give_up(f"the peer sent an invalid packet ({type(error).__name__})")

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
    """Return a text naming the limit that this chunk would exceed, or None."""
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
    """Return the bytes of the contiguous fragments around `chunk` that belong to its message."""
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
