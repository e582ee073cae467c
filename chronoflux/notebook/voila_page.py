"""Read the room from the address of a Voilà page, for notebook 02.

Voilà passes the address to the notebook as CGI does, in environment variables (RFC 3875).
"""

from __future__ import annotations

import os
from urllib.parse import parse_qs

from chronoflux.errors import UsageError, shorten
from chronoflux.signal.validation import room_name

MOST_FIELDS = 20
"""Most fields of an address that are parsed."""


def room_asked(usual: str, query: str | None = None) -> str:
    """Return the room that the page's address names with ``?room=…``, or `usual` if it names none.

    `query` is the part after the question mark, by default that of this page. It is untrusted input.

    Raises
    ------
    UsageError
        When the query cannot be parsed, or the room's name is not allowed.
    """
    query = os.environ.get("QUERY_STRING", "") if query is None else query
    try:
        fields = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise UsageError(f"the address ?{shorten(query)} cannot be read: end it with ?room=NAME") from None
    return room_name(fields.get("room", [usual])[-1])
