"""The roster of a node: who is in the room by the server's word, through its absences and restarts."""

from __future__ import annotations

import pytest

from chronoflux.mesh.roster import MOST_ANSWERS, REMEMBERED, Roster
from chronoflux.signal.protocol import Known, RosterMember, Who
from chronoflux.signal.protocol import Roster as Told


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def node(id_: str, joined: int, kind: str = "headless", *, lasting: bool = True) -> RosterMember:
    return RosterMember(id_, joined, kind, lasting)


def whole(*members: RosterMember, since: int = 1, complete: bool = True, size: int | None = None) -> Told:
    count = len(members) if size is None else size
    return Told(list(members), whole=True, complete=complete, size=count, since=since)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def roster(time: Time) -> Roster:
    roster = Roster(time)
    roster.joined(available=True)
    roster.apply(whole(node("a", 1), node("b", 2)))
    return roster


def test_differences_are_taken(roster: Roster) -> None:
    """Who came and who left, as differences; a whole roster replaces what was told."""
    assert roster.available
    assert roster.complete
    roster.apply(Told([node("c", 3)], left=["a"], size=2, since=1))
    assert set(roster.members) == {"b", "c"}
    assert roster.size == 2
    roster.apply(whole(node("c", 3)))
    assert set(roster.members) == {"c"}


def test_who_left_counts_for_a_minute(roster: Roster, time: Time) -> None:
    """A member that left belongs for 60 s, and again when it comes back; a stranger never did."""
    roster.apply(Told(left=["a"], size=1, since=1))
    time.now += REMEMBERED - 0.1
    assert (roster.belongs("a"), roster.member("a")) == (True, None)
    time.now += 0.1
    assert roster.belongs("a") is False
    assert roster.belongs("x") is False
    roster.apply(Told([node("a", 9)], size=2, since=1))
    assert roster.belongs("a") is True


def test_only_lasting_members_with_a_clock_rank(roster: Roster) -> None:
    """By when they joined: not recorders and probes, not unknown kinds, not who has no secret."""
    others = [node("r", 0, "recorder"), node("p", 0, "probe"), node("x", 0, ""), node("o", 0, lasting=False)]
    roster.apply(Told([*others, node("n", 1, "notebook"), node("w", 0, "page")], size=8, since=1))
    assert [member.id for member in roster.ranked()] == ["w", "a", "n", "b"]


def test_in_a_large_room_the_server_is_asked(time: Time) -> None:
    """Of whom the roster does not name, nothing is known until the server answers; its answer holds 60 s."""
    roster = Roster(time)
    assert roster.belongs("a") is None
    roster.apply(whole(node("a", 1), complete=False, size=300))
    assert (roster.belongs("a"), roster.belongs("x"), roster.belongs("y")) == (True, None, None)
    roster.apply_answer(Who(ids=["x", "y"], present=[node("x", 5)]))
    assert (roster.belongs("x"), roster.belongs("y")) == (True, False)
    assert roster.member("x") == node("x", 5)
    time.now += REMEMBERED
    assert (roster.belongs("x"), roster.belongs("y")) == (None, None)


def test_answers_are_bounded(roster: Roster) -> None:
    """Of more answers than are kept, the latest are."""
    for n in range(0, MOST_ANSWERS + 64, 64):
        roster.apply_answer(Who(ids=[f"x{k}" for k in range(n, n + 64)]))
    assert len(roster._answers) == MOST_ANSWERS
    assert f"x{MOST_ANSWERS}" in roster._answers


def test_without_a_server_everybody_counts_for_as_long_as_it_is_away(roster: Roster, time: Time) -> None:
    """Who counted when the server went counts until it is back, who had left just before too; when it is back
    with its memory, who is not there any more left then."""
    roster.apply(Told(left=["a"], size=1, since=1))
    time.now += 10
    roster.server_lost()
    time.now += 3600
    roster.server_lost()
    assert (roster.belongs("a"), roster.belongs("b"), roster.belongs("x")) == (True, True, False)
    roster.joined(available=True)
    roster.apply(whole(node("c", 3)))
    assert (roster.belongs("a"), roster.belongs("b"), roster.belongs("c")) == (False, True, True)
    time.now += REMEMBERED
    assert roster.belongs("b") is False


def test_who_was_known_before_a_restart_counts_for_a_minute(roster: Roster, time: Time) -> None:
    """A server without memory knows only who is back: the others count for 60 s more, and rank where they
    were; whoever is back first does not rank before them. What the server says later of somebody holds."""
    time.now += 100
    roster.server_lost()
    time.now += 100
    roster.apply(whole(node("b", 900), node("n", 800), since=800))
    assert [member.id for member in roster.ranked()] == ["a", "b", "n"]
    assert roster.member("b") == node("b", 2)
    assert roster.belongs("a") is True
    roster.apply(Told([node("b", 2)], size=2, since=800))
    time.now += REMEMBERED
    assert [member.id for member in roster.ranked()] == ["b", "n"]
    assert roster.belongs("a") is False


def test_who_leaves_the_restarted_server_left(roster: Roster, time: Time) -> None:
    """Who came back and then left is no member any more, whatever was known before the restart."""
    roster.apply(whole(node("a", 900), since=800))
    roster.apply(Told(left=["a"], size=0, since=800))
    assert roster.member("a") is None
    assert roster.belongs("a") is True
    time.now += REMEMBERED
    assert roster.belongs("a") is False


def test_what_a_restarted_server_is_told(time: Time) -> None:
    """The eight earliest with a clock and this node, each with the earliest time heard; nothing before a
    server told a roster."""
    roster = Roster(time)
    assert roster.known("z") == []
    members = [node(f"n{n:02}", n) for n in range(20)]
    roster.apply(whole(*members, node("r", 0, "recorder")))
    earliest = [Known(f"n{n:02}", n) for n in range(8)]
    assert roster.known("n15") == [*earliest, Known("n15", 15)]
    assert roster.known("n03") == earliest
    assert roster.known("r") == [*earliest, Known("r", 0)]
    roster.apply(whole(node("n15", 99), since=90))
    assert roster.known("n15") == [*earliest, Known("n15", 15)]


def test_a_server_without_rosters_tells_nothing(roster: Roster) -> None:
    """Joined to a server of the version before, nothing is known of anybody."""
    roster.server_lost()
    roster.joined(available=False)
    assert (roster.available, roster.complete, roster.members) == (False, False, {})
    assert roster.belongs("a") is None
    assert roster.ranked() == []
