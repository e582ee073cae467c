"""What the README does with runs of the past, for type checkers: it is read by them and never run."""

from __future__ import annotations

from typing import assert_type

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import chronoflux as cf
from chronoflux.replay.rehearsal import rehearse


def load() -> None:
    """Read logs."""
    df = cf.load("logs")
    assert_type(df, pd.DataFrame)
    df[df.type == "telemetry"].groupby("node")[["H", "H_local", "H_mesh"]].mean()
    assert_type(cf.load(["a", "b"], strict=True), pd.DataFrame)
    assert_type(cf.load_peerings("logs"), pd.DataFrame)


def replay() -> None:
    """Replay and recompute."""
    replay = cf.Replay("logs/room1-n1")
    found = replay.recompute()
    print(found, found.agrees, bool(found))
    assert_type(replay.at(3600, mode="recomputed"), cf.Snapshot)
    assert_type(replay.frame(3600), NDArray[np.uint8])
    for happening in replay.events:
        assert_type(happening.s, float)
    replay.step()
    assert_type(replay.position, float)
    replay.speed = 4.0
    replay.view3d("height")
    with cf.Replay(["logs/room1-n1", "logs/room1-n2"]) as both:
        both.play()


def ask_what_if() -> None:
    """Counterfactuals and rooms by chance."""
    found = cf.counterfactual("logs/room1-n1", without="fields")
    assert_type(found, cf.Counterfactual)
    print(found)
    assert_type(found.frame, pd.DataFrame)
    found.plot()
    runs = ["logs/room1-n1", "logs/room1-n2"]
    cf.counterfactual(runs, without={"kinds": "pacemaker_flip"})
    cf.counterfactual(runs, without=cf.Without(fields="all"), params={"kappa": 2.0})
    null = cf.analysis.null_runs(runs, count=99)
    print(null.judge(lambda frame: cf.analysis.pairs(frame)["plv"]))


def rehearsal() -> None:
    """A room without a network."""
    nodes = {"a": cf.Params(frequency=1.1), "b": cf.Params(frequency=1.3)}
    runs = rehearse("rehearsal", nodes, seconds=120)
    null = cf.analysis.null_runs(runs, count=99)
    print(null.judge(lambda frame: cf.analysis.pairs(frame)["plv"]))
