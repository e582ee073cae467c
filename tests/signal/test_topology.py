"""Who is linked with whom: the graphs themselves, against networkx."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import UsageError
from chronoflux.signal.protocol import MAX_HOPS
from chronoflux.signal.topology import FULL_UP_TO, Links, Topology, diameter, full, hop_limit

ROOMS = st.sets(st.integers(0, 10**9), max_size=120).map(lambda numbers: {f"n{n}" for n in numbers})
RULES = st.one_of(
    st.builds(Topology, st.sampled_from(["random", "ring"]), st.sampled_from([2, 4, 6, 8])),
    st.builds(Topology, st.sampled_from(["auto", "full"])),
)


def graph(links: Links) -> nx.Graph[str]:
    """The same for networkx."""
    return nx.Graph(links)


def edges(links: Links) -> set[frozenset[str]]:
    """The pairs."""
    return {frozenset((one, other)) for one, others in links.items() for other in others}


@given(ROOMS, RULES, st.text(max_size=5))
def test_every_room_is_connected_and_symmetric(ids: set[str], rule: Topology, seed: str) -> None:
    """Whoever is in a room, by every rule: everybody is in the graph, nobody is linked with themselves, links
    go both ways, everybody reaches everybody, and the same names and seed give the same links."""
    links = rule.links(ids, seed)
    assert links.keys() == ids
    assert all(id_ not in others for id_, others in links.items())
    assert all(id_ in links[other] for id_, others in links.items() for other in others)
    assert not ids or nx.is_connected(graph(links))
    assert rule.links(sorted(ids, reverse=True), seed) == links


@given(st.sets(st.integers(), min_size=17, max_size=256), st.sampled_from([2, 4, 6, 8]))
def test_degrees_are_near_what_was_asked_for(numbers: set[int], degree: int) -> None:
    """Nobody has more links than the degree, or fewer than two; only where rings share a link is one missing,
    which on average happens to each pair of rings twice."""
    links = Topology("random", degree).links([str(number) for number in numbers])
    counts = [len(others) for others in links.values()]
    assert min(counts) >= 2
    assert max(counts) <= degree
    rings = degree // 2
    missing = sum(degree - count for count in counts) / 2
    assert missing <= 2 * rings * (rings - 1) / 2 + 12 * (rings > 1)


@given(st.sets(st.integers(), min_size=18, max_size=100))
def test_a_join_or_leave_changes_few_links(numbers: set[int]) -> None:
    """When one of a large room goes, or comes, it is its own links that change and at most three others."""
    ids = [str(number) for number in numbers]
    rule = Topology()
    with_it, without = edges(rule.links(ids)), edges(rule.links(ids[1:]))
    own = {edge for edge in with_it if ids[0] in edge}
    assert len(own) <= 6
    assert len(without - with_it) <= 3
    assert len(with_it - without - own) <= 3


def test_up_to_sixteen_everybody_is_linked_with_everybody() -> None:
    """By default a room of 16 is full, in one of 17 each has at most 6; other rules hold always."""
    ids = [f"n{n}" for n in range(FULL_UP_TO + 1)]
    assert Topology().links(ids[:-1]) == full(ids[:-1])
    assert max(map(len, Topology().links(ids).values())) <= 6
    assert max(map(len, Topology("full").links(ids).values())) == 16
    assert set(map(len, Topology("ring").links(ids[:5]).values())) == {2}


@pytest.mark.parametrize("degree", [2, 4, 6])
def test_a_ring_is_a_ring_lattice(degree: int) -> None:
    """A ring of degree k is Watts and Strogatz's lattice: a circulant graph with the nearest k."""
    links = Topology("ring", degree).links([f"n{n}" for n in range(20)])
    assert nx.is_isomorphic(graph(links), nx.circulant_graph(20, range(1, degree // 2 + 1)))


@given(ROOMS.filter(bool), RULES)
def test_the_diameter_is_networkxs(ids: set[str], rule: Topology) -> None:
    """The diameter by bits is that of networkx; events may be passed on twice as often, in a full mesh not at
    all."""
    links = rule.links(ids)
    expected = nx.diameter(graph(links))
    assert diameter(links) == expected
    complete = len(edges(links)) == len(ids) * (len(ids) - 1) / 2
    assert hop_limit(links) == (0 if complete else min(MAX_HOPS, 2 * expected))


def test_large_rooms_stay_near() -> None:
    """In a room of 256 nodes of degree 6 nobody is more than five links from anybody."""
    assert diameter(Topology().links([f"n{n}" for n in range(256)])) <= 5


@pytest.mark.parametrize("bad", [("star", None), ("full", 4), ("random", 3), ("ring", 0), ("random", 32)])
def test_impossible_topologies_are_refused(bad: tuple[str, int | None]) -> None:
    """An unknown rule or a degree that does not fit is refused, saying what to give."""
    with pytest.raises(UsageError, match=r"give|leave out"):
        Topology(*bad)  # type: ignore[arg-type]
