"""The blocks of a night in a report: the primary test of events, exact for any kind of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chronoflux.analysis.experiment import SOURCE, matched_epochs
from chronoflux.analysis.study import Finding, Refusal, Section
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.analysis.result import Result

KINDS = {"intent": "intents", "lion_gate": "the lion gate open for a minute", "pacemaker_flip": "flips"}
"""Descriptions of the blocks that are compared with quiet blocks."""


def compare_blocks(frame: pd.DataFrame, section: Section, *, seed: int = 0) -> None:
    """Report for each kind of event how H differs in its blocks, and in the rest after them (carry-over)."""
    import pandas as pd

    rows = []
    for kind, words in KINDS.items():
        try:
            found = matched_epochs(frame, kind, seed=seed)
        except ParameterError as error:
            section.refuse(f"blocks with {words}", error)
            continue
        response, carried = found.response, found.carry_over
        if response is None or carried is None:
            continue
        rounds = len(found.courses)
        section.lines.append(
            f"primary: in blocks with {words} H is {_by(response)} than in the quiet blocks of the same "
            f"{rounds} rounds; in the 30 s of rest after them it is {_by(carried)} (carry-over)"
        )
        if response.p is None:
            section.refused.append(Refusal(f"blocks with {words}", response.reading))
        else:
            answer = f"in blocks with {words} H is {_by(response)} than in quiet ones"
            section.findings.append(Finding(f"blocks with {words}", answer, response.p, primary=True))
        rows.append(
            {
                "blocks with": words,
                "rounds": rounds,
                "difference of H": response.value,
                "standard error": response.uncertainty,
                "exact p": response.p,
                "carry-over": carried.value,
                "p of the carry-over": carried.p,
            }
        )
    if rows:
        section.tables["kinds of block"] = pd.DataFrame(rows).round(5)
        section.sources.append(SOURCE)


def _by(result: Result) -> str:
    """Describe a difference, with its standard error and p-value."""
    way = "higher" if result.value > 0 else "lower"
    error = "" if result.uncertainty is None else f" ± {result.uncertainty:.2g}"
    p = result.reading if result.p is None else f"exact p = {result.p:.2g}"
    return f"{abs(result.value):.2g}{error} {way} ({p})"
