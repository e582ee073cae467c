"""Measures on loaded logs: written by the log writer, read by `load`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import chronoflux as cf
from chronoflux.analysis.rooms import each_node, information_flow, locked, pair_matrix, pairs, times_to_sync
from chronoflux.analysis.tables import side_by_side
from chronoflux.errors import ParameterError
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog
from tests.analysis.test_information import var

START = 1_790_000_000_000.0
FREQUENCIES = {"a": 1.2, "b": 1.2, "c": 1.3}


def write(
    folder: Path,
    node: str,
    seconds: np.ndarray,
    *,
    order: np.ndarray,
    phase: np.ndarray,
    hertz: float,
    events: tuple[tuple[float, str], ...] = (),
    strengths: tuple[float, ...] = (),
    room: str = "lab",
) -> None:
    """A run whose records carry the mesh times `seconds` after START, and its events with their E, if any."""
    log = RunLog(folder, room=room, node=node, kind="test", params=Params(), seed=1, schedule="none")
    records = [
        (at, "telemetry", {"H": h, "psi": psi, "omega": 2 * np.pi * hertz})
        for at, h, psi in zip(seconds, order, phase, strict=True)
    ] + [(at, kind, None) for at, kind in events]
    doses = {at: {"data": {"E": dose}} for (at, _), dose in zip(events, strengths, strict=False)}
    for tick, (at, kind, metrics) in enumerate(sorted(records, key=lambda record: record[0])):
        more = doses.get(at, {}) if metrics is None else {}
        log.write(kind, tick=tick, t=float(at), at=START + 1000 * float(at), metrics=metrics, **more)
    log.close()


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Three nodes for ten minutes: a and b locked by 0.5 rad, c drifting; each records at its own moments."""
    folder = tmp_path_factory.mktemp("logs")
    x = var([[0.5, 0, 0], [0.6, 0.5, 0], [0, 0, 0.5]], 600, 1)
    order = 0.5 + 0.05 * x
    events = np.arange(40.0, 560, 40)
    for i, (node, hertz) in enumerate(FREQUENCIES.items()):
        seconds = np.arange(600) + 0.13 * i
        course = order[:, i] + sum(
            np.where(seconds >= e, 0.3 * np.exp(-(seconds - e) / 6), 0) for e in events
        )
        keep = np.ones(600, dtype=bool)
        if node == "b":
            keep[300:310] = False
        write(
            folder,
            node,
            seconds[keep],
            order=np.clip(course, 0, 1)[keep],
            phase=np.angle(np.exp(1j * (2 * np.pi * hertz * seconds + 0.5 * (node == "a"))))[keep],
            hertz=hertz,
            events=tuple((e, "lion_gate") for e in events) if node == "a" else (),
        )
    return cf.load(folder)


def test_pairs(frame: pd.DataFrame) -> None:
    """The locked pair has PLV 1, its lag and no frequency difference; the others drift by 0.1 Hz."""
    table = pairs(frame)
    locked_pair = table.loc[("a", "b")]
    assert locked_pair["plv"] == pytest.approx(1, abs=1e-6)
    assert locked_pair["dpsi"] == pytest.approx(0.5, abs=1e-4)
    assert (locked_pair["pli"], locked_pair["wpli"]) == (pytest.approx(1), pytest.approx(1))
    assert (locked_pair["n"], locked_pair["masked"]) == (590, 10)
    drifting = table.loc[("a", "c")]
    assert drifting["plv"] < 0.01
    assert drifting["df"] == pytest.approx(-0.1, abs=1e-6)


def test_the_pair_matrix_is_symmetric_and_takes_any_measure(frame: pd.DataFrame) -> None:
    """The matrix holds the measure of every two nodes, NaN on the diagonal."""
    matrix = pair_matrix(frame)
    assert matrix.loc["a", "b"] == pytest.approx(1, abs=1e-6)
    assert matrix.equals(matrix.T)
    assert np.isnan(np.diag(matrix)).all()
    shared = pair_matrix(frame, cf.analysis.mutual_information_nats, column="H")
    assert shared.loc["a", "b"] > 0.01


def test_locked_intervals_of_a_room(frame: pd.DataFrame) -> None:
    """The locked pair is locked from start to end but for its gap; nobody else is."""
    table = locked(frame, window=20)
    assert set(zip(table["a"], table["b"], strict=True)) == {("a", "b")}
    assert table["start"].tolist() == [0, 310]
    assert table["duration"].tolist() == [299, 289]


def test_each_node_is_measured_by_itself(frame: pd.DataFrame) -> None:
    """One row a node with all of its result, on its own longest stretch; a refusal says why."""
    found = each_node(frame, cf.analysis.permutation_entropy, order=3)
    assert list(found.index) == ["a", "b", "c"]
    assert found["unit"].eq("1").all()
    alone = cf.analysis.permutation_entropy(side_by_side(frame)["b"].iloc[:300], order=3)
    assert found.loc["b", "value"] == alone.value
    assert (found.loc["b", "n"], found.loc["b", "unused"], found.loc["b", "bridged"]) == (298, 300, 0)
    refused = each_node(frame, cf.analysis.detrended_fluctuation, "omega")
    assert refused["value"].isna().all()
    assert refused["reading"].str.startswith("not measured: x = 'constant'").all()


def test_times_to_sync(frame: pd.DataFrame) -> None:
    """The time to reach an order is from each node's first record; NaN where it is never held."""
    records = frame[(frame["node"] == "a") & (frame["type"] == "telemetry")].copy()
    records["H"] = np.where(np.arange(600) < 100, 0.2, 0.95)
    found = times_to_sync(pd.concat([records, frame[frame["node"] == "c"]]), hold=20)
    assert found["a"] == 100
    assert np.isnan(found["c"])


def test_information_flows_where_it_was_planted(tmp_path: Path) -> None:
    """Of six directions only the driven one is found, and the chance over all six is held."""
    x = var([[0.5, 0, 0], [0.4, 0.5, 0], [0, 0, 0.5]], 1500, 2)
    for node, course in zip("abc", (0.5 + 0.05 * x).T, strict=True):
        write(tmp_path, node, np.arange(1500.0), order=course, phase=0 * course, hertz=1.2)
    flow = information_flow(cf.load(tmp_path), count=199)
    assert flow.index.names == ["source", "target"]
    assert flow[flow["found"]].index.tolist() == [("a", "b")]
    assert flow.loc[("a", "b"), "p"] == pytest.approx(1 / 200)
    assert flow.loc[("a", "b"), "te_nats"] == pytest.approx(0.092, abs=0.03)
    assert (flow.attrs["n"], flow.attrs["masked"]) == (1486, 14)  # 1485 steps: 3³ · 5 · 11


def test_flow_takes_the_longest_unbroken_stretch(frame: pd.DataFrame) -> None:
    """A gap ends the stretch that transfer entropy is measured on; what is not used is counted."""
    flow = information_flow(frame, count=19)
    assert (flow.attrs["n"], flow.attrs["masked"]) == (298, 302)  # 297 steps: 3³ · 11
    assert (flow.attrs["start"], flow.attrs["end"]) == (0, 297)
    assert (flow.attrs["bridged"], flow.attrs["left_out"]) == (0, [])


def test_nothing_to_measure_is_refused(frame: pd.DataFrame) -> None:
    """Unknown metrics, rooms that are not there and several rooms at once are refused by name."""
    twice = pd.concat([frame, frame.assign(room="other")])
    for work, words in (
        (lambda: side_by_side(frame, "Q"), "metric of the frame"),
        (lambda: side_by_side(frame, "node"), "metric of the frame"),
        (lambda: side_by_side(frame, room="attic"), "one of lab"),
        (lambda: side_by_side(twice), "one of lab, other"),
        (lambda: side_by_side(frame, "H_local"), "no H_local"),
        (lambda: information_flow(frame[frame["node"] == "a"]), "at least 2"),
    ):
        with pytest.raises(ParameterError, match=words):
            work()
    assert len(side_by_side(twice, room="lab")) == 600


def test_names_of_the_analysis_load_on_first_use() -> None:
    """Every public name of `cf.analysis` is there, and one that is not is refused."""
    for name in cf.analysis.__all__:
        assert getattr(cf.analysis, name)
    with pytest.raises(AttributeError, match="nothing"):
        cf.analysis.nothing  # noqa: B018
