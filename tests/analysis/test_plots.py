"""Plots: what is drawn, with units on every axis and colours for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from chronoflux.analysis import plots
from chronoflux.analysis.response import superposed_epochs
from chronoflux.analysis.tables import side_by_side
from chronoflux.errors import ParameterError
from tests.analysis.test_criticality import ar

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No figure outlives its test."""
    yield
    plt.close("all")


def room(seconds: int) -> pd.DataFrame:
    """Two nodes with telemetry every second and one event each."""
    at = 1_790_000_000_000.0 + 1000.0 * np.arange(seconds)
    parts = []
    for node, level in (("a", 0.3), ("b", 0.7)):
        rest = {"node": node, "room": "lab", "time": pd.Timestamp(0, tz="UTC")}
        parts.append(pd.DataFrame({"at": at, "H": level, "omega": 0.0, "type": "telemetry", **rest}))
        parts.append(pd.DataFrame({"at": at[5:6], "H": np.nan, "omega": 0.0, "type": "intent", **rest}))
    return pd.concat(parts, ignore_index=True)


def every_plot() -> dict[str, plt.Axes]:
    """Each plot once, on data of its kind."""
    x = 0.5 + 0.1 * ar(0.5, 1024, 1)
    names = ["a", "b", "c"]
    matrix = pd.DataFrame([[np.nan, 0.9, 0.1], [0.9, np.nan, 0.2], [0.1, 0.2, np.nan]], names, names)
    locked = pd.DataFrame(
        {"a": ["a", "a"], "b": ["b", "b"], "start": [0.0, 50], "end": [20.0, 80], "duration": [20.0, 30]}
    )
    flow = pd.DataFrame(
        {"te_nats": [0.1, 0.01], "p": [0.005, 0.5], "found": [True, False]},
        index=pd.MultiIndex.from_tuples([("a", "b"), ("b", "a")], names=["source", "target"]),
    )
    return {
        "over_time": plots.over_time(room(100), events=("intent",), oscillators=100),
        "pair_matrix": plots.pair_matrix(matrix),
        "locked_intervals": plots.locked_intervals(locked),
        "epochs": plots.epochs(superposed_epochs(x, np.arange(1024.0), np.arange(50, 950, 50))),
        "change_points": plots.change_points(x, np.arange(1024.0), [500]),
        "spectrum": plots.spectrum(x, 1.0),
        "spectrogram": plots.spectrogram(x, 1.0, window=64),
        "flow": plots.flow(flow),
        "on_record": plots.on_record(side_by_side(room(100))),
    }


def test_every_axis_has_a_unit() -> None:
    """Every axis that counts something says what, with its unit in brackets, colour scales too."""
    drawn = every_plot()
    for name, axes in drawn.items():
        axes.figure.canvas.draw()
        for one in axes.figure.axes:
            labels = [one.get_ylabel()] if one is not axes else [one.get_xlabel(), one.get_ylabel()]
            if name == "flow":
                assert "nats" in one.get_title()
            else:
                assert all("[" in label and label.endswith("]") for label in labels), (name, labels)


def test_plots_draw_on_the_axes_they_are_given() -> None:
    """With `ax` no figure is made, and the same axes come back."""
    figure, axes = plt.subplots()
    assert plots.spectrum(ar(0.5, 256, 2), 1.0, ax=axes) is axes
    assert plt.get_fignums() == [figure.number]


def test_lines_differ_in_more_than_colour() -> None:
    """Of 35 nodes no two share both colour and stroke, and of five in a row none shares either."""
    styles = [(colour, str(stroke)) for (colour, stroke), _ in zip(plots._styles(), range(40), strict=False)]
    assert len(set(styles[:35])) == 35
    for first in range(35):
        for kind in zip(*styles[first : first + 5], strict=True):
            assert len(set(kind)) == 5


def test_order_over_time_shows_nodes_events_and_null_band() -> None:
    """A line a node in its place, the events marked where they were, the band of unrelated phases shaded."""
    axes = plots.over_time(room(100), events=("intent",), oscillators=100)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["a", "b", "100 unrelated phases, 95 %", "2 intent"]
    a, b, events = axes.get_lines()
    assert set(a.get_ydata()) == {0.3}
    assert set(b.get_ydata()) == {0.7}
    assert list(events.get_xdata()) == [5, 5]


def test_long_records_are_drawn_as_means_with_their_range() -> None:
    """A record of hours is drawn by some thousand points a node, on an axis in hours."""
    axes = plots.over_time(room(4 * 3600))
    assert axes.get_xlabel() == "mesh time [h]"
    assert len(axes.get_lines()[0].get_xdata()) < 1100
    assert axes.get_xlim() == pytest.approx((0, 4), abs=0.01)


def test_many_nodes_and_events_are_drawn_as_shares() -> None:
    """Nine nodes are their mean, with where all and 8 in 10 lie; hundreds of events are strokes that fade."""
    nine = pd.concat([room(300).query("node == 'a'").assign(node=f"n{i}", H=0.1 * i) for i in range(9)])
    nine.loc[nine["at"] % 2000 == 0, "type"] = "intent"
    axes = plots.over_time(nine, events=("intent",))
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["all of them", "8 in 10", "mean of 9 nodes", "1,359 intent"]
    mean, events = axes.get_lines()
    assert mean.get_ydata()[::2] == pytest.approx(0.4)
    assert (events.get_marker(), events.get_alpha()) == ("|", pytest.approx(200 / 1359))


def test_the_matrix_of_locking_goes_from_0_to_1() -> None:
    """The scale of phase-locking values ends at 1, whatever they are; with most=None at the greatest."""
    matrix = pd.DataFrame([[np.nan, 0.02], [0.02, np.nan]], ["a", "b"], ["a", "b"])
    assert plots.pair_matrix(matrix).images[0].get_clim() == (0, 1)
    assert plots.pair_matrix(matrix, most=None).images[0].get_clim() == (0, 0.02)


def test_only_what_was_found_is_an_arrow() -> None:
    """The graph has an arrow for each direction found, and says so when there is none."""
    axes = every_plot()["flow"]
    assert axes.get_title().startswith("1 of 2 directions")
    index = pd.MultiIndex.from_tuples([("a", "b")], names=["source", "target"])
    none = pd.DataFrame({"te_nats": [0.1], "p": [0.5], "found": [False]}, index=index)
    assert plots.flow(none).get_title() == "0 of 1 directions; no direction beyond chance"


def test_nothing_to_draw_is_refused() -> None:
    """An empty matrix and a series with a gap are refused by name."""
    with pytest.raises(ParameterError, match="at least one pair"):
        plots.pair_matrix(pd.DataFrame([[np.nan]], ["a"], ["a"]))
    with pytest.raises(ParameterError, match="not finite"):
        plots.spectrum([np.nan, *range(100)], 1.0)


def test_the_band_says_its_level() -> None:
    """The band round a mean course is labelled with its level, whichever was chosen."""
    x = ar(0.5, 400, 2)
    found = superposed_epochs(x, np.arange(400.0), np.arange(50, 350, 25), level=0.9)
    labels = plots.epochs(found).get_legend_handles_labels()[1]
    assert labels == ["90 % band, pointwise", "mean of 12"]


@pytest.mark.parametrize("n", [64, 260, 2400])
def test_frequencies_can_be_read(n: int) -> None:
    """At the axis of a spectrum, of however long a record, two labels stand at least, none over another."""
    axes = plots.spectrum(0.5 + 0.1 * ar(0.5, n, 1), 1.0)
    axes.figure.set_size_inches(5, 3)
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    marks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    shown = [mark.label1 for mark in marks if low <= mark.get_loc() <= high and mark.label1.get_text()]
    ends = sorted((box.x0, box.x1) for box in (label.get_window_extent() for label in shown))
    assert len(ends) >= 2
    assert all(after[0] > before[1] for before, after in pairwise(ends))
