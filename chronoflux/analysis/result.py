"""`Result`, the value that a measure returns: with unit, uncertainty, sample size and a line of text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """One measured value. ``float(result)`` is the value alone; printing the result shows all fields.

    Parameters
    ----------
    name
        What was measured.
    value, unit
        The number and its unit; a dimensionless one has the unit ``"1"``.
    n, masked
        Number of samples used, and number of samples left out because they were missing.
    uncertainty
        Standard error, in the same unit; None when it was not requested.
    p, surrogates
        p-value, None when it was not requested, and the number of surrogates it is based on, 0 for a p from a
        formula.
    reading
        Interpretation in one line.
    undecided
        Whether the value decides nothing, whatever its p.
    source
        Reference for the formula.

    Examples
    --------
    >>> from chronoflux.analysis import Result
    >>> delay = Result(name="delay", value=0.25, unit="s", n=120, uncertainty=0.02)
    >>> delay
    delay = 0.25 ± 0.02 s (n = 120)
    >>> float(delay)
    0.25
    """

    name: str
    value: float
    unit: str
    n: int
    masked: int = 0
    uncertainty: float | None = None
    p: float | None = None
    surrogates: int = 0
    reading: str = ""
    source: str = ""
    undecided: bool = False

    def __float__(self) -> float:
        return self.value

    def replace(self, **changes: Any) -> Result:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def in_bits(self) -> Result:
        """Convert an amount of information from nats to bits (1 bit = ln 2 nats).

        Raises
        ------
        ValueError
            When the unit is not nats.
        """
        if self.unit != "nats":
            raise ValueError(f"{self.name} is measured in {self.unit}, not in nats")
        nat = 1.4426950408889634
        spread = None if self.uncertainty is None else self.uncertainty * nat
        told, bits = (max(value, 0.0) for value in (self.value, self.value * nat))
        reading = self.reading.replace(f"{told:.2g} nats", f"{bits:.2g} bits")
        return replace(self, value=self.value * nat, uncertainty=spread, unit="bits", reading=reading)

    def __repr__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        spread = "" if self.uncertainty is None else f" ± {self.uncertainty:.2g}"
        facts = [f"n = {self.n:,}"]
        if self.masked:
            facts.append(f"{self.masked:,} masked")
        if self.p is not None:
            by = f" by {self.surrogates:,} surrogates" if self.surrogates else ""
            facts.append(f"p = {self.p:.3g}{by}")
        reading = f": {self.reading}" if self.reading else ""
        return f"{self.name} = {self.value:.4g}{spread}{unit} ({', '.join(facts)}){reading}"

    def to_series(self) -> pd.Series[Any]:
        """Return a pandas Series of all fields, named after the measure."""
        import pandas as pd

        facts = ("value", "unit", "uncertainty", "n", "masked", "p", "surrogates", "reading", "source")
        return pd.Series({fact: getattr(self, fact) for fact in facts}, name=self.name, dtype=object)
