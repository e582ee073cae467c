"""File names of exports of the first ChronoFlux: its records name neither node nor room."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from chronoflux.telemetry.read.discovery import RunFiles

_PAGE = re.compile(r"chrono-telemetry-(?P<room>.+)-\d{10,}(?: ?\(\d+\))?")
_RUNNER = re.compile(r"chrono-(?P<node>.+)-\d{10,}(?: ?\(\d+\))?")


def facts_of(run: RunFiles) -> dict[str, str]:
    """Return the ``room`` or ``node`` that an export's file name contains.

    A page's export is named ``chrono-telemetry-<room>-<ms>.json``, a runner's ``chrono-<node>-<ms>.json``.
    The result is empty for other files and for runs with a folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> facts_of(RunFiles("chrono-lab-pc-1700000000000", (Path("chrono-lab-pc-1700000000000.json"),)))
    {'node': 'lab-pc'}
    """
    if run.folder is not None or run.exported:
        return {}
    found = _PAGE.fullmatch(run.name) or _RUNNER.fullmatch(run.name)
    return found.groupdict() if found else {}


def with_unique_names(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """Rename single files that share a name to the shortest part of their path that is unique.

    Their records do not name a run, so they would otherwise be taken for one run.
    """
    alike = Counter(run.name for run in runs if run.folder is None)
    paths = {run.files[0]: run.files[0].resolve().parts for run in runs if run.folder is None}

    def renamed(run: RunFiles) -> RunFiles:
        if run.folder is not None or alike[run.name] == 1:
            return run
        own = paths[run.files[0]]
        others = [parts for parts in paths.values() if parts != own]
        depth = next((n for n in range(1, len(own)) if all(own[-n:] != other[-n:] for other in others)), 0)
        return replace(run, name="/".join(own[-depth:]))

    return [renamed(run) for run in runs]
