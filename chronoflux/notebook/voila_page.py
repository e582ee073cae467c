"""What notebook 02 needs to be a page of its own: the room that the page's address asks for.

Voilà gives a notebook the address it is served for as CGI does, in the environment (RFC 3875).
"""

from __future__ import annotations

import os
from urllib.parse import parse_qs

from chronoflux.errors import UsageError, shorten
from chronoflux.signal.validation import room_name

MOST_FIELDS = 20
"""Fields of an address that are looked at."""


def room_asked(usual: str, query: str | None = None) -> str:
    """The room that the address of this page asks for with ``?room=…``, or the `usual` one.

    `query`: what comes after the question mark, by default that of the page. Anybody may have written it.

    Raises
    ------
    UsageError
        When that is no room's name, or cannot be read.
    """
    query = os.environ.get("QUERY_STRING", "") if query is None else query
    try:
        fields = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise UsageError(f"the address ?{shorten(query)} cannot be read: end it with ?room=NAME") from None
    return room_name(fields.get("room", [usual])[-1])
