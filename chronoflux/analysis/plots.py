"""Plots of measures: functions that draw on matplotlib axes and return them.

With ``ax=None`` they make a new figure. Lines use the colour-blind-safe palette of Okabe and Ito, and differ
in their dashes too, so that they are distinct in black and white; the colour map is cividis.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.response import Epochs
from chronoflux.analysis.significance import null_band
from chronoflux.analysis.synchrony import runs
from chronoflux.analysis.tables import side_by_side
from chronoflux.analysis.validation import Floats, library, series, whole
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design, 2008, without their yellow, which is too pale on white."""
STROKES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MOST_LINES, MOST_MARKS = 8, 200
"""Most nodes drawn as single lines, and most events of a kind drawn as single marks, in one plot."""
MARKERS = ("|", "v", "o", "s", "D", "^", "x")
UNITS = {
    "H": "order parameter H [1]",
    "H_local": "local order H_local [1]",
    "H_mesh": "order of the room H_mesh [1]",
    "tau": "turbulence τ [1]",
    "psi": "mean phase ψ [rad]",
    "omega": "mean-field frequency ω [rad/s]",
}
"""Axis labels of metrics."""


def over_time(
    frame: pd.DataFrame,
    column: str = "H",
    *,
    events: Sequence[str] = (),
    oscillators: int | None = None,
    step: float = 1.0,
    room: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot a metric of every node over mesh time; long records as means with their range.

    Up to eight nodes have a line each. For more, the plot shows their mean, and the ranges of all of them and
    of the middle 80 %.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    column
        The metric.
    events
        Types of records to mark above the lines, each with its own marker.
    oscillators
        Number of oscillators for the null band: shade H below the 95th percentile of as many unrelated
        phases.
    step, room
        See :func:`chronoflux.analysis.tables.side_by_side`.
    """
    axes = _axes(ax)
    table = side_by_side(frame, column, step=step, room=room)
    scale, unit = _time_unit(float(table.index[-1]))
    width = max(1, len(table) // 1000)
    grouped = table.groupby(np.arange(len(table)) // width)
    means, times = grouped.mean(), np.asarray(table.index, dtype=np.float64)[::width] / scale
    if len(table.columns) > MOST_LINES:
        for low, high, shade, words in ((0.0, 1.0, 0.2, "all of them"), (0.1, 0.9, 0.35, "8 in 10")):
            ends = means.quantile(low, axis=1), means.quantile(high, axis=1)
            axes.fill_between(times, *ends, color=COLOURS[0], alpha=shade, lw=0, label=words)
        words = f"mean of {len(table.columns)} nodes"
        axes.plot(times, means.mean(axis=1), color=COLOURS[0], lw=1.3, label=words)
    else:
        least, most = grouped.min(), grouped.max()
        for (colour, stroke), node in zip(_styles(), table.columns, strict=False):
            axes.plot(times, means[node], color=colour, ls=stroke, lw=1.3, label=_text(node))
            if width > 1:
                axes.fill_between(times, least[node], most[node], color=colour, alpha=0.15, lw=0)
    if oscillators is not None:
        words = f"{oscillators} unrelated phases, 95 %"
        axes.axhspan(0, null_band(oscillators).high, color="0.88", zorder=0, label=words)
    if column.startswith("H"):
        axes.set_ylim(0, 1.03)
    _mark_events(axes, frame, events, table.attrs["start"].timestamp(), scale, room)
    axes.set(xlabel=f"mesh time [{unit}]", ylabel=UNITS.get(column, column), xlim=(0, times[-1]))
    legend = axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))  # outside, to cover no line
    for line in legend.get_lines():
        line.set_alpha(1)
    return axes


def _mark_events(
    axes: Axes, frame: pd.DataFrame, kinds: Sequence[str], start: float, scale: float, room: str | None
) -> None:
    for row, (kind, marker) in enumerate(zip(kinds, cycle(MARKERS), strict=False)):
        records = frame[(frame["type"] == kind) & ((frame["room"] == room) if room is not None else True)]
        at = records["at"].to_numpy(np.float64) / 1e3
        at = (at[np.isfinite(at)] - start) / scale
        height = 1.03 + 0.04 * row  # above the axes, in units of their height
        many = len(at) > MOST_MARKS  # then transparent strokes, whose shade shows their density
        axes.plot(
            at, np.full(len(at), height), "|" if many else marker, ms=5, color="0.2",
            alpha=max(0.04, min(1.0, MOST_MARKS / max(1, len(at)))), transform=axes.get_xaxis_transform(),
            clip_on=False, label=f"{len(at):,} {kind.replace('_', ' ')}",
        )  # fmt: skip


def pair_matrix(
    matrix: pd.DataFrame,
    *,
    label: str = "phase-locking value [1]",
    most: float | None = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """Plot a measure of every pair of nodes as a heat map, with numbers for up to 12 nodes.

    Parameters
    ----------
    matrix
        Rows and columns are nodes, from :func:`chronoflux.analysis.rooms.pair_matrix`; NaN stays blank.
    label
        The measure and its unit, for the colour bar.
    most
        Upper end of the colour scale; None: the greatest value.

    Raises
    ------
    ParameterError
        When no value is finite.
    """
    axes = _axes(ax)
    values = matrix.to_numpy(np.float64)
    if not np.isfinite(values).any():
        raise ParameterError("matrix", "no finite value", "at least one pair that was measured")
    least, greatest = min(0.0, float(np.nanmin(values))), float(np.nanmax(values)) if most is None else most
    image = axes.imshow(values, cmap=_map(), vmin=least, vmax=greatest)
    ticks = range(len(matrix))
    axes.set(xlabel="node [name]", ylabel="node [name]", xticks=ticks, yticks=ticks)
    axes.set_xticklabels([*map(_text, matrix.columns)], rotation=60, ha="right")
    axes.set_yticklabels([*map(_text, matrix.index)])
    if len(matrix) <= 12:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = (value - least) < 0.6 * (greatest - least)
                axes.text(
                    j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if dark else "k"
                )
    axes.figure.colorbar(image, ax=axes, label=label)
    return axes


def locked_intervals(locked: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the locked intervals of :func:`chronoflux.analysis.rooms.locked`, one row per pair."""
    axes = _axes(ax)
    scale, unit = _time_unit(float(locked["end"].max()) if len(locked) else 1.0)
    names = []
    for row, ((a, b), pair) in enumerate(locked.groupby(["a", "b"], sort=True)):
        bars = [
            (start / scale, length / scale)
            for start, length in zip(pair["start"], pair["duration"], strict=True)
        ]
        axes.broken_barh(bars, (row - 0.35, 0.7), color=COLOURS[0])
        names.append(f"{_text(a)} – {_text(b)}")
    axes.set(xlabel=f"mesh time [{unit}]", ylabel="locked pair [names]", xlim=(0, None))
    every = 1 + len(names) // 30  # so that names do not overlap
    axes.set_yticks(range(0, len(names), every), names[::every])
    axes.invert_yaxis()
    return axes


def on_record(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot when each node is on record, one row per node.

    `table` is from :func:`chronoflux.analysis.tables.side_by_side`.
    """
    axes = _axes(ax)
    times = np.asarray(table.index, dtype=np.float64)
    scale, unit = _time_unit(float(times[-1]))
    for row, node in enumerate(table.columns):
        spans = times[runs(table[node].notna().to_numpy(np.bool_))] / scale
        width = float(table.attrs["step"]) / scale  # a record stands for a step
        bars = [(start - width / 2, end - start + width) for start, end in spans]
        axes.broken_barh(bars, (row - 0.35, 0.7), color=COLOURS[0])
    axes.set(xlabel=f"mesh time [{unit}]", ylabel="on record [node]", xlim=(0, times[-1] / scale))
    axes.set_yticks(range(len(table.columns)), [*map(_text, table.columns)])
    axes.invert_yaxis()
    return axes


def epochs(found: Epochs, *, label: str = "change of H [1]", ax: Axes | None = None) -> Axes:
    """Plot the mean course around events with its pointwise bootstrap band; `label` is the quantity."""
    axes = _axes(ax)
    band = f"{100 * found.level:g} % band, pointwise"
    if np.isfinite(found.low).all():  # fewer than five events have none
        axes.fill_between(found.lag, found.low, found.high, color=COLOURS[0], alpha=0.25, lw=0, label=band)
    axes.plot(found.lag, found.mean, color=COLOURS[0], lw=1.6, label=f"mean of {len(found.courses)}")
    axes.axvline(0, color="0.3", ls=":", lw=1)
    axes.axhline(0, color="0.6", lw=0.8, zorder=0)
    axes.set(xlabel="time since the event [s]", ylabel=label, xlim=(found.lag[0], found.lag[-1]))
    axes.legend(fontsize=8)
    return axes


def change_points(
    x: ArrayLike, t: ArrayLike, points: ArrayLike, *, label: str = UNITS["H"], ax: Axes | None = None
) -> Axes:
    """Plot a series, and the mean of each segment between its change points.

    Parameters
    ----------
    x, t
        The series, and its times in s, shape (n,).
    points
        Indices where a new segment begins, from :func:`chronoflux.analysis.criticality.change_points`.
    """
    axes = _axes(ax)
    values, times = series("x", x, varies=False), series("t", t)
    scale, unit = _time_unit(float(times[-1]))
    axes.plot(times / scale, values, color="0.65", lw=0.7, label="series")
    edges = [0, *np.asarray(points, dtype=np.int64).tolist(), len(values)]
    for i, (first, end) in enumerate(pairwise(edges)):
        level, last = values[first:end].mean(), min(end, len(times) - 1)
        axes.plot(
            times[[first, last]] / scale, [level, level], color=COLOURS[1], lw=2, label="" if i else "level"
        )
    axes.set(xlabel=f"time [{unit}]", ylabel=label)
    axes.legend(fontsize=8)
    return axes


def spectrum(x: ArrayLike, step: float, *, unit: str = "1", ax: Axes | None = None) -> Axes:
    """Plot the power spectral density of an unbroken series, in its unit squared per Hz.

    It uses Welch's method with Hann windows of an eighth of the record (Welch, IEEE Transactions on Audio and
    Electroacoustics 15, 70, 1967).

    Parameters
    ----------
    x
        The series, shape (n,), n ≥ 64, without gaps.
    step
        Distance of the samples, s.
    unit
        Unit of the series; ``"1"`` if dimensionless.

    Raises
    ------
    ParameterError
        When the series is too short, constant or has gaps.
    UsageError
        When SciPy is not installed.
    """
    axes = _axes(ax)
    values = series("x", x, least=64)
    signal = library("scipy.signal", "the spectrum")
    frequency, power = signal.welch(values, fs=1 / step, nperseg=len(values) // 8 // 2 * 2)
    axes.loglog(frequency[1:], power[1:], color=COLOURS[0], lw=1.3)
    ticker = library("matplotlib.ticker", "the spectrum")
    if frequency[-1] < 100 * frequency[1]:  # few powers of ten to label
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set(xlabel="frequency [Hz]", ylabel=f"power spectral density [{_per_hertz(unit)}]")
    return axes


def spectrogram(
    x: ArrayLike, step: float, *, window: int = 256, unit: str = "1", ax: Axes | None = None
) -> Axes:
    """Plot the power spectral density of an unbroken series over time, in dB.

    Parameters
    ----------
    x
        The series, shape (n,), n ≥ 64, without gaps.
    step
        Distance of the samples, s.
    window
        Length of a window in samples, from 16 to n/2; windows overlap by half.
    unit
        Unit of the series; ``"1"`` if dimensionless.

    Raises
    ------
    ParameterError
        When the series is too short, constant or has gaps, or `window` is out of range.
    UsageError
        When SciPy is not installed.
    """
    axes = _axes(ax)
    values = series("x", x, least=64)
    whole("window", window, 16, len(values) // 2)
    signal = library("scipy.signal", "the spectrogram")
    overlap = window // 2
    frequency, time, power = signal.spectrogram(
        values, fs=1 / step, nperseg=window, noverlap=overlap, detrend="linear"
    )
    scale, name = _time_unit(float(time[-1]))
    least = float(power[1:].max()) * 1e-8
    mesh = axes.pcolormesh(
        time / scale,
        frequency[1:],
        10 * np.log10(np.maximum(power[1:], least)),
        cmap=_map(),
        shading="nearest",
    )
    axes.set(xlabel=f"time [{name}]", ylabel="frequency [Hz]")
    axes.figure.colorbar(mesh, ax=axes, label=f"power spectral density [dB re {_per_hertz(unit)}]")
    return axes


def flow(found: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot information flow as a graph: an arrow per direction found, wider and darker for more flow.

    Parameters
    ----------
    found
        From :func:`chronoflux.analysis.rooms.information_flow`.
    """
    axes = _axes(ax)
    names = sorted({str(name) for pair in found.index for name in pair})
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    places: Floats = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    arrows = found[found["found"]]
    most = float(arrows["te_nats"].max()) if len(arrows) else 1.0
    small = min(1.0, 6 / len(names))  # with more than six nodes, symbols shrink in proportion
    for pair, te in zip(arrows.index, arrows["te_nats"], strict=True):
        source, target = (places[names.index(str(name))] for name in pair)
        share = float(te) / most
        axes.annotate(
            "",
            xy=(target[0], target[1]),
            xytext=(source[0], source[1]),
            arrowprops={
                "arrowstyle": "-|>",
                "connectionstyle": "arc3,rad=0.12",
                "mutation_scale": 8 + 8 * small,
                "shrinkA": 6 + 8 * small,
                "shrinkB": 6 + 8 * small,
                "lw": 0.6 + (0.9 + 1.5 * small) * share,
                "color": COLOURS[0],
                "alpha": 0.35 + 0.65 * share,
            },
        )
    axes.scatter(places[:, 0], places[:, 1], s=50 + 210 * small**2, color="w", edgecolor="0.2", zorder=3)
    for name, (x, y) in zip(names, 1.2 * places, strict=True):
        axes.text(x, y, _text(name), ha="center", va="center", fontsize=8)
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.4, 1.4), aspect="equal", xticks=[], yticks=[])
    words = f"widest arrow: {most:.2g} nats a step" if len(arrows) else "no direction beyond chance"
    axes.set_title(f"{len(arrows)} of {len(found)} directions; {words}", fontsize=9)
    return axes


def _text(name: object) -> str:
    """Escape a name for matplotlib: a dollar would start a formula, a leading underscore hide the label."""
    text = str(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4), layout="constrained")[1]


def _map() -> Colormap:
    from matplotlib import colormaps

    return colormaps["cividis"]


def _styles() -> cycle[tuple[str, Any]]:
    return cycle(list(zip(COLOURS * len(STROKES), STROKES * len(COLOURS), strict=True)))


def _time_unit(longest: float) -> tuple[float, str]:
    """Return a readable unit of time for durations up to `longest` s: its length in s, and its symbol."""
    if longest > 3 * 3600:
        return 3600.0, "h"
    return (60.0, "min") if longest > 600 else (1.0, "s")


def _per_hertz(unit: str) -> str:
    return "1/Hz" if unit == "1" else f"{unit}²/Hz"
