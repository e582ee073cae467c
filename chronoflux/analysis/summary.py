"""The summary of a report: five sentences.

They say who was there, what happened, what was found, how certain that is, and what could not be tested, with
the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from chronoflux.analysis.study import Finding, Refusal, Section, Study
from chronoflux.analysis.tables import mesh_time
from chronoflux.model.events import EVENTS
from chronoflux.model.stillness import REMEDY, Stillness

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
MOST = 4
"""Most findings or refusals that a sentence names; the rest is counted."""


def summarise(study: Study, sections: Sequence[Section], *, null_runs: bool) -> list[str]:
    """Return the five sentences. `null_runs` says whether the room was compared with null runs."""
    findings = [finding for section in sections for finding in section.findings]
    refused = [refused for section in sections for refused in section.refused]
    if not null_runs:
        refused.append(Refusal("whether the nodes are more than unrelated swarms", "use --null-runs 99"))
    return [
        _who(study.frame),
        _happened(study),
        _found(findings),
        _sure(findings),
        _not_asked(refused),
    ]


def _who(frame: pd.DataFrame) -> str:
    import pandas as pd

    telemetry = frame[frame["type"] == "telemetry"]
    nodes = sorted(map(str, telemetry["node"].unique()))
    sizes = telemetry.groupby("node")["nodes"].median().dropna()
    at = mesh_time(telemetry)
    begin, end = (pd.Timestamp(moment, unit="s") for moment in (at.min(), at.max()))
    names = _few(nodes, "and", rest="more")
    swarm = ""
    if len(sizes):
        low, high = int(sizes.min()), int(sizes.max())
        swarm = f" with {low}{'' if low == high else f' to {high}'} oscillators{' each' * (len(nodes) != 1)}"
    return (
        f"{len(nodes)} node{'s' * (len(nodes) != 1)} ({names}){swarm} "
        f"{'were' if len(nodes) != 1 else 'was'} there, from {begin:%Y-%m-%d %H:%M:%S} to "
        f"{end:%Y-%m-%d %H:%M:%S} UTC ({_length((end - begin).total_seconds())} of mesh time)."
    )


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _happened(study: Study) -> str:
    frame = study.frame
    telemetry = frame[frame["type"] == "telemetry"]
    H = telemetry["H"].to_numpy(np.float64)
    low, high = np.nanquantile(H, [0.05, 0.95])
    words = f"H was {np.nanmean(H):.2f} on average and mostly between {low:.2f} and {high:.2f}"
    fired = [(int((frame["type"] == event.name).sum()), event.name) for event in EVENTS]
    events = [f"{count} {name.replace('_', ' ')}{'s' * (count != 1)}" for count, name in fired if count]
    words += f", and {_few(events, 'and')} happened" if events else ", and no events happened"
    if study.night:
        words += " in the blocks of the schedule night"
    flat = still_nodes(telemetry)
    if flat:
        each = ", ".join(f"{node} from {minutes:.1f} min on" for node, minutes in flat.items())
        words += f"; nothing moves any more in {each}, so little can be tested: run again with {REMEDY}"
    return words + "."


def still_nodes(telemetry: pd.DataFrame) -> dict[str, float]:
    """Return the nodes that stand still to the end of the record: name → start of it, min of mesh time."""
    start = float(mesh_time(telemetry).min())
    names = [
        name for name in ("H", "H_local", "omega") if telemetry[name].notna().any()
    ]  # old logs lack some
    found = {}
    for node, records in telemetry.groupby("node"):
        at = mesh_time(records)
        order = np.argsort(at, kind="stable")
        columns = [records[name].to_numpy(np.float64)[order] for name in names]
        columns += [np.zeros(len(order))] * (3 - len(names))
        rows = zip((at[order] - start).tolist(), *(column.tolist() for column in columns), strict=True)
        stillness = Stillness.of(rows)
        if stillness.lasts:
            found[str(node)] = stillness.since / 60
    return found


def _found(findings: Sequence[Finding]) -> str:
    told = sorted((f for f in findings if f.p <= LEVEL), key=lambda f: (not f.primary, f.p))
    if not told:
        return "Found: nothing that chance may not give as well."
    return f"Found: {_few([f.answer for f in told], 'and')}."


def _sure(findings: Sequence[Finding]) -> str:
    if not findings:
        return "How certain: no question could be tested."
    told = [f for f in findings if f.p <= LEVEL]
    one = len(findings) == 1
    asked = f"{len(findings)} question{'' if one else 's'} {'was' if one else 'were'} tested"
    words = (
        f"How certain: {asked}, of which {len(told)} {'has' if len(told) == 1 else 'have'} p ≤ {LEVEL:g}; "
        f"chance alone gives {LEVEL * len(findings):.2g} on average"
    )
    primary = [f for f in findings if f.primary]
    if primary:
        each = ", ".join(f"{f.question} p = {f.p:.2g}" for f in primary)
        words += (
            f"; the primary question{'s' * (len(primary) != 1)}, chosen before the data were seen: {each}"
        )
    elif told:
        best = min(told, key=lambda f: f.p)
        words += f"; the most certain: {best.question}, p = {best.p:.2g}"
    return words + "."


def _not_asked(refused: Iterable[Refusal]) -> str:
    """Return the sentence on what could not be asked, grouped by reason."""
    whats: dict[str, dict[str, None]] = {}
    for what, why in refused:
        whats.setdefault(why, {})[what] = None
    each = [f"{_few(list(what), 'and')} ({why})" for why, what in whats.items()]
    if not each:
        return "Not tested: nothing, every question could be tested."
    return f"Not tested: {_few(each, 'and', joint='; ')}."


def _few(things: Sequence[str], word: str, *, joint: str = ", ", rest: str = "more below") -> str:
    """Join the first few things into a phrase; count the rest."""
    if len(things) > MOST + 1:
        things = [*things[:MOST], f"{len(things) - MOST} {rest}"]
    if len(things) < 2:
        return "".join(things)
    last = f" {word} " if joint == ", " else joint
    return joint.join(things[:-1]) + last + things[-1]
