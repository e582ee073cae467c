"""What a report is made of: the records that are studied, and the sections that are filled with answers."""

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
    """What is looked at: the records of one room, and how carefully."""

    frame: pd.DataFrame
    surrogates: int = 199
    seed: int = 0
    ksg: int = 3
    """So many of the directions found are measured once more by the KSG estimator, which is slow."""
    night: bool = False
    """Whether the runs followed the schedule `night`, so that events are judged by its randomisation."""

    @property
    def kinds(self) -> list[str]:
        """The types of own and remote events on record."""
        present = set(self.frame["type"].unique())
        return [kind for event in EVENTS for kind in (event.name, f"remote_{event.name}") if kind in present]


class Refusal(NamedTuple):
    """What could not be asked, and why not."""

    what: str
    why: str


class Finding(NamedTuple):
    """The answer to one question: what was asked, what came out, and its p.

    ``primary``: fixed before the data were seen, by the design of the experiment.
    """

    question: str
    answer: str
    p: float
    primary: bool = False


@dataclass
class Section:
    """One part of the report: lines to read, pictures, tables, and the sources of what was used.

    ``findings``: the questions that were answered with a p. ``refused``: what could not be asked, and why.
    """

    title: str
    lines: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By what their rows are."""
    sources: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, what: str, error: ChronofluxError) -> None:
        """Say what could not be asked, and why."""
        why = in_words(error)
        self.lines.append(f"{what}: not measured ({why})" if what else f"not measured: {why}")
        self.refused.append(Refusal(what or self.question, in_words(error, named=False)))

    @property
    def question(self) -> str:
        """The title within a sentence."""
        if self.title.startswith("Do "):
            return "whether " + self.title.removeprefix("Do ").removesuffix("?")
        return self.title[:1].lower() + self.title[1:]
