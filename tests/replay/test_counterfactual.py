"""Runs computed again without something that moved them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import chronoflux as cf
from chronoflux.errors import LogError, ParameterError
from chronoflux.replay.alternatives import Alternative, _changed, _read, compute, recorded
from chronoflux.replay.counterfactual import Counterfactual, counterfactual
from chronoflux.replay.rehearsal import rehearse
from chronoflux.replay.script import METRICS, Script, Without
from chronoflux.replay.together import checked, together

NODES = {
    "a": cf.Params(oscillators=40, frequency=1.1),
    "b": cf.Params(oscillators=40, frequency=1.2),
    "c": cf.Params(oscillators=40, frequency=1.3, noise=0.2),
}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three coupled nodes for 20 s: an intent of `a` at 6 s, a flip of `b` at 10, a reset of `c` at 14."""
    events = {6.0: ("a", "intent"), 10.0: ("b", "pacemaker_flip")}
    return rehearse(tmp_path_factory.mktemp("room"), NODES, events=events, reset=("c", 14.0))


def inline() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


def of(run: Path | list[Path], **options: object) -> Counterfactual:
    """A counterfactual computed in this process."""
    with inline() as executor:
        return counterfactual(run, executor=executor, **{"count": 0} | options)  # type: ignore[arg-type]


def test_every_field_of_a_room_is_found_at_a_tick_of_its_sender(room: list[Path]) -> None:
    """The sender's tick follows from the mesh time of an input, and the field there agrees to the bit."""
    scripts = [Script.read(run) for run in room]
    links, _, held = checked(scripts)
    heard = [sum(script.peers.values()) for script in scripts]
    assert held == 0
    assert [len(own) for own in links.values()] == heard
    assert min(heard) > 100


def test_a_room_computed_together_is_the_record_bit_for_bit(room: list[Path]) -> None:
    """With nothing taken out metrics and final states are those of each run computed by itself."""
    known = recorded(tuple(map(str, room)))
    again = together(known.scripts, known.links)
    assert again.broken == 0
    for mine, other in zip(again.rows, known.outcome.rows, strict=True):
        np.testing.assert_array_equal(mine, other)
    for script, rows in zip(known.scripts, again.rows, strict=True):
        np.testing.assert_array_equal(np.round(rows, 6), script.recorded)
    for one, two in zip(again.simulations, known.outcome.simulations, strict=True):
        np.testing.assert_array_equal(one.state.phi, two.state.phi)
        np.testing.assert_array_equal(one.state.x, two.state.x)


@pytest.mark.parametrize("several", [False, True])
def test_with_nothing_taken_out_nothing_differs(room: list[Path], several: bool) -> None:
    """The difference is exactly 0, of one run and of a room."""
    found = of(room if several else room[0], count=19)
    for name in METRICS:
        assert (found.frame[f"{name}_difference"] == 0).all()
    assert "no difference" in str(found)
    assert found.frame.attrs["difference"] == ""


def test_without_fields_a_node_is_as_if_alone(room: list[Path]) -> None:
    """Taking all fields out of a run gives what the run would be without coupling to peers."""
    found = of(room[0], without="fields")
    alone = of(room[0], params={"mesh_coupling": 0.0})
    np.testing.assert_array_equal(found.frame["H_without"], alone.frame["H_without"])
    assert found.frame["H_difference"].abs().max() > 1e-3


def test_before_the_change_nothing_differs(room: list[Path]) -> None:
    """Paths are the same to the bit up to the tick of the event that is taken out."""
    found = of(room[0], without={"kinds": "pacemaker_flip"})
    early, late = found.frame["t"] < 10, found.frame["t"] > 11
    assert (found.frame.loc[early, "psi_difference"] == 0).all()
    assert (found.frame.loc[late, "psi_difference"].abs() > 0.1).all()  # a flip turns every phase by π/2


def test_an_event_is_chosen_by_kind_origin_or_id(room: list[Path]) -> None:
    """The three ways to name the one flip give the same path."""
    script = Script.read(room[0])
    (flip,) = [event for event in script.events if event.name == "pacemaker_flip"]
    ways = [{"kinds": ["pacemaker_flip"]}, {"origins": "b"}, {"ids": [flip.id]}]
    paths = [of(room[0], without=way).frame["H_without"] for way in ways]
    for path in paths[1:]:
        np.testing.assert_array_equal(path, paths[0])


def test_total_and_direct_effects_are_told_apart(room: list[Path]) -> None:
    """Without c's fields a and b change, and what they then send changes each other: total is not direct."""
    found = of(room, without={"fields": ["c"]})
    a = found.frame[found.frame["node"] == "a"]
    assert (a["H_difference"] - a["H_direct"]).abs().max() > 1e-6
    # c hears the others, who are changed; the direct effect on it is none, as it does not hear itself
    c = found.frame[found.frame["node"] == "c"]
    assert (c["H_direct"] == 0).all()
    assert c["H_difference"].abs().max() > 0


def test_parameters_held_from_a_tick_on(room: list[Path]) -> None:
    """`params` and `since` change nothing before, and hold against later changes on record."""
    found = of(room[0], params={"kappa": 0.0}, since=8.0)
    assert (found.frame.loc[found.frame["t"] < 8, "H_difference"] == 0).all()
    assert found.frame["H_difference"].abs().max() > 0.01


def test_the_placebos_are_nudged_where_the_change_begins_and_give_p(room: list[Path]) -> None:
    """Nudges leave what is before as it is; the effect of a flip stands out against 19 of them."""
    found = of(room[1], without={"kinds": "pacemaker_flip"}, count=19)
    before = found.frame["t"] < 10
    assert (found.frame.loc[before, "H_band"] == 0).all()
    assert (found.frame.loc[~before, "H_band"] > 0).any()
    assert found.effect(metric="psi").p == pytest.approx(1 / 20)
    assert "p = 0.05 by 19 nudged runs" in str(found)


def test_an_effect_inside_the_band_cannot_be_told(room: list[Path]) -> None:
    """What moves the swarm no more than a nudge does is said to have no effect that can be told."""
    found = of(room[0], params={"kappa": 0.7 + 1e-15}, since=5.0, count=19)
    effect = found.effect()
    if effect.largest:  # a last bit of kappa may change nothing at all
        assert "no effect is shown" in str(found)
        assert effect.p is not None
        assert effect.p > 0.05


def test_other_draws_give_a_mean_effect_with_its_interval(room: list[Path]) -> None:
    """An ensemble pairs draws with and without the change."""
    found = of(room[0], without="fields", seeds=4)
    last = found.frame.iloc[-1]
    assert last["H_low"] < last["H_mean"] < last["H_high"]
    assert "Over 4 other draws" in str(found)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"without": {"fields": ["nobody"]}}, "nobody"),
        ({"without": {"kinds": ["lion_gate"]}}, "this run has none"),
        ({"without": {"kinds": ["sneeze"]}}, "sneeze"),
        ({"without": {"ids": ["x"]}}, "ids"),
        ({"without": {"peers": ["a"]}}, "peers"),
        ({"without": "everything"}, "everything"),
        ({"params": {"kapa": 1.0}}, "kapa"),
        ({"params": {"kappa": float("nan")}}, "kappa"),
        ({"params": {"oscillators": 10}}, "can change while"),
    ],
)
def test_what_is_not_on_record_is_refused_by_name(room: list[Path], options: dict, named: str) -> None:  # type: ignore[type-arg]
    """A misspelt peer, event or parameter is an error, not a difference of 0."""
    with pytest.raises(ParameterError, match=named):
        of(room[0], **options)


def test_the_same_run_twice_is_refused(room: list[Path]) -> None:
    """A room has each run once."""
    with pytest.raises(ParameterError, match="once"):
        of([room[0], room[0]], without="fields")


def test_a_member_without_a_folder_is_held_as_recorded(room: list[Path], tmp_path: Path) -> None:
    """Two of three folders: what they heard of the third is as on record, not lost."""
    known = recorded((str(room[0]), str(room[1])))
    assert known.held == 0
    again = together(known.scripts, known.links)
    np.testing.assert_array_equal(again.rows[0], known.outcome.rows[0])


def test_fields_that_match_no_tick_are_held_and_counted(room: list[Path], tmp_path: Path) -> None:
    """A field sent out of a lost tail of its sender is held as recorded; the answer says how many."""
    for run in room[:2]:
        shutil.copytree(run, tmp_path / run.name)
    log = tmp_path / room[1].name / "telemetry.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[: len(lines) // 2]))
    with inline() as executor:
        folders = [tmp_path / run.name for run in room[:2]]
        found = counterfactual(folders, without={"kinds": "intent"}, count=0, executor=executor)
    assert found.frame.attrs["held"] > 10
    assert f"{found.frame.attrs['held']} fields between these runs" in str(found)


def test_an_export_cannot_be_computed_again_and_says_so(tmp_path: Path) -> None:
    """A file without inputs and parameters is refused with the reason."""
    path = tmp_path / "chrono-x-1.json"
    path.write_text('[{"timestamp": 1623456789000, "t": 1, "type": "telemetry", "metrics": {"H": 0.5}}]')
    with pytest.raises(LogError, match="run folder"):
        counterfactual(path)


def test_plot_shows_both_paths_for_each_node(room: list[Path]) -> None:
    """A picture with a panel for each node."""
    figure = of(room, without="fields").plot()
    assert [ax.get_ylabel() for ax in figure.axes] == ["H of a", "H of b", "H of c"]
    assert all(len(ax.lines) >= 2 for ax in figure.axes)


def test_without_says_what_is_taken_out() -> None:
    """Its words go into sentences."""
    assert str(Without(fields=["n-2"], kinds=["intent"])) == "the fields of n-2 and events of type intent"
    assert not Without()


def test_processes_give_what_one_thread_gives(room: list[Path]) -> None:
    """Alternatives computed by worker processes are the same to the bit."""
    here = of(room[0], without="fields", count=2).frame
    there = counterfactual(room[0], without="fields", count=2).frame
    np.testing.assert_array_equal(here["H_band"], there["H_band"])
    np.testing.assert_array_equal(here["H_without"], there["H_without"])


def test_an_alternative_is_a_value(room: list[Path]) -> None:
    """Equal alternatives compare equal, so that workers may keep what they read."""
    folders = tuple(map(str, room))
    assert Alternative(folders=folders) == Alternative(folders=folders)


def test_a_run_that_goes_on_is_read_again_and_what_was_begun_stays_with_what_it_read(
    room: list[Path], tmp_path: Path
) -> None:
    """Files that have grown are not answered from memory; an alternative keeps to the record that it is of,
    also in a worker that reads later."""
    run = tmp_path / room[0].name
    shutil.copytree(room[0], run)
    telemetry = run / "telemetry.jsonl"
    lines = telemetry.read_text().splitlines(keepends=True)
    telemetry.write_text("".join(lines[: len(lines) // 2]))
    before = recorded((str(run),))
    records = len(before.scripts[0].ticks)
    assert recorded((str(run),)) is before
    telemetry.write_text("".join(lines))
    assert len(recorded((str(run),)).scripts[0].ticks) > records
    later = before.alternative()
    _read.cache_clear()
    _changed.cache_clear()
    assert [len(rows) for rows in compute(later, os.getpid())] == [records]


def test_who_hears_nobody_does_not_wait_for_what_others_send(room: list[Path]) -> None:
    """Without fields nothing is sent, and the metrics are those of runs that stop at each field."""
    known = recorded(tuple(map(str, room)))
    silent = known.alternative(out=Without(fields="all"))
    scripts, _ = silent.changed()
    quick, slow = silent.outcome(), together(known.scripts, known.links)
    assert not quick.sent
    assert slow.sent
    alone = [together([script], {}).rows[0] for script in scripts]
    for mine, other in zip(quick.rows, alone, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_nodes_of_a_rehearsal_have_one_step(tmp_path: Path) -> None:
    """They are advanced together, tick by tick."""
    nodes = {"a": NODES["a"], "b": NODES["b"].replace(dt=0.02)}
    with pytest.raises(ParameterError, match="the same in all nodes"):
        rehearse(tmp_path, nodes)
    assert not list(tmp_path.iterdir())
