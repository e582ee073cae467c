"""Natural frequencies: equal, drawn from a distribution, or given as an array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.errors import ParameterError
from chronoflux.model.engine import Floats
from chronoflux.model.params import Params
from chronoflux.model.state import column

HIGHEST = 1e12
"""Largest given frequency accepted, Hz: with larger ones, a phase has no significant digits."""


@dataclass(frozen=True)
class Frequencies:
    """The natural frequencies of a swarm in Hz, float64 (n,).

    Either absolute (``given``), or drawn as differences from ``Params.frequency``.
    """

    hertz: Floats
    given: bool

    @classmethod
    def read(cls, values: ArrayLike, n: int) -> Self:
        """Frequencies given as `n` real numbers, Hz; ParameterError when they are not."""
        hertz = column("frequencies", values, n)
        if not np.all(np.abs(hertz) <= HIGHEST):
            raise ParameterError(
                "frequencies", "array with values beyond the bound", f"within ±{HIGHEST:g} Hz"
            )
        return cls(hertz, given=True)

    @classmethod
    def draw(cls, params: Params, rng: np.random.Generator) -> Self:
        """Differences drawn as in `params`: ``frequency_spread`` is the standard deviation or half-width."""
        n, spread = params.oscillators, params.frequency_spread
        if spread == 0:
            draws = np.zeros(n)
        elif params.frequency_distribution == "normal":
            draws = rng.standard_normal(n)
        elif params.frequency_distribution == "lorentz":
            draws = rng.standard_cauchy(n)
        else:
            draws = rng.uniform(-1.0, 1.0, n)
        return cls(spread * draws, given=False)

    def omega(self, params: Params, portal: bool) -> Floats:
        """ω in rad/s, float64 (n,). Portal mode shifts by ``portal_frequency − frequency``."""
        if self.given:
            shift = params.portal_frequency - params.frequency if portal else 0.0
        else:
            shift = params.portal_frequency if portal else params.frequency
        return 2 * math.pi * (self.hertz + shift)
