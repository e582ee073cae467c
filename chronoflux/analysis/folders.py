"""The run folders behind logs, and their manifests, for analyses that need more than records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.read.discovery import find_runs, read_manifest


class Folder(NamedTuple):
    """A run folder and its ``run.json``."""

    path: Path
    facts: dict[str, Any]

    @property
    def has_swarm(self) -> bool:
        """Whether this is the run of a node, not a recorder's."""
        return self.facts.get("kind") != "recorder"


def run_folders(logs: str | Path | Sequence[str | Path], room: str | None = None) -> list[Folder]:
    """Return the run folders that `logs` names, of one room. Files and exports are skipped.

    Raises
    ------
    LogError
        When `logs` names nothing at all.
    """
    report = Report()
    found = []
    for run in find_runs(logs, report):
        if run.folder is None or not run.whole:
            continue
        facts = read_manifest(run, report)
        if facts and (room is None or facts.get("room") == room):
            found.append(Folder(run.folder, facts))
    return found
