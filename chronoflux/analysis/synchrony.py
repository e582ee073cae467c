"""Synchrony between phases."""

from __future__ import annotations

import cmath
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.errors import ParameterError


class Locking(NamedTuple):
    """How two phases hold together: `plv` in [0, 1], mean `difference` in rad, from `n` samples."""

    plv: float
    difference: float
    n: int


def phase_locking(differences: ArrayLike) -> Locking:
    """The phase-locking value and the mean phase difference.

    ``PLV = |⟨exp(iΔφ)⟩|``, the mean difference is the angle of that mean (Lachaux and others, "Measuring
    phase synchrony in brain signals", Human Brain Mapping 8, 1999). Independent phases give a PLV of
    about ``√(π/4n)``, not 0.

    Parameters
    ----------
    differences
        Phase differences in rad, shape (n,); NaN (no value at that moment) is left out and not counted.

    Raises
    ------
    ParameterError
        When fewer than two finite differences are left.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise ParameterError("differences", f"{len(values)} finite values", "at least 2")
    mean = complex(np.exp(1j * values).mean())
    return Locking(abs(mean), cmath.phase(mean), len(values))
