"""Spatial patterns of the phases: the correlation length, and vortices.

Positions are arbitrary. Both measures first sum ``e^{iφ}`` on the grid of the field picture. They take some
milliseconds for up to 10⁵ oscillators. All functions share these arguments:

- ``x``, ``y``: positions, float64 (n,), px, in ``[0, W) × [0, H)``;
- ``phi``: phases, float64 (n,), rad;
- ``world``: tuple ``(W, H)``, px;
- ``plane``: True for plain distances, False for those on the torus.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import Floats, World

PICTURE, GRAIN = (800, 600), 4
"""Largest picture of a world, in screen pixels; and the screen pixels, in each direction, per pixel of the
field."""
DESERT = 1e-3
"""Where the local density is below this fraction of the mean, the phase is undefined."""
Charges = NDArray[np.int8]


class Vortices(NamedTuple):
    """Numbers of points with winding number +1 and −1 of the phase, with x to the right and y downward."""

    positive: int
    negative: int


def field_grid(world: World) -> tuple[int, int]:
    """Columns and rows of the field picture's grid for this world."""
    scale = min(PICTURE[0] / world[0], PICTURE[1] / world[1])
    return max(round(world[0] * scale) // GRAIN, 1), max(round(world[1] * scale) // GRAIN, 1)


def correlation_length(x: Floats, y: Floats, phi: Floats, world: World, plane: bool) -> float:
    """Correlation length of the phases, px.

    ``C(r) = ⟨cos(φᵢ − φⱼ)⟩`` over the pairs at distance r falls from 1 to ``H²``, its value for any two
    oscillators; the length is where ``(C(r) − H²)/(1 − H²)`` first falls to 1/e (the connected correlation of
    Cavagna and others, "Scale-free correlations in starling flocks", PNAS 107, 11865, 2010; a length by
    the fall of C to a fixed part as in Yurke and others, "Coarsening dynamics of the XY model", Phys. Rev.
    E 47, 1525, 1993). See :func:`correlation`.

    A plane wave of wavenumber q has ``C = J₀(qr)`` and the length ``1.752/q``. Independent phases give about
    a third of the mean distance ``√(WH/n)``, the finest resolvable length. NaN where all phases are equal or
    C does not fall that far.

    Returns
    -------
    float
        px.
    """
    r, C = correlation(x, y, phi, world, plane)
    mean = abs(np.exp(1j * phi).mean()) ** 2
    if len(C) < 2 or 1 - mean < 1e-9:
        return math.nan
    fall = (C - mean) / (1 - mean)
    below = np.flatnonzero(fall <= 1 / math.e)
    if not len(below):
        return math.nan
    i = below[0]
    part = (fall[i - 1] - 1 / math.e) / (fall[i - 1] - fall[i])
    return float(r[i - 1] + part * (r[i] - r[i - 1]))


def correlation(x: Floats, y: Floats, phi: Floats, world: World, plane: bool) -> tuple[Floats, Floats]:
    """Pair correlation ``C(r) = ⟨cos(φᵢ − φⱼ)⟩`` over the pairs of oscillators about r apart.

    Pairs are counted by cells. With S the sums of ``e^{iφ}`` on the grid and N the numbers of oscillators, C
    is the ratio of the autocorrelations of S and N over all shifts of about the same length, both computed by
    Fourier transform (Wiener and Khinchin): periodic on the torus, zero-padded in the plane. Bins are half
    the mean distance ``√(WH/n)`` wide, at least one cell. Bins without pairs are omitted.

    Returns
    -------
    r : ndarray
        Mean distance of the pairs in each bin, float64 (m,), px: from 0 to half the world's smaller side.
    C : ndarray
        float64 (m,); 1 at r = 0.
    """
    columns, rows = field_grid(world)
    S, N = _on_grid(x, y, phi, world, columns, rows)
    shape = (2 * rows, 2 * columns) if plane else (rows, columns)
    agree = np.fft.irfft2(_power(S.real, shape) + _power(S.imag, shape), shape)
    pairs = np.fft.irfft2(_power(N, shape), shape)
    agree[0, 0] -= len(phi)  # pairs of an oscillator with itself
    pairs[0, 0] -= len(phi)
    dx = np.fft.fftfreq(shape[1], 1 / shape[1]) * (world[0] / columns)
    dy = np.fft.fftfreq(shape[0], 1 / shape[0]) * (world[1] / rows)
    distance = np.hypot(dx, dy[:, None])
    wide = max(world[0] / columns, world[1] / rows, math.sqrt(world[0] * world[1] / len(phi)) / 2)
    bins = max(1, int(min(world) / 2 / wide))
    where = np.rint(distance / wide).astype(np.int64).ravel()
    inside = (where < bins) & (np.rint(pairs.ravel()) > 0)
    counted = np.bincount(where[inside], pairs.ravel()[inside], bins)
    summed = np.bincount(where[inside], agree.ravel()[inside], bins)
    at = np.bincount(where[inside], (pairs * distance).ravel()[inside], bins)
    some = counted > 0
    some[0] = False  # closer than the grid resolves
    r, C = at[some] / counted[some], summed[some] / counted[some]
    return np.concatenate(([0.0], r)), np.concatenate(([1.0], C))


def vortices(x: Floats, y: Floats, phi: Floats, world: World, plane: bool) -> Vortices:
    """Numbers of vortices and antivortices; see :func:`charges`.

    Independent phases also have vortices, the zeros of a smoothed random field: about ``n/4π`` of both signs
    together (M. V. Berry and M. R. Dennis, Proc. R. Soc. A 456, 2059, 2000), if the mean distance is more
    than a pixel. So does a smooth wave shorter than about seven mean distances, because it is undersampled.
    """
    charge = charges(x, y, phi, world, plane)
    return Vortices(int(np.sum(charge > 0)), int(np.sum(charge < 0)))


def charges(x: Floats, y: Floats, phi: Floats, world: World, plane: bool) -> Charges:
    """Winding number of the phase around each cell between four points of the field picture's grid.

    int8 (rows, columns): 1 for a vortex, −1 for an antivortex, 0 otherwise; cell (row, column) lies between
    pixel (row, column) and the next ones. The phase at a pixel is that of the sum of ``e^{iφ}`` weighted by
    a Gaussian as wide as the mean distance ``√(WH/n)`` (at least a pixel); around each cell, the four
    differences, each taken in ±π, sum to 2π times the charge (the usual definition on a lattice:
    J. Tobochnik and G. V. Chester, Phys. Rev. B 20, 3761, 1979). On the torus, cells
    continue across the seam and the charges sum to 0; in the plane, the last row and column are 0. Where the
    local density is below a thousandth of the mean, no vortex is counted.
    """
    columns, rows = field_grid(world)
    S, N = _on_grid(x, y, phi, world, columns, rows)
    width = max(math.sqrt(world[0] * world[1] / len(phi)), world[0] / columns, world[1] / rows)
    down = _blur(rows, width / (world[1] / rows), plane)
    across = _blur(columns, width / (world[0] / columns), plane)
    near = down @ N @ across.T
    angle = np.angle(down @ S @ across.T)
    right, below = (_turn(np.roll(angle, -1, axis) - angle) for axis in (1, 0))
    winding = right + np.roll(below, -1, 1) - np.roll(right, -1, 0) - below
    peopled = near > DESERT * len(phi) / (rows * columns)
    for axis in (0, 1):
        peopled &= np.roll(peopled, -1, axis)
    if plane:
        peopled[-1, :] = peopled[:, -1] = False
    charge: Charges = (np.rint(winding / (2 * math.pi)) * peopled).astype(np.int8)
    return charge


def _on_grid(
    x: Floats, y: Floats, phi: Floats, world: World, columns: int, rows: int
) -> tuple[NDArray[np.complex128], Floats]:
    """Sums of ``e^{iφ}`` and numbers of oscillators in each pixel: complex128 and float64 (rows, columns)."""
    column = np.minimum((x * (columns / world[0])).astype(np.int64), columns - 1)
    row = np.minimum((y * (rows / world[1])).astype(np.int64), rows - 1)
    pixel, size = row * columns + column, rows * columns
    S = np.bincount(pixel, np.cos(phi), size) + 1j * np.bincount(pixel, np.sin(phi), size)
    N = np.bincount(pixel, minlength=size).astype(np.float64)
    return S.reshape(rows, columns), N.reshape(rows, columns)


def _power(values: Floats, shape: tuple[int, int]) -> Floats:
    power: Floats = np.abs(np.fft.rfft2(values, shape)) ** 2
    return power


def _blur(count: int, width: float, plane: bool) -> Floats:
    """The matrix (count, count) of a Gaussian blur along one axis, `width` in pixels, with sum 1.

    Unlike a product of Fourier transforms, sums of positive numbers keep small values exact.
    """
    distance = np.abs(np.arange(count)[:, None] - np.arange(count))
    if not plane:
        distance = np.minimum(distance, count - distance)
    weight: Floats = np.exp(-0.5 * (distance / width) ** 2)
    return weight / weight[0].sum() if not plane else weight / (width * math.sqrt(2 * math.pi))


def _turn(difference: Floats) -> Floats:
    """Differences of angles, in ±π."""
    turn: Floats = difference - 2 * math.pi * np.rint(difference / (2 * math.pi))
    return turn
