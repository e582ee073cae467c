"""The five sentences that a report begins with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

import chronoflux as cf
from chronoflux.analysis.folders import Folder
from chronoflux.analysis.report import study_room
from chronoflux.replay.null_runs import NullRuns, null_runs
from chronoflux.replay.rehearsal import rehearse
from tests.analysis.test_experiment import night
from tests.analysis.test_information import var
from tests.analysis.test_rooms import write


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """With the columns that loaded logs have."""
    return frame.assign(H_local=frame["H"], H_mesh=frame["H"], nodes=100, t=0.0, data=None, psi=0.0)


NIGHT = [Folder(Path("a"), {"schedule": "night"}), Folder(Path("b"), {"schedule": "night"})]


def test_a_driven_node_is_told_in_five_sentences(tmp_path: Path) -> None:
    """Who, what happened, what was found, how sure, what was not asked: with the numbers, and no jargon."""
    # One draw in twenty shows the other direction too; this one, of seed 2, does not (p = 0.6).
    x = 0.5 + 0.03 * var([[0.5, 0], [0.5, 0.5]], 900, 2)
    for node, course in zip("ab", x.T, strict=True):
        write(tmp_path, node, np.arange(900.0), order=course, phase=0 * course, hertz=1.2)
    report = study_room(cf.load(tmp_path), surrogates=39, ksg=0)
    who, happened, found, sure, not_asked = report.summary
    assert who.startswith("2 nodes (a and b)")
    assert "15 min of mesh time" in who
    assert "no events happened" in happened
    assert "in 1 of 2 directions the H of a node predicts the next H of another" in found
    assert "questions were tested" in sure
    assert "--null-runs 99" in not_asked
    assert report.text().startswith(who)
    assert who in report.html()
    assert "no start-up was found" in report.text()


def test_a_flat_line_is_told_with_what_helps(tmp_path: Path) -> None:
    """A room in which nothing moves any more says so at the top, and what to run instead."""
    for node in "ab":
        seconds = np.arange(600.0)
        write(tmp_path, node, seconds, order=1 - 0.9 * np.exp(-seconds / 10), phase=0 * seconds, hertz=1.2)
    happened = study_room(cf.load(tmp_path), surrogates=19, ksg=0).summary[1]
    assert "nothing moves any more in a from " in happened
    assert "--preset storm --schedule night" in happened


def test_refusals_of_one_reason_stand_together(tmp_path: Path) -> None:
    """One node alone: five questions need two, and that is said once; no code is on the page."""
    order = np.random.default_rng(1).random(300)
    write(tmp_path, "a", np.arange(300.0), order=order, phase=np.zeros(300), hertz=1.2)
    report = study_room(cf.load(tmp_path), surrogates=19, ksg=0)
    assert report.summary[4].count("1 node; needed: at least 2 in the room") == 1
    assert "synchrony between nodes, whether nodes pull each other, " in report.summary[4]
    assert report.summary[0].startswith("1 node (a) ")


def test_a_locked_room_is_told_what_to_ask_instead(tmp_path: Path) -> None:
    """Of series that do not move the refusal names other questions, and no functions or arguments."""
    for node in "ab":
        write(tmp_path, node, np.arange(600.0), order=np.full(600, 0.99), phase=np.zeros(600), hertz=1.2)
    text = study_room(cf.load(tmp_path), surrogates=19, ksg=0).text()
    assert "nothing moves any more" in text
    assert "not measured: H of a: locked" in text
    for code in ("analysis.", "stationary=", "[:, "):
        assert code not in text


def test_of_a_night_the_blocks_are_the_primary_answer() -> None:
    """The manifests' schedule makes the blocks primary: exact p, carry-over, and first of the findings."""
    frame = complete(night(5, 1, effect=0.3, lasting=0.1))
    report = study_room(frame, surrogates=19, ksg=0, folders=NIGHT, skip_settling=False)
    text = report.text()
    assert "primary: in blocks with flips H is 0." in text
    assert "(carry-over)" in text
    assert report.summary[2].startswith("Found: in blocks with flips H is 0.")
    assert "the primary questions, chosen before the data were seen: blocks with " in report.summary[3]
    assert "in the blocks of the schedule night" in report.summary[1]
    bare = study_room(frame, surrogates=19, ksg=0, skip_settling=False)
    assert "primary: in blocks" not in bare.text()


def test_one_run_without_the_schedule_is_no_night() -> None:
    """Unless all followed it the blocks mean nothing."""
    frame = complete(night(3, 1))
    mixed = [NIGHT[0], Folder(Path("b"), {"schedule": "classic"})]
    report = study_room(frame, surrogates=19, ksg=0, folders=mixed, skip_settling=False)
    assert "primary: in blocks" not in report.text()


def test_a_linked_room_is_told_from_strangers(tmp_path: Path) -> None:
    """Null runs of the run folders answer whether the room is a set of strangers, and lead the page."""
    nodes = {
        name: cf.Params(oscillators=30, frequency=hertz, mesh_coupling=2.0)
        for name, hertz in (("a", 1.1), ("b", 1.2))
    }
    rehearse(tmp_path, nodes, seconds=60)

    def compute() -> NullRuns:
        with ThreadPoolExecutor(1) as executor:
            return null_runs(sorted(tmp_path.iterdir()), count=19, executor=executor)

    report = study_room(cf.load(tmp_path), surrogates=19, ksg=0, null_runs=compute, skip_settling=False)
    assert "the phase locking of the nodes is higher than in null runs" in report.summary[2]
    assert "phase locking: this room against nodes that are not linked: coupled" in report.text()
    assert "--null-runs" not in report.summary[4]
