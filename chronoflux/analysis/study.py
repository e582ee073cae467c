"""The parts of a report: the records that are studied, and the sections that hold the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from chronoflux.analysis.words import in_words
from chronoflux.errors import ChronofluxError
from chronoflux.model.events import EVENTS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Study:
    """The records of one room, and the options of their analysis.

    ``surrogates`` and ``seed``: number of surrogates, and the seed they are drawn from.
    """

    frame: pd.DataFrame
    surrogates: int = 199
    seed: int = 0
    ksg: int = 3
    """Number of directions found that are measured again by the KSG estimator, which is slow."""
    night: bool = False
    """Whether the runs followed the schedule `night`, so that events are tested by its randomisation."""

    @property
    def kinds(self) -> list[str]:
        """The types of own and remote events in the records."""
        present = set(self.frame["type"].unique())
        return [kind for event in EVENTS for kind in (event.name, f"remote_{event.name}") if kind in present]


class Refusal(NamedTuple):
    """A question that could not be answered, and the reason."""

    what: str
    why: str


class Finding(NamedTuple):
    """The answer to one question, with its p-value.

    ``primary``: whether the question was fixed before the data were seen, by the design of the experiment.
    """

    question: str
    answer: str
    p: float
    primary: bool = False


@dataclass
class Section:
    """One part of the report: lines of text, figures, tables, and the sources of the methods.

    ``findings``: questions answered with a p-value. ``refused``: questions not answered, with reasons.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Tables, by the name of their rows."""
    sources: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, what: str, error: ChronofluxError) -> None:
        """Note that `what` could not be measured, and why."""
        why = in_words(error)
        self.lines.append(f"{what}: not measured ({why})" if what else f"not measured: {why}")
        self.refused.append(Refusal(what or self.question, in_words(error, named=False)))

    @property
    def question(self) -> str:
        """The title in the form used within a sentence."""
        if self.title.startswith("Do "):
            return "whether " + self.title.removeprefix("Do ").removesuffix("?")
        return self.title[:1].lower() + self.title[1:]
