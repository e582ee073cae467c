"""Faults found while reading logs: counted and reported as warnings, or raised in strict mode."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from chronoflux.errors import LogError

KINDS = {
    "torn": ("torn line", "torn lines"),
    "bad": ("bad line", "bad lines"),
    "segments": ("unreadable segment", "unreadable segments"),
    "gaps": ("gap in seq", "gaps in seq"),
    "repeats": ("repeated seq", "repeated seqs"),
    "clock_steps": ("clock step", "clock steps"),
    "times": ("record dated before 2000 or after 2100", "records dated before 2000 or after 2100"),
    "conflicts": ("seq whose records differ between copies", "seqs whose records differ between copies"),
    "unreadable": ("unreadable entry", "unreadable entries"),
    "dropped": ("record the writer had to drop", "records the writer had to drop"),
    "manifests": ("unreadable manifest", "unreadable manifests"),
    "unknown_schema": ("log of an unknown schema version", "logs of an unknown schema version"),
}
"""Kinds of faults, each with its singular and plural name for messages."""
EXAMPLES = 20
"""Number of faults that are described one by one."""


class Report:
    """Count faults; with `strict`, raise the first one as a LogError instead."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.runs = self.files = self.records = self.missing = self.superseded = 0
        self.copies: list[str] = []
        """Copies of runs that were already read, in words. A copy is not a fault."""
        self._counts: Counter[str] = Counter()
        self._examples: list[tuple[str, LogError]] = []

    def fault(self, kind: str, path: Path, line: int | None, message: str, count: int = 1) -> None:
        """Note `count` faults of a kind; the first is at `line` (from 1) of `path`."""
        error = LogError(path, message, line=line)
        if self.strict:
            raise error
        self._counts[kind] += count
        if len(self._examples) < EXAMPLES:
            self._examples.append((kind, error))

    def unreadable(self, path: Path, error: OSError) -> None:
        """Note an entry that cannot be read. Other entries are still read."""
        self.refuse(LogError(path, f"cannot be read ({error.strerror or error})"))

    def refuse(self, error: LogError) -> None:
        """Note an entry that is left out because of this error."""
        self.fault("unreadable", error.path, error.line, error.reason)

    @property
    def first(self) -> LogError | None:
        """The first fault; None when there is none."""
        return self._examples[0][1] if self._examples else None

    @property
    def entries(self) -> list[str]:
        """Messages for unreadable entries, as far as they are among the first faults."""
        return [str(error) for kind, error in self._examples if kind == "unreadable"]

    def take(self, other: Report) -> None:
        """Add the counts of another report; with `strict`, raise its first fault."""
        if self.strict and other._examples:
            raise other._examples[0][1]
        self._counts += other._counts
        self._examples += other._examples[: EXAMPLES - len(self._examples)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``frame.attrs["report"]``.

        Keys: numbers of ``runs``, ``files``, ``records`` and faults of each kind; ``missing``, records absent
        by their seq; ``superseded``, records that a ``resume`` replaced; ``copies`` of runs, each read once;
        and ``examples``, the first faults in words.
        """
        totals = {name: getattr(self, name) for name in ("runs", "files", "records", "missing", "superseded")}
        counts = {kind: self._counts[kind] for kind in KINDS}
        examples = [str(error) for _, error in self._examples]
        return totals | counts | {"copies": list(self.copies), "examples": examples}

    def summary(self) -> str | None:
        """Return one line that sums up all faults; None when there are none."""
        counts = ((self._counts[kind], names) for kind, names in KINDS.items())
        found = [f"{count} {names[count > 1]}" for count, names in counts if count]
        if not found:
            return None
        return f"{', '.join(found)}; the first: {self.first}"
