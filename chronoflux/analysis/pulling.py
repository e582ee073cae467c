"""Pulls: whether a node's mean field turns towards those of other nodes, as coupling predicts."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chronoflux.analysis.rooms import quick_length, turns
from chronoflux.analysis.significance import maximum_statistic
from chronoflux.analysis.tables import PHASE, preparation, settled, side_by_side, together
from chronoflux.analysis.validation import Floats

if TYPE_CHECKING:
    import pandas as pd

Complex = NDArray[np.complex128]


def pulls(
    frame: pd.DataFrame,
    *,
    count: int = 199,
    level: float = 0.05,
    step: float = 1.0,
    room: str | None = None,
    seed: int = 0,
    stationary: bool = False,
) -> pd.DataFrame:
    """Measure for every two nodes, in both directions, how much one turns towards the other.

    Coupling turns the phase of a mean field ``H_i e^{iψ_i}`` in proportion to ``H_j sin(ψ_j − ψ_i)``.
    Therefore the measure is the correlation of this pull with the fluctuations of the frequency times the
    order, both at the middle of each step (a linear form of the phase model of Rosenblum and Pikovsky,
    Physical Review E 64, 045202, 2001). It uses the direction of the effect, and so has more power than
    measures of any dependence.

    In each of `count` surrogates every field is circularly shifted by its own number of steps, in the frame
    that rotates with its mean frequency. The null hypothesis is that the nodes are independent of each other
    and the fluctuations of their frequencies are stationary; then the probability of any finding is `level`,
    by the maximum statistic. Events that affect all nodes violate it, and so do fields whose phases hardly
    vary in their own frames, where all shifts are alike (they are refused when nothing moves). The test does
    not distinguish the two directions of a pair, or nodes with a common third node, from each other.

    Parameters
    ----------
    frame
        From :func:`chronoflux.load`; needs psi, omega and H.
    count, seed
        Number of surrogates, and their seed.
    level
        Significance level for all directions together.
    step
        Distance of the moments, s; well below the beat period of any two nodes.
    room
        The room; may be left out when there is only one.
    stationary
        True: the fluctuations are known to be stationary, and are not tested.

    Returns
    -------
    DataFrame
        Index ``source``, ``target``; ``pull``, the correlation (above 0 where coupling attracts); ``p`` (for
        all directions together); ``found`` (p ≤ `level`). ``attrs`` are those of
        :func:`~chronoflux.analysis.rooms.information_flow`.

    Raises
    ------
    ParameterError
        As of :func:`~chronoflux.analysis.rooms.information_flow`; also when a room is locked throughout.

    Examples
    --------
    In use, the frame comes from :func:`chronoflux.load`. Here, node b turns towards node a, which wanders.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux import analysis
    >>> t = np.arange(400.0)
    >>> def records(node, H, psi):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H, psi=psi,
    ...     ))
    >>> rng = np.random.default_rng(1)
    >>> psi = np.zeros((400, 2))
    >>> for k in range(1, 400):
    ...     pull = np.array([0.0, 0.5 * np.sin(psi[k - 1, 0] - psi[k - 1, 1])])
    ...     psi[k] = psi[k - 1] + pull + 0.3 * rng.normal(size=2)
    >>> frame = pd.concat([records("a", 0.8, psi[:, 0]), records("b", 0.8, psi[:, 1])])
    >>> analysis.pulls(frame)["found"]
    source  target
    a       b          True
    b       a         False
    Name: found, dtype: bool
    """
    import pandas as pd

    psi = side_by_side(frame, "psi", step=step, room=room)
    order = side_by_side(frame, "H", step=step, room=room).reindex(index=psi.index, columns=psi.columns)
    facts = psi.attrs
    psi = psi.where(order.notna())
    psi.attrs = facts
    phases = together(psi)
    fields = order.loc[phases.index, phases.columns].to_numpy() * np.exp(1j * phases.to_numpy())
    turning, middle, rate = _halfway(fields)
    moved = pd.DataFrame(turning, index=phases.index[:-1], columns=phases.columns)
    moved.attrs = phases.attrs | {"column": PHASE}
    stretch = settled(moved, stationary=stationary)
    n, nodes = quick_length(len(stretch)), list(stretch.columns)
    begin = len(moved) - len(stretch)
    turning, middle = turning[begin : begin + n], middle[begin : begin + n]
    turned = turns(n, len(nodes), count, np.random.default_rng(seed))
    index = list(permutations(range(len(nodes)), 2))
    values, null = np.empty(len(index)), np.empty((count, len(index)))
    for k, (a, b) in enumerate(index):
        around = _pull_around(turning[:, b], middle[:, b], middle[:, a], rate[a])
        values[k], null[:, k] = around[0], around[(turned[:, a] - turned[:, b]) % n]
    family = maximum_statistic(values, null, level=level)
    names = [(nodes[a], nodes[b]) for a, b in index]
    found = pd.DataFrame(
        {"pull": values, "p": family.p, "found": family.found},
        index=pd.MultiIndex.from_tuples(names, names=["source", "target"]),
    )
    found.attrs = {"n": n, "surrogates": count, "level": level, **preparation(stretch)}
    return found


def _halfway(fields: Complex) -> tuple[Floats, Complex, Floats]:
    """Return order times phase increment minus its mean, the fields at mid-step, and the mean increments.

    `fields` is (n, d); the results are (n − 1, d), (n − 1, d), and (d,) in rad per step.
    """
    step = np.exp(1j * np.diff(np.angle(fields), axis=0))
    rate = np.angle(step.mean(axis=0))
    away = np.angle(step * np.exp(-1j * rate))
    middle = (fields[:-1] * np.exp(0.5j * rate) + fields[1:] * np.exp(-0.5j * rate)) / 2
    return np.abs(middle) * (away - away.mean(axis=0)), middle, rate


def _pull_around(turning: Floats, target: Complex, source: Complex, rate: float) -> Floats:
    """Return the correlation of a target's turning with the pull of a shifted source, float64 (n,).

    The source is circularly shifted by 0, 1, … n − 1 steps in its own rotating frame, by Fourier transforms.
    """
    n = len(turning)
    frame = np.exp(1j * rate * np.arange(n))
    size = np.abs(target)
    towards = np.divide(target, size, out=np.ones_like(target), where=size > 0).conj() * frame
    moved = turning - turning.mean()
    own = source / frame

    def along(fixed: Complex, turned: Complex) -> Complex:
        """Return Σ_t fixed[t] · turned[t − s] for each s."""
        return np.asarray(np.fft.ifft(np.fft.fft(fixed) * np.fft.fft(turned.conj()).conj()), np.complex128)

    across = along(moved * towards, own).imag
    mean = along(towards, own).imag / n
    squares = (float(np.square(np.abs(own)).sum()) - along(towards**2, own**2).real) / 2
    spread = np.maximum(squares - n * mean**2, 1e-12 * float(np.square(np.abs(own)).sum()))
    found: Floats = across / np.sqrt(float(moved @ moved) * spread)
    return found
