"""The sections of a report. Each is a function that measures one thing on the records of a room.

Each function fills a :class:`Section` and is registered in :data:`SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

from chronoflux.analysis import plots
from chronoflux.analysis.blocks import compare_blocks
from chronoflux.analysis.criticality import change_points
from chronoflux.analysis.information import transfer_entropy_nats
from chronoflux.analysis.integration import Emergence, emergence_nats, o_information_nats
from chronoflux.analysis.pulling import pulls
from chronoflux.analysis.response import Epochs, epoch_response, recovery_time
from chronoflux.analysis.room_events import event_dose_response, event_epochs, spreads
from chronoflux.analysis.rooms import information_flow, locked, pair_matrix, pairs
from chronoflux.analysis.significance import assess
from chronoflux.analysis.study import Finding, Refusal, Section, Study
from chronoflux.analysis.tables import gaps, mesh_time, side_by_side, together
from chronoflux.analysis.validation import Floats
from chronoflux.analysis.words import in_words
from chronoflux.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FORGETS = 120
"""Shortest segment between two change points of H, s."""
KSG_SAMPLES, KSG_SURROGATES = 4000, 39
"""Samples and circular shifts for the KSG estimator, which then takes some seconds per direction."""
DOSES = (("intent", "E"),)
"""Events with a dose, and the field of their data that holds it."""
_CIRCULAR = "Quian Quiroga, Kraskov, Kreuz, Grassberger, Physical Review E 65, 041903, 2002"
MOST_GAPS = 100
"""Most gaps listed, the longest first."""
FAULTS = ("torn", "bad", "gaps", "missing", "repeats", "clock_steps", "dropped", "superseded")
"""Fields of the log reader's report that are shown."""


def overview(study: Study, section: Section) -> None:
    """Report the runs, their lengths, and what is missing in them."""
    import pandas as pd

    table, holes = side_by_side(study.frame, "H"), gaps(study.frame)
    rows = []
    for (node, run), records in study.frame.groupby(["node", "run"], dropna=False):
        dated = records[records["at"].notna()]
        # Use mesh time: by the machine's own clock a night with --speed max passes in a minute.
        at = mesh_time(dated if len(dated) else records)
        rows.append(
            {
                "node": node,
                "run": run,
                "first record (mesh time, UTC)": f"{pd.Timestamp(at.min(), unit='s'):%Y-%m-%d %H:%M:%S}",
                "hours": round(float(at.max() - at.min()) / 3600, 3),
                "records": len(records),
                "events": int(records["type"].isin(study.kinds).sum()),
            }
        )
    section.tables["runs"] = pd.DataFrame(rows)
    missing = sum(table.attrs["missing"].values())
    share = missing / table.size
    hours = float(table.index[-1]) / 3600
    section.lines.append(
        f"{_count(rows, 'run')} of {_count(table.columns, 'node')} "
        f"over {hours:.2f} h; {share:.1%} of the node-seconds are not on record"
    )
    if len(holes):
        longest = holes.nlargest(1, "duration").iloc[0]
        section.lines.append(
            f"{_count(holes, 'gap')} within the record of a node, {holes['duration'].sum():.0f} s in all, "
            f"the longest {longest['duration']:.0f} s ({longest['node']})"
        )
        units = {name: f"{name} [s]" for name in ("start", "end", "duration")}
        section.tables["longest gaps"] = holes.nlargest(MOST_GAPS, "duration").rename(columns=units)
    if len(holes) or share > 0:
        axes = _subplots(1, 1, height=1.2 + 0.25 * len(table.columns))
        plots.on_record(table, ax=axes[0])
        section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    faults = study.frame.attrs.get("report", {})
    found = [f"{name.replace('_', ' ')}: {faults[name]}" for name in FAULTS if faults.get(name)]
    section.lines.append("in the logs: " + ("; ".join(found) or "no damage, no gaps"))
    _tell_missed(study, section)


def _tell_missed(study: Study, section: Section) -> None:
    """Report which events did not reach which node, as far as it is on record."""
    import pandas as pd

    records = study.frame[study.frame["type"] == "missed"]
    facts = [data if isinstance(data, dict) else {} for data in records["data"]]
    if not facts:
        return
    columns = ["origin", "peer", "from", "to", "count"]
    told = pd.DataFrame([{name: entry.get(name) for name in columns} for entry in facts], columns=columns)
    told.insert(0, "node", records["node"].to_numpy())
    counts = pd.to_numeric(told["count"], errors="coerce")
    lacking, unsent = (counts[told[name].notna()].sum() for name in ("origin", "peer"))
    section.lines.append(
        f"events that did not arrive: {lacking:.0f} according to the nodes that did not receive them, "
        f"{unsent:.0f} according to the nodes that fired them; responses to remote events lack them"
    )
    section.tables["missed events"] = told


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def order(study: Study, section: Section) -> None:
    """Report H, H_local and H_mesh over the whole time, with events."""
    columns = [name for name in ("H", "H_local", "H_mesh") if study.frame[name].notna().any()]
    sizes = study.frame["nodes"].dropna()
    axes = _subplots(len(columns), 1, height=2.8)
    for name, ax in zip(columns, axes, strict=True):
        unrelated = int(sizes.median()) if name == "H" and len(sizes) else None
        events = study.kinds if name == columns[0] else ()
        plots.over_time(study.frame, name, events=events, oscillators=unrelated, ax=ax)
        table = side_by_side(study.frame, name)
        means = table.mean()
        between = f"between nodes {means.min():.3f} to {means.max():.3f}"
        section.lines.append(f"mean {name} {np.nanmean(table):.3f}, {between}")
    section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    section.sources += [
        "order parameter: Kuramoto, Chemical Oscillations, Waves, and Turbulence, 1984",
        "null band of H: Mardia and Jupp, Directional Statistics, 2000",
    ]


def synchrony(study: Study, section: Section) -> None:
    """Report which nodes were phase-locked, how strongly, and when."""
    table, held = pairs(study.frame), locked(study.frame)
    if not len(table):
        raise ParameterError("nodes", 1, "at least 2 in the room")
    units = {"dpsi": "dpsi [rad]", "df": "df [Hz]"}
    section.tables["pairs"] = table.reset_index().round(4).rename(columns=units)
    section.lines.append(
        f"phase-locking value of {len(table)} pairs: median {table['plv'].median():.3f}, "
        f"highest {table['plv'].max():.3f} ({_best(table['plv'])})"
    )
    names = held.groupby(["a", "b"]).ngroups
    total = held["duration"].sum()
    section.lines.append(
        f"{len(held)} locked intervals of {names} pairs, {total:.0f} s in all (30 s windows, PLV ≥ 0.9)"
    )
    section.lines.append(
        "a phase-locking value is no test: nodes of equal frequency (column df, in Hz) have a high one even "
        "when they are not coupled"
    )
    axes = _subplots(1, 2 if len(held) else 1, height=4.6)
    plots.pair_matrix(pair_matrix(study.frame), ax=axes[0])
    if len(held):
        plots.locked_intervals(held, ax=axes[1])
    section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    section.sources += [
        "phase-locking value: Lachaux, Rodriguez, Martinerie, Varela, Human Brain Mapping 8, 194, 1999",
        "phase lag indices: Stam, Nolte, Daffertshofer, Human Brain Mapping 28, 1178, 2007; "
        "Vinck and others, NeuroImage 55, 1548, 2011",
    ]


def responses(study: Study, section: Section) -> None:
    """Report the mean course of H around each kind of event, own and remote; blocks of a night first."""
    if study.night:
        compare_blocks(study.frame, section, seed=study.seed)
    drawn = []
    for kind in study.kinds:
        try:
            drawn.append((kind, event_epochs(study.frame, kind, seed=study.seed)))
        except ParameterError as error:
            section.refuse(kind.replace("_", " "), error)
    axes = _subplots(-(-len(drawn) // 2), min(2, len(drawn)), height=2.8) if drawn else []
    for (kind, found), ax in zip(drawn, axes, strict=False):
        plots.epochs(found, ax=ax).set_title(kind.replace("_", " "), fontsize=9)
        section.lines.append(f"{kind.replace('_', ' ')}: {_answer(kind, found, study, section)}")
    if drawn:
        section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    elif not section.lines:
        section.lines.append("no events on record")
    for kind, dose in ((kind, dose) for kind in study.kinds for name, dose in DOSES if kind.endswith(name)):
        try:
            slope, rank = event_dose_response(study.frame, kind, dose, seed=study.seed)
        except ParameterError as error:
            section.refuse(f"{kind.replace('_', ' ')} by {dose}", error)
        else:
            section.lines += [f"{kind.replace('_', ' ')}: {slope}", f"{kind.replace('_', ' ')}: {rank}"]
            section.sources.append(f"dose and response: {slope.source}; {rank.source}")
    section.sources += [
        "superposed epochs: Chree, Philosophical Transactions A 212, 75, 1913",
        "random signs: Winkler, Ridgway, Webster, Smith, Nichols, NeuroImage 92, 381, 2014",
        "bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap, 1993",
    ]


def _answer(kind: str, found: Epochs, study: Study, section: Section) -> str:
    """Describe how much H changes after an event, whether chance may explain it, and how long it lasts."""
    counted = f"{len(found.courses)} events ({found.left_out} left out), "
    try:
        change = epoch_response(found, count=study.surrogates, seed=study.seed)
    except ParameterError as error:
        section.refused.append(Refusal(kind.replace("_", " "), in_words(error)))
        return f"{counted}not measured ({in_words(error)})"
    if change.p is not None and not study.night:  # for a night the comparison of blocks is the answer
        answer = f"H changes by {change.value:+.2g} ± {change.uncertainty:.2g} after {_a(kind)}"
        section.findings.append(Finding(f"H after {_a(kind)}", answer, change.p))
    words = f"H changes by {change.value:+.2g} ± {change.uncertainty:.2g}, {change.reading}"
    if change.p is not None:
        words += f" (p = {change.p:.3g} by {change.surrogates} random signs, for all moments together)"
    if change.p is not None and change.p <= 0.05:
        back = recovery_time(found.lag, found.mean)
        words += (
            f"; it falls to 1/e in {back:.1f} s" if back is not None else "; it does not fall to 1/e in 30 s"
        )
    return counted + words


def _a(kind: str) -> str:
    words = kind.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def levels(study: Study, section: Section) -> None:
    """Report the change points of the room's mean H."""
    mean, times, where = _mean_order(study)
    points = change_points(mean, least=FORGETS)
    axes = _subplots(1, 1, height=3)
    plots.change_points(mean, times, points, label="mean H of the nodes [1]", ax=axes[0])
    section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    at = ", ".join(f"{times[int(i)] / 60:.1f}" for i in points[:20])
    places = f", at {at} min{'…' if len(points) > 20 else ''}" if at else ""
    section.lines += [f"{len(points)} change points{places} (at least {FORGETS} s apart)", where]
    section.sources.append(
        "change points (PELT): Killick, Fearnhead, Eckley, Journal of the American Statistical Association "
        "107, 1590, 2012; the package ruptures: Truong, Oudre, Vayatis, Signal Processing 167, 107299, 2020"
    )


def rhythms(study: Study, section: Section) -> None:
    """Report the spectrum and the spectrogram of the room's mean H."""
    mean, _, where = _mean_order(study)
    axes = _subplots(1, 2, height=3.4)
    plots.spectrum(mean, 1.0, ax=axes[0])
    plots.spectrogram(mean, 1.0, window=min(512, len(mean) // 4), ax=axes[1])
    section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    section.lines += [f"Welch's spectrum, from {8 / len(mean):.2g} to 0.5 Hz", where]
    section.sources.append("spectrum: Welch, IEEE Transactions on Audio and Electroacoustics 15, 70, 1967")


def pulling(study: Study, section: Section) -> None:
    """Report which nodes' phases are pulled towards which others': the primary question of the report."""
    found = pulls(study.frame, count=study.surrogates, seed=study.seed)
    table = found.reset_index().sort_values("pull", ascending=False).head(40).round(5)
    section.tables["pulls"] = table.rename(columns={"pull": "pull [1]"})
    facts = found.attrs
    section.lines.append(
        f"primary measure, chosen before the data were seen: {found['found'].sum()} of {len(found)} "
        f"directions are significant (correlation of a node's frequency fluctuations with another's "
        f"pull; maximum statistic over {facts['surrogates']} circular shifts, p ≤ {facts['level']}; "
        f"n = {facts['n']:,}; smallest p = {found['p'].min():.3g})"
    )
    told = f"in {found['found'].sum()} of {len(found)} directions a node's phase turns towards another's"
    section.findings.append(Finding("pulls between nodes", told, float(found["p"].min()), primary=True))
    section.lines.append(_stretch(facts))
    if found["found"].any():
        section.lines.append(
            f"strongest: {_best(found['pull'], ' → ')}, correlation {found['pull'].max():.3f}"
        )
    section.sources += [
        "pulls: Rosenblum and Pikovsky, Physical Review E 64, 045202, 2001",
        "maximum statistic: Nichols and Holmes, Human Brain Mapping 15, 1, 2002",
        f"circular shifts: {_CIRCULAR}",
    ]


def information(study: Study, section: Section) -> None:
    """Report which nodes' H predicts which other nodes' next H (transfer entropy)."""
    found = information_flow(study.frame, count=study.surrogates, seed=study.seed)
    table = found.reset_index().sort_values("te_nats", ascending=False).head(40).round(5)
    section.tables["directions"] = table.rename(columns={"te_nats": "transfer entropy [nats per step]"})
    axes = _subplots(1, 1, height=6)
    plots.flow(found, ax=axes[0])
    section.figures.append(axes[0].figure)  # type: ignore[arg-type]
    facts = found.attrs
    section.lines.append(
        f"{found['found'].sum()} of {len(found)} directions are significant (Gaussian transfer entropy of H, "
        f"lag 1 s, maximum statistic over {study.surrogates} circular shifts, p ≤ {facts['level']}; "
        f"n = {facts['n']:,})"
    )
    section.lines.append(_stretch(facts))
    told = (
        f"in {found['found'].sum()} of {len(found)} directions the H of a node predicts the next H of another"
    )
    section.findings.append(Finding("information flow of H", told, float(found["p"].min())))
    if found["found"].any():
        section.lines.append(
            "two nodes that depend on a third one, which may not be on record, give this too, without a link "
            "between them"
        )
        section.lines.append(
            f"strongest: {_best(found['te_nats'], ' → ')}, {found['te_nats'].max():.4f} nats per step"
        )
        _once_more(study, section, found[found["found"]].nlargest(study.ksg, "te_nats"))
    section.sources += [
        "transfer entropy: Schreiber, Physical Review Letters 85, 461, 2000; Barnett, Barrett, Seth, "
        "Physical Review Letters 103, 238701, 2009",
        "maximum statistic: Nichols and Holmes, Human Brain Mapping 15, 1, 2002",
        f"circular shifts: {_CIRCULAR}",
    ]


def _once_more(study: Study, section: Section, few: pd.DataFrame) -> None:
    """Measure the strongest directions by KSG, which detects nonlinear flow, on the first `KSG_SAMPLES`."""
    if not len(few):
        return
    stretch = together(side_by_side(study.frame, "H")).iloc[:KSG_SAMPLES]
    for source, target in few.index:
        arrays = stretch[source].to_numpy(), stretch[target].to_numpy()
        options: dict[str, Any] = {"method": "ksg", "count": KSG_SURROGATES, "seed": study.seed}
        options["start_up"] = not stretch.attrs["settled"]
        try:
            judged = assess(transfer_entropy_nats, *arrays, **options)
        except ParameterError as error:
            section.refuse(f"{source} → {target} by KSG", error)
            continue
        section.lines.append(f"{source} → {target} by KSG: {judged}")
        section.sources.append(f"by KSG: {judged.source}")


def spreading(study: Study, section: Section) -> None:
    """Report which nodes' H follows which others', and with what delay."""
    found = spreads(study.frame, count=study.surrogates, seed=study.seed)
    table = found.reset_index().sort_values("correlation", ascending=False).head(40).round(5)
    section.tables["pairs"] = table.rename(columns={"delay_s": "delay [s]"})
    facts, sure = found.attrs, found[found["found"]]
    kind = {"shift": "circular shifts", "ar": "draws of an autoregression"}[facts["surrogate"]]
    section.lines.append(
        f"{len(sure)} of {len(found)} pairs are significant (cross-correlation of the changes of H, delays "
        f"up to {facts['longest']:g} s, maximum statistic over {facts['surrogates']} {kind}, "
        f"p ≤ {facts['level']}; n = {facts['n']:,})"
    )
    section.lines.append(_stretch(facts))
    told = f"in {len(sure)} of {len(found)} pairs of nodes the changes of H agree at some delay"
    section.findings.append(Finding("spread of changes of H", told, float(found["p"].min())))
    later = sure[sure["delay_s"] > 0]
    if len(sure) > len(later):
        section.lines.append(f"{len(sure) - len(later)} of them without delay (0 s), which has no direction")
    if len(later):
        best = later.loc[[later["correlation"].idxmax()]]
        section.lines.append(
            f"strongest: {_best(best['correlation'], ' → ')} after {best['delay_s'].iloc[0]:g} s, "
            f"correlation {best['correlation'].iloc[0]:.3f}"
        )
    section.sources.append(f"circular shifts: {_CIRCULAR}")


def emergence(study: Study, section: Section) -> None:
    """Report whether the room's mean H predicts its own future better than the single nodes' H do."""
    stretch = together(side_by_side(study.frame, "H"))
    orders = stretch.to_numpy()

    def of_the_mean(micro: Floats) -> Emergence:
        return emergence_nats(micro, micro.mean(axis=1))

    count = min(study.surrogates, 99)
    options: dict[str, Any] = {"together": False, "count": count, "seed": study.seed}
    options["start_up"] = not stretch.attrs["settled"]
    judged = assess(of_the_mean, orders, **options)
    section.lines += map(repr, judged)
    if judged.psi.p is not None and not judged.psi.undecided:
        told = f"the mean H predicts its future by {judged.psi.value:.2g} nats more than the single nodes do"
        section.findings.append(Finding("causal emergence of the mean H", told, judged.psi.p))
    section.lines.append(
        "macro variable: the mean of H over the nodes; surrogates: the H of each node circularly shifted by "
        "its own number of seconds"
    )
    section.sources += [f"causal emergence: {judged.psi.source}", f"circular shifts: {_CIRCULAR}"]
    if orders.shape[1] > 2:
        shared = assess(o_information_nats, orders, tail="both", **options)
        section.lines.append(repr(shared))
        if shared.p is not None:
            told = f"the nodes' H have an O-information of {shared.value:.2g} nats"
            section.findings.append(Finding("O-information of H", told, shared.p))
        section.sources.append(f"O-information: {shared.source}")
    section.lines.append(_stretch(stretch.attrs))


SECTIONS: dict[str, Callable[[Study, Section], None]] = {
    "Runs and gaps": overview,
    "Order over time": order,
    "Synchrony between nodes": synchrony,
    "Response to events": responses,
    "Change points of the mean H": levels,
    "Spectrum of the mean H": rhythms,
    "Do nodes pull each other?": pulling,
    "Spread from node to node": spreading,
    "Information flow between nodes": information,
    "Causal emergence of the mean H": emergence,
}
"""The sections by title, in the order of the report."""


def _mean_order(study: Study) -> tuple[Floats, Floats, str]:
    """Return the nodes' mean H while all are on record, its times in s, and a line on the records used."""
    stretch = together(side_by_side(study.frame, "H"), least=1)
    mean, times = stretch.mean(axis=1).to_numpy(np.float64), np.asarray(stretch.index, dtype=np.float64)
    return mean, times, _stretch({**stretch.attrs, "n": len(mean)})


def _stretch(facts: Mapping[Any, Any]) -> str:
    """Describe which records a measure of unbroken series used, and which it left out."""
    parts = [f"{facts['masked']:,} moments not used", f"{facts['bridged']:,} missing values interpolated"]
    if facts["left_out"]:
        parts.append(f"left out for their gaps: {', '.join(facts['left_out'])}")
    if facts.get("start_up"):
        parts.append(f"its first {facts['start_up']:g} s left out as the start-up")
    if facts.get("disturbed"):
        parts.append(
            f"{facts['disturbed']:,} moments left out after {facts['common_events']:,} events that several "
            "nodes heard"
        )
    if "n" in facts:
        parts.insert(0, f"{facts['n']:,} moments used")
    return "records: " + ", ".join(parts)


def _best(values: pd.Series[float], joint: str = " – ") -> str:
    if values.isna().all():
        return "none"
    a, b = values.index[int(np.nanargmax(values))]
    return f"{a}{joint}{b}"


def _subplots(rows: int, columns: int, *, height: float) -> list[Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height * rows), layout="constrained")
    return list(figure.subplots(rows, columns, squeeze=False).flat)
