"""`Message`: the base of all signaling messages, and the types of their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from msgspec import Meta

from chronoflux.errors import ProtocolError
from chronoflux.signal.validation import NAME_LENGTH, is_plain

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH)]
Payload = dict[str, Any]
Joined = Annotated[int, Meta(ge=0, le=2**53)]
MAX_KNOWN = 9
"""Most members in ``known`` of a ``join-room``: the eight earliest and the sender."""
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
MAX_WHO = 64
"""Most ids in one ``who`` message."""
MAX_HOPS = 256
"""Highest hop limit of an event: once around a ring of a full room."""

# The decoder accepts any JSON as metadata, and `metadata_or_none` checks each peer's afterwards: bad metadata
# of one peer must not invalidate a whole message of the server.
if TYPE_CHECKING:
    Metadata = dict[str, Any]
else:
    Metadata = Any


class Message(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Base of all messages: strings are printable, payloads not too deep.

    Raises
    ------
    ProtocolError
        If a string or payload may not be sent.
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str) and not value.isprintable():
                raise ProtocolError(kind_of(self), f"{name} is not printable")
            if isinstance(value, dict) and not is_plain(value):
                raise ProtocolError(kind_of(self), f"{name} nests too deep or holds too large a number")


class Unknown(Message, frozen=True, tag="unknown"):
    """A message of an unknown type, which is ignored; never sent."""

    kind: str


def kind_of(message: Message) -> str:
    """Return the ``type`` of a message on the wire."""
    return cast(str, message.__struct_config__.tag)
