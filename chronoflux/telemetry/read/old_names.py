"""What the file names of exports of the first ChronoFlux say: its records name neither node nor room."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from chronoflux.telemetry.read.discovery import RunFiles

_PAGE = re.compile(r"chrono-telemetry-(?P<room>.+)-\d{10,}(?: ?\(\d+\))?")
_RUNNER = re.compile(r"chrono-(?P<node>.+)-\d{10,}(?: ?\(\d+\))?")


def facts_of(run: RunFiles) -> dict[str, str]:
    """The ``room`` of a page's export ``chrono-telemetry-<room>-<ms>.json``, or the ``node`` of a runner's,
    ``chrono-<node>-<ms>.json``; nothing for other files, and for runs that have a folder.

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


def told_apart(runs: Sequence[RunFiles]) -> list[RunFiles]:
    """The same runs; single files that share a name are called by as much of their path as tells them apart.

    Their records say no run, so that they would be taken for one.
    """
    alike = Counter(run.name for run in runs if run.folder is None)
    paths = {run.files[0]: run.files[0].resolve().parts for run in runs if run.folder is None}

    def told(run: RunFiles) -> RunFiles:
        if run.folder is not None or alike[run.name] == 1:
            return run
        own = paths[run.files[0]]
        others = [parts for parts in paths.values() if parts != own]
        depth = next((n for n in range(1, len(own)) if all(own[-n:] != other[-n:] for other in others)), 0)
        return replace(run, name="/".join(own[-depth:]))

    return [told(run) for run in runs]
