"""What the README does with the analysis, for type checkers: it is read by them and never run."""

from __future__ import annotations

from typing import assert_type

import numpy as np
import pandas as pd

from chronoflux import analysis


def analyse(df: pd.DataFrame) -> None:
    """The measures of a room's table."""
    assert_type(analysis.pairs(df), pd.DataFrame)
    assert_type(analysis.locked(df, window=30), pd.DataFrame)
    epochs = analysis.event_epochs(df, "remote_intent")
    print(analysis.epoch_response(epochs))
    print(analysis.event_dose_response(df, "intent", "E"))
    assert_type(analysis.each_node(df, analysis.lempel_ziv), pd.DataFrame)
    assert_type(analysis.spreads(df), pd.DataFrame)
    assert_type(analysis.information_flow(df), pd.DataFrame)


def assess(df: pd.DataFrame) -> None:
    """Measures of series, against surrogates."""
    rng = np.random.default_rng(1)
    source = rng.normal(size=2000)
    target = 0.5 * np.roll(source, 1) + rng.normal(size=2000)
    print(analysis.assess(analysis.transfer_entropy_nats, source, target))
    nodes = analysis.together(analysis.side_by_side(df, "H"))
    print(analysis.assess(lambda x: analysis.emergence_nats(x, x.mean(axis=1)), nodes, together=False))
