"""The room that a page's address asks for."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.errors import UsageError
from chronoflux.notebook.voila_page import room_asked
from chronoflux.signal.validation import room_name


def test_an_address_names_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last `room` of the address counts; without one it is the usual room."""
    monkeypatch.setenv("QUERY_STRING", "theme=dark&room=room2")
    assert room_asked("room1") == "room2"
    assert room_asked("room1", "room=a&room=b%20c") == "b c"
    monkeypatch.delenv("QUERY_STRING")
    assert room_asked("room1") == "room1"


@pytest.mark.parametrize(
    "query",
    ["room=", "room=%00", "room=a%0Ab", "room=%ff", "room=%20", "room=" + "x" * 65, "&".join(["a=1"] * 30)],
)
def test_what_is_no_room_is_refused(query: str) -> None:
    """Empty, unprintable, endless and undecodable names are refused in one line."""
    with pytest.raises(UsageError) as refusal:
        room_asked("room1", query)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


@settings(max_examples=40)
@given(st.text(max_size=70))
def test_nothing_but_rooms_comes_out(text: str) -> None:
    """For every address the result is a room's name or a refusal; a valid name is unchanged."""
    for query in (text, f"room={text}"):
        with contextlib.suppress(UsageError):
            assert room_name(room_asked("room1", query))
    try:
        room = room_name(text)
    except UsageError:
        with pytest.raises(UsageError):
            room_asked("room1", "room=" + quote(text))
    else:
        assert room_asked("room1", "room=" + quote(room)) == room
