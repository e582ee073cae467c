"""Who leads the room's time, in simulated time: the first by the server's word, whatever others claim."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle

import pytest

from chronoflux.mesh.clock import MeshClock, TrustChange
from chronoflux.mesh.messages import ProbeReply
from chronoflux.mesh.roster import Roster
from chronoflux.signal.protocol import Roster as Told
from chronoflux.signal.protocol import RosterMember
from tests.clocks import EPOCH, Host, Lie, Net, jitter

HOUR, MINUTE, SECOND = 3_600_000.0, 60_000.0, 1_000.0
LINK, RELAY = (
    (1.0, 8.0),
    (4.0, 16.0),
)  # ms one way, drawn for each packet; each way differs by up to 4 ms more
FULL, SPARSE = 5.0, 20.0  # ms that an honest clock may be wrong in a full mesh, and at degree 6
STEPS = (1, 2, 5)
CLAIMS = ("ghost", "itself", "reference")


def room(size: int, degree: int | None, seed: int) -> Net:
    """A room of nodes that joined one after the other, on machines of all kinds; links of a random graph."""
    draw = random.Random(seed)
    skewed = {}

    def delay(span: tuple[float, float]) -> Callable[[str, str], float]:
        noise = jitter(*span, seed)

        def one_way(one: str, other: str) -> float:
            extra = skewed.setdefault((one, other), draw.uniform(0, 4))
            return noise(one, other) + extra

        return one_way

    net = Net(delay(LINK), seed, roster=True, far=delay(RELAY))
    names = [f"n{number:02}" for number in range(size)]
    place = {name: number for number, name in enumerate(draw.sample(names, size))}
    if degree is not None:
        near = set(STEPS) | {size - step for step in STEPS}
        net.neighbours = lambda one, other: (place[one] - place[other]) % size in near
    for name in names:
        net.add(name, wrong=draw.uniform(-HOUR, HOUR), ppm=draw.uniform(-50, 50))
        net.run(net.time + 2 * SECOND)
    return net


def lie(net: Net, liar: Host, claim: str, shift: float, drag: float) -> Lie:
    """Answers that claim a better standing than there is, with a time that is wrong by `shift` ms at once and
    by `drag` ms more an hour."""
    begun, first = net.time, min(net.hosts.values(), key=lambda host: host.joined)
    standing: dict[str, tuple[str, int, int]] = {
        "ghost": ("ghost", 1, 1),
        "itself": (liar.name, 0, 1),
        "reference": (first.name, 1, first.joined),
    }

    def answer(reply: ProbeReply) -> ProbeReply:
        wrong = first.mesh.now() - liar.mesh.now() + shift + drag * (net.time - begun) / HOUR
        return ProbeReply(reply.t0, reply.t1 + wrong, reply.t2 + wrong, *standing[claim])

    return answer


def turn(net: Net, liars: Iterable[str], claims: Sequence[str], shift: float, drag: float) -> list[str]:
    """Have some lie from now on, in turn as `claims` say; the names of the honest."""
    liars = list(liars)
    for name, claim in zip(liars, cycle(claims)):
        net.hosts[name].lies = lie(net, net.hosts[name], claim, shift, drag)
    return [name for name in net.hosts if name not in liars]


def worst(net: Net, honest: list[str], until: float) -> float:
    """The largest error of an honest clock against the reference up to then, ms."""
    return max(net.run(until, lambda: max(map(abs, net.errors(honest).values())), every=SECOND))


def followed(net: Net, honest: list[str]) -> set[str]:
    """Whom the honest follow."""
    return {net.hosts[name].mesh.reference for name in honest}


def wronged(net: Net, honest: list[str]) -> list[TrustChange]:
    """What the honest thought of each other's clocks that was not true."""
    return [judged for name in honest for judged in net.hosts[name].judged if judged.peer in honest]


def steps(net: Net, honest: list[str]) -> list[int]:
    """How often each stepped; all but the first do once, when they join."""
    return [sum(change.step is not None for change in net.hosts[name].followed) for name in honest]


JUMP, DRAG = 1e9, 1_700.0  # ms; ms an hour
FEW = [
    (1, ("ghost",), 50.0, DRAG),
    (3, CLAIMS, JUMP, 0.0),
    (4, ("reference",), 0.0, DRAG),
]
WHO = [(1, ("ghost",)), (1, ("itself",)), (1, ("reference",)), (3, CLAIMS), (4, CLAIMS)]
MOVES = [(JUMP, 0.0), (50.0, DRAG), (5.0, 100.0)]  # the last so slow that it stays within what is measured


def full_mesh(liars: int, claims: Sequence[str], shift: float, drag: float, hours: float) -> None:
    """Some of eight lie, where everybody is linked with everybody: the reference is followed alone."""
    net = room(8, None, seed=liars)
    net.run(net.time + MINUTE)
    honest = turn(net, [f"n{number:02}" for number in range(8 - liars, 8)], claims, shift, drag)
    error = worst(net, honest, net.time + hours * HOUR)
    print(f"full mesh, {liars} of 8 lie: {error:.2f} ms")
    assert error <= FULL
    assert followed(net, honest) == {"n00"}
    assert steps(net, honest) == [0, *[1] * (len(honest) - 1)]
    assert wronged(net, honest) == []
    told = {judged.peer for name in honest for judged in net.hosts[name].judged}
    assert told == net.hosts.keys() - honest  # whoever lies is named


def sparse_mesh(liars: int, claims: Sequence[str], shift: float, drag: float, hours: float) -> None:
    """Some of sixteen lie, each linked with six: the reference is asked through the server."""
    net = room(16, 6, seed=liars)
    net.run(net.time + 2 * MINUTE)
    honest = turn(net, random.Random(liars).sample(sorted(net.hosts)[1:], liars), claims, shift, drag)
    error = worst(net, honest, net.time + hours * HOUR)
    print(f"degree 6, {liars} of 16 lie: {error:.2f} ms")
    assert error <= SPARSE
    assert followed(net, honest) == {"n00"}
    assert steps(net, honest) == [0, *[1] * (len(honest) - 1)]
    assert wronged(net, honest) == []


@pytest.mark.parametrize(("liars", "claims", "shift", "drag"), FEW)
def test_liars_in_a_full_mesh(liars: int, claims: Sequence[str], shift: float, drag: float) -> None:
    """One, three and half of a room lie, and claim a ghost, themselves and the true reference."""
    full_mesh(liars, claims, shift, drag, hours=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "drag"), MOVES)
@pytest.mark.parametrize(("liars", "claims"), WHO)
def test_liars_in_a_full_mesh_for_hours(liars: int, claims: Sequence[str], shift: float, drag: float) -> None:
    """The same for two hours, with every claim: by a jump, slowly, and very slowly."""
    full_mesh(liars, claims, shift, drag, hours=2)


@pytest.mark.parametrize(("liars", "claims", "shift", "drag"), [(8, ("reference",), 0.0, DRAG)])
def test_liars_among_few_neighbours(liars: int, claims: Sequence[str], shift: float, drag: float) -> None:
    """Half of a room whose nodes have six neighbours lie, and say that they have the reference's time."""
    sparse_mesh(liars, claims, shift, drag, hours=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "drag"), MOVES)
@pytest.mark.parametrize(
    ("liars", "claims"), [(1, ("reference",)), (3, ("reference",)), (8, ("reference",)), (8, CLAIMS)]
)
def test_liars_among_few_neighbours_for_an_hour(
    liars: int, claims: Sequence[str], shift: float, drag: float
) -> None:
    """The same for an hour: by a jump, slowly, and so slowly that it stays within what is measured."""
    sparse_mesh(liars, claims, shift, drag, hours=1)


@pytest.mark.parametrize("shift", [JUMP, -3 * SECOND])
@pytest.mark.parametrize(("size", "degree", "bound"), [(8, None, FULL), (16, 6, SPARSE)])
def test_when_the_reference_leaves_a_liar_does_not_succeed(
    size: int, degree: int | None, bound: float, shift: float
) -> None:
    """The second to have joined lies, with two others; when the first leaves, the third goes on with the time
    there was, and nobody steps."""
    net = room(size, degree, seed=5)
    net.run(net.time + MINUTE)
    honest = turn(net, ["n01", "n04", "n06"], CLAIMS, shift, 0.0)
    net.run(net.time + MINUTE)
    first = net.remove("n00")
    honest.remove("n00")
    before = steps(net, honest)

    def apart() -> float:
        lead = net.hosts["n02"].mesh.now()
        return max(abs(net.hosts[name].mesh.now() - lead) for name in honest)

    assert max(net.run(net.time + 3 * MINUTE, apart, every=SECOND)) <= bound
    assert followed(net, honest) == {"n02"}
    assert steps(net, honest) == before
    assert (
        abs(net.hosts["n02"].mesh.now() - first.mesh.now()) <= 4 * MINUTE * 100e-6 + FULL
    )  # as quartzes drift


@pytest.mark.parametrize("degree", [None, 6])
def test_who_does_not_answer_is_passed_over(degree: int | None) -> None:
    """Those that joined first never answer, have no clock, or are old: the next one leads, a newcomer waits
    for the room's time for a little more than ten seconds, and once the silent one speaks it leads."""
    net = Net(jitter(*LINK), roster=True, far=jitter(*RELAY))
    names = [f"n{number}" for number in range(12)]
    if degree:
        net.neighbours = lambda one, other: (int(one[1:]) - int(other[1:])) % 12 in (1, 2, 5, 7, 10, 11)
    for name in names:
        host = net.add(name, wrong=HOUR * int(name[1:]))
        host.leads = name not in ("n0", "n1")  # an old page, a recorder
        if name == "n2":
            host.lies = lambda reply: None
        net._rosters()
    net.run(40 * SECOND)
    others = names[3:]
    assert followed(net, others) == {"n3"}
    late = net.add("n12", wrong=-HOUR)
    net.run(net.time + 12 * SECOND)
    assert (late.mesh.settled, late.mesh.reference) == (True, "n3")
    lead = net.hosts["n3"].mesh.now()
    assert all(abs(net.hosts[name].mesh.now() - lead) <= FULL for name in [*others, "n1", "n12"])
    if not degree:
        net.hosts["n2"].mesh._linear = net.hosts["n3"].mesh._linear
        net.hosts["n2"].lies, before = None, steps(net, others)
        net.run(net.time + 30 * SECOND)
        assert followed(net, others) == {"n2"}
        assert steps(net, others) == before


def test_a_first_member_whose_clock_leaps_goes_back_to_the_rooms_time() -> None:
    """The machine of the first leaps by an hour: it finds back, and nobody else moves. What half of the room
    claims afterwards does not draw it away, as its own clocks agree."""
    net = room(9, None, seed=3)
    net.run(net.time + MINUTE)
    net.hosts["n00"].skip = HOUR
    calm = sorted(net.hosts)[1:]
    lead = net.hosts["n01"].mesh
    net.run(net.time + 3 * MINUTE)
    assert abs(net.hosts["n00"].mesh.now() - lead.now()) <= FULL
    assert steps(net, calm) == [1] * 8
    honest = turn(net, calm[4:], ("itself",), JUMP, 0.0)
    net.run(net.time + 3 * MINUTE)
    assert steps(net, honest)[0] == 1
    assert max(map(abs, net.errors(honest).values())) <= FULL


def test_without_the_server_neighbours_keep_together() -> None:
    """While the server is away nobody can ask the reference that is no neighbour of it: what most neighbours
    have in common holds, whatever two of the others claim."""
    net = room(16, 6, seed=2)
    net.run(net.time + 2 * MINUTE)
    far = next(name for name in sorted(net.hosts) if not net.neighbours(name, "n00") and name != "n00")
    liars = [name for name in sorted(net.hosts) if net.neighbours(name, far)][:2]
    honest = turn(net, liars, ("reference",), 0.0, 10 * DRAG)
    net.away = True
    assert worst(net, honest, net.time + 5 * MINUTE) <= SPARSE
    assert followed(net, honest) == {"n00"}
    assert set(steps(net, honest)) == {0, 1}


def test_whoever_returns_first_to_a_restarted_server_does_not_lead() -> None:
    """By the roster, and by the memory of the nodes that come back, the first is who it was before."""
    mono = [1e6]
    clock = MeshClock(mono=lambda: mono[0], utc=lambda: EPOCH + mono[0])
    roster = Roster(now=lambda: mono[0] / 1000)
    both = [RosterMember("a", 100, "headless", True), RosterMember("me", 200, "headless", True)]

    def told(members: list[RosterMember], since: int) -> None:
        roster.apply(Told(members, whole=True, size=len(members), since=since))
        ranked = [(member.id, member.joined) for member in roster.ranked()]
        own = roster.member("me")
        assert own is not None
        clock.set_members(("me", own.joined), {"a": 100}, ranked=ranked)

    def answered() -> None:
        for _ in range(8):
            mono[0] += 64
            clock.on_probe_sent("a")
            there = EPOCH + mono[0] + HOUR
            clock.add_reply("a", mono[0], ProbeReply(0, there, there, "a", 0, 100), mono[0])
        clock.update()

    told(both, since=1)
    answered()
    assert clock.reference == "a"
    told([RosterMember("me", 9_000, "headless", True)], since=2)
    answered()
    assert clock.reference == "a"
    told([RosterMember("me", 200, "headless", True), RosterMember("a", 100, "headless", True)], since=2)
    mono[0] += 100_000
    answered()
    assert clock.reference == "a"


@pytest.mark.parametrize(
    ("liars", "honest", "shift", "drag", "hours"),
    [(1, 6, 80.0, 0.0, 0.2), (1, 6, 50.0, DRAG, 2.0), (1, 6, JUMP, 0.0, 0.1), (9, 6, JUMP, 0.0, 0.1)],
)
def test_a_newcomer_takes_over_by_no_claim(
    liars: int, honest: int, shift: float, drag: float, hours: float
) -> None:
    """Whoever joins last and claims that a ghost leads, who joined before all, is not followed."""
    mono, start = [1e6], 1e6

    def true() -> float:
        return EPOCH + mono[0] - start

    clock = MeshClock(mono=lambda: mono[0], utc=true)
    good = {"first": 100} | {f"good{number}": 150 + number for number in range(honest)}
    evil: dict[str, int] = {}

    def burst(peer: str, wrong: float, *standing: object) -> None:
        for _ in range(8):
            mono[0] += 8
            sent, there = mono[0], true() + wrong + 0.5
            clock.add_reply(peer, sent, ProbeReply(0, there, there, *standing), sent + 1)  # type: ignore[arg-type]

    worst = 0.0
    for second in range(0, int(hours * 3600), 10):
        if second == 60:
            evil = {f"evil{number}": 900 + number for number in range(liars)}
        members = good | {"me": 200} | evil
        clock.set_members(("me", 200), good | evil, ranked=sorted(members.items(), key=lambda one: one[1]))
        own = clock.now() - true()
        for peer in good:
            burst(peer, 0 if peer == "first" else own, "first", 0 if peer == "first" else 1, 100)
        for peer in evil:
            burst(peer, shift + drag * (second - 60) / 3600, "ghost", 1, 1)
        clock.update()
        worst = max(worst, abs(clock.now() - true()))
        mono[0] += 10_000 - 64 * (len(good) + len(evil))
    assert clock.reference == "first"
    assert worst <= 0.01
    assert all(clock.objection(peer) for peer in evil)


def test_many_silent_members_keep_nobody_from_the_rooms_time() -> None:
    """Twelve that joined first and never answer are passed over one and all: the thirteenth leads."""
    net = Net(jitter(*LINK), roster=True)
    for number in range(15):
        host = net.add(f"n{number:02}", wrong=HOUR * number)
        if number < 12:
            host.lies = lambda reply: None
    net.run(40 * SECOND)
    assert followed(net, ["n12", "n13", "n14"]) == {"n12"}
    assert (
        max(abs(net.hosts[name].mesh.now() - net.hosts["n12"].mesh.now()) for name in ("n13", "n14")) <= FULL
    )
