"""Randomisation test of the schedule `night`: treated blocks against the quiet blocks of the same round.

The schedule draws the order of the blocks of each round at random. If a treatment has no effect at all, its
blocks are exchangeable with the quiet blocks of the same round, so the observed difference is one draw from
the differences under all permutations of their labels. This gives an exact p for any kind of series (Fisher,
The Design of Experiments, 1935; Imbens and Rubin, Causal Inference, 2015, chapters 5 and 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.response import Epochs, superpose
from chronoflux.analysis.result import Result
from chronoflux.analysis.tables import of_room, side_by_side
from chronoflux.analysis.validation import Floats, fraction, whole
from chronoflux.errors import ParameterError
from chronoflux.model.night import ACTIVE, BLOCK, ROUND, BlockKind, blocks_between

if TYPE_CHECKING:
    import pandas as pd

KINDS: dict[str, tuple[BlockKind, ...]] = {
    "intent": ("weak", "medium", "strong"),
    "lion_gate": ("gate",),
    "pacemaker_flip": ("flip",),
    **{kind: (kind,) for kind in dict.fromkeys(ROUND) if kind != "quiet"},
}
"""Kinds of block that are compared with quiet ones, by type of event or by their own name."""
DIMENSIONLESS = ("H", "H_local", "H_mesh")
LEAST = 0.8
"""Least share of a block's moments that must be on record."""
SOURCE = (
    "randomisation test: Fisher, The Design of Experiments, 1935; Imbens and Rubin, Causal Inference, 2015"
)


class _Round(NamedTuple):
    """The exchangeable blocks of a round: courses (blocks, moments), and a mask of the treated ones."""

    courses: Floats
    treated: NDArray[np.bool_]


def matched_epochs(
    frame: pd.DataFrame,
    kind: str,
    column: str = "H",
    *,
    step: float = 1.0,
    room: str | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    count: int = 9999,
    seed: int = 0,
) -> Epochs:
    """Compare a metric in treated blocks with that in the quiet blocks of the same rounds.

    The metric is averaged over the nodes on record. The ``courses`` are one per round: the mean course of the
    blocks of this kind minus the mean course of the quiet blocks.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`.
    kind
        ``"intent"``, ``"lion_gate"``, ``"pacemaker_flip"``; or one kind of block: ``"weak"``, ``"medium"``,
        ``"strong"``, ``"gate"``, ``"flip"``.
    column
        The metric.
    step
        Distance of the moments, s.
    room
        The room; may be left out when there is only one.
    level
        Level of the bootstrap band.
    resamples
        Number of bootstrap resamples.
    count
        Number of permutations drawn if there are more than that; otherwise each permutation is used once.
    seed
        Seed of the bootstrap and of the permutations.

    Returns
    -------
    Epochs
        ``lag`` runs from the block's beginning over its 150 s. ``response``: the mean difference over the
        120 s of treatment, with its exact p, which is the primary one. ``carry_over``: the same over the 30 s
        of rest that follow: the part of the effect that carries over into the next block.

    Raises
    ------
    ParameterError
        When fewer than three rounds are on record with such a block and a quiet one, or the room has no name.
    """
    if kind not in KINDS:
        raise ParameterError("kind", kind, f"with control='matched' one of {', '.join(KINDS)}")
    fraction("level", level), whole("count", count, 19)
    lag = step * np.arange(math.floor(BLOCK / step + 1e-9), dtype=np.float64)
    rounds = _rounds(frame, KINDS[kind], column, lag, step, room)
    if not rounds:
        allowed = "records of the schedule night over three rounds of 20 minutes or more"
        raise ParameterError("frame", "no round with such a block and a quiet one on record", allowed)
    courses = np.array([_difference(one.courses, one.treated) for one in rounds])
    if len(rounds) < 3:  # a mean course needs three
        allowed = f"at least 3 rounds of {BLOCK * len(ROUND) / 60:.0f} minutes"
        raise ParameterError("rounds", len(rounds), allowed)
    found = superpose(lag, courses, baseline=False, level=level, resamples=resamples, seed=seed)
    active, rest = lag < ACTIVE, lag >= ACTIVE
    rng = np.random.default_rng(seed)
    unit = "1" if column in DIMENSIONLESS else f"unit of {column}"
    response = _judged(f"{column} in blocks with {kind}", rounds, active, count, rng)
    carry_over = _judged(f"{column} in the rest after them", rounds, rest, count, rng)
    return found._replace(response=response.replace(unit=unit), carry_over=carry_over.replace(unit=unit))


def _rounds(
    frame: pd.DataFrame,
    treated: Sequence[BlockKind],
    column: str,
    lag: Floats,
    step: float,
    room: str | None,
) -> list[_Round]:
    """Return the rounds that have both treated and quiet blocks on record."""
    chosen = of_room(frame, room)
    names = chosen["room"].dropna().unique()
    if len(names) != 1:
        raise ParameterError("room", list(names), "the name of the room, from which the order was drawn")
    table = side_by_side(frame, column, step=step, room=room)
    values = table.to_numpy(np.float64)
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(counts > 0, sums / counts, np.nan)
    start = 1000 * table.attrs["start"].timestamp()
    found: dict[int, list[tuple[bool, Floats]]] = {}
    for block in blocks_between(str(names[0]), start, start + 1000 * step * len(table)):
        if block.kind != "quiet" and block.kind not in treated:
            continue
        first = round((block.at - start) / (1000 * step))
        course = mean[max(first, 0) : first + len(lag)]
        if len(course) < len(lag) or np.isfinite(course).mean() < LEAST:
            continue
        filled = np.interp(
            np.arange(len(lag)), np.flatnonzero(np.isfinite(course)), course[np.isfinite(course)]
        )
        found.setdefault(block.number // len(ROUND), []).append((block.kind != "quiet", filled))
    rounds = []
    for blocks in found.values():
        which = np.array([one for one, _ in blocks])
        if which.any() and not which.all():
            rounds.append(_Round(np.array([course for _, course in blocks]), which))
    return rounds


def _difference(values: Floats, treated: NDArray[np.bool_]) -> Floats:
    found: Floats = values[treated].mean(axis=0) - values[~treated].mean(axis=0)
    return found


def _judged(
    name: str, rounds: Sequence[_Round], where: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> Result:
    """Return the mean difference over the moments `where`, and p: the share of permutations as extreme."""
    means = [one.courses[:, where].mean(axis=1) for one in rounds]
    each = np.array([float(_difference(m, one.treated)) for m, one in zip(means, rounds, strict=True)])
    value, n = float(each.mean()), len(rounds)
    ways = [math.comb(len(one.treated), int(one.treated.sum())) for one in rounds]
    total = math.prod(ways)
    if total <= count:
        null = np.array(
            [np.mean(one) for one in product(*(_every(m, r) for m, r in zip(means, rounds, strict=True)))]
        )
        p = float(np.mean(np.abs(null) >= abs(value) - 1e-12))
    else:
        drawn = [_drawn(m, one, count, rng) for m, one in zip(means, rounds, strict=True)]
        null = np.mean(drawn, axis=0)
        p = (1 + int(np.count_nonzero(np.abs(null) >= abs(value) - 1e-12))) / (count + 1)
    enough = 1 / total <= 0.05
    verdict = "more than chance" if p <= 0.05 else "chance may give as much"
    few = f"{n} rounds are too few to tell it from chance"
    return Result(
        name=name,
        value=value,
        unit="unit of x",
        n=n,
        uncertainty=float(each.std(ddof=1)) / math.sqrt(n) if n > 1 else None,
        p=p if enough else None,
        surrogates=min(total, count) if enough else 0,
        reading=verdict if enough else few,
        source=SOURCE,
    )


def _every(values: Floats, one: _Round) -> list[float]:
    """Return the difference for every choice of the treated blocks of a round."""
    found = []
    for chosen in combinations(range(len(values)), int(one.treated.sum())):
        treated = np.zeros(len(values), np.bool_)
        treated[list(chosen)] = True
        found.append(float(_difference(values, treated)))
    return found


def _drawn(values: Floats, one: _Round, count: int, rng: np.random.Generator) -> Floats:
    """Return the difference for `count` random choices of the treated blocks of a round."""
    treated = rng.permuted(np.tile(one.treated, (count, 1)), axis=1)
    k = int(one.treated.sum())
    sums = treated @ values
    found: Floats = sums / k - (values.sum() - sums) / (len(values) - k)
    return found
