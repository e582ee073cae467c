"""Ids of events: the same in every language, and bound to what was fired, by whom and when."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.mesh.event_id import ENVELOPE, content_of, event_id, mint, must_match

HERE = Path(__file__).parents[1]
VECTORS = json.loads((HERE / "event_ids.json").read_text())
ORIGIN = "ab" * 16
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab｡\U00010002"), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CONTENT = st.dictionaries(st.sampled_from(["x", "on", "intent"]), JSON)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["what"] for vector in VECTORS])
def test_the_vectors(vector: dict[str, Any]) -> None:
    """Each vector has the id that is written beside it."""
    assert event_id(vector["origin"], vector["type"], vector["at"], vector["content"]) == vector["id"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_vectors_in_javascript() -> None:
    """A JavaScript program comes to the same ids."""
    program = [shutil.which("node") or "", str(HERE / "event_ids.mjs")]
    done = subprocess.run(program, input=json.dumps(VECTORS), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [vector["id"] for vector in VECTORS]


@given(CONTENT, st.floats(0, 1e14))
def test_an_id_survives_the_wire(content: dict[str, Any], at: float) -> None:
    """Encoded as JSON and decoded again, content and time have the same id."""
    got, when = msgspec.json.decode(msgspec.json.encode([content, at]))
    assert event_id(ORIGIN, "intent", when, got) == event_id(ORIGIN, "intent", at, content)


@given(CONTENT, CONTENT)
def test_other_content_has_another_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two contents have the same id only if they are the same JSON, whole numbers being like doubles."""
    same = _plain(one) == _plain(other)
    assert (event_id(ORIGIN, "x", 1.0, one) == event_id(ORIGIN, "x", 1.0, other)) == same


def _plain(value: Any) -> Any:
    """The value so that equality is that of its JSON: True is not 1."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if value is None or isinstance(value, bool | str) else float(value) + 0.0


def test_origin_type_and_time_are_covered() -> None:
    """An id is of one origin, type and time; concatenated texts do not run into one another."""
    ids = [
        event_id(origin, wire, at, {})
        for origin, wire, at in [("ab", "c", 1.0), ("a", "bc", 1.0), ("ab", "c", 1.5), ("ab", "d", 1.0)]
    ]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 10**400, "\ud800", object(), b"", {"\ud800": 1}, [[[]] * 2] * 2]
)
def test_what_json_cannot_say_has_no_id(value: Any) -> None:
    """What cannot be written is an error that says so; nesting is bounded."""
    if isinstance(value, list):
        for _ in range(40):
            value = [value]
    with pytest.raises(ValueError, match="content"):
        event_id(ORIGIN, "x", 1.0, {"v": value})


def test_a_minted_id_is_new_and_never_like_a_random_one() -> None:
    """Of a thousand equal events at one moment each has an id of its own, which is told from a random UUID of
    earlier versions by its form; the times differ by microseconds."""
    ids: set[str] = set()
    for _ in range(1000):
        key, at = mint(ORIGIN, "flip", 1.7e12, {}, ids.__contains__)
        assert key == event_id(ORIGIN, "flip", at, {})
        assert must_match(key)
        assert 0 <= at - 1.7e12 < 2
        ids.add(key)
    assert len(ids) == 1000


def test_ids_of_others_need_not_match() -> None:
    """Random UUIDs and ids of other forms are no hashes."""
    others = [uuid.uuid4().hex for _ in range(100)]
    assert not any(map(must_match, [*others, "e1", "", "old:p:0123456789abcdef", "A" * 32, "٣" * 32]))


def test_the_envelope_is_no_content() -> None:
    """What changes on an event's way is left out; everything else is covered, also what is not known here."""
    message = dict.fromkeys(ENVELOPE, 1) | {"intent": {"x": 1.0}, "world": [800, 600], "later": "more"}
    assert content_of(message) == {"intent": {"x": 1.0}, "world": [800, 600], "later": "more"}
