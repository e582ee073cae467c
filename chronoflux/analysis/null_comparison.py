"""A section of a report that compares the room with null runs: are its nodes more than unrelated swarms?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chronoflux.analysis.rooms import pairs
from chronoflux.analysis.study import Finding, Section
from chronoflux.analysis.tables import side_by_side, together
from chronoflux.errors import ChronofluxError

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.replay.null_runs import NullRuns

TITLE = "The room against null runs"
CORRELATION = "correlation of H"


def judge_room(
    compute: Callable[[], NullRuns], section: Section, *, part: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    """Compare the room with runs recomputed with new random draws and without coupling between nodes.

    The phase locking of pairs and the correlation of their H are tested, each by its maximum over the pairs.
    The null runs have the same transients, parameters, pauses and events as the room.

    Parameters
    ----------
    compute
        Returns the null runs.
    section
        Receives lines, findings and tables.
    part
        Selects the records to analyse, of the room and of each null run alike.
    """
    try:
        null = compute()
    except ChronofluxError as error:
        section.refuse("whether the nodes are more than unrelated swarms", error)
        return
    for name, measure in (("phase locking", locking), (CORRELATION, correlation)):
        try:
            judged = null.judge(lambda frame, of=measure: of(part(frame)))  # type: ignore[misc]
        except ChronofluxError as error:
            section.refuse(f"{name} against null runs", error)
            continue
        section.lines.append(f"{name}: {judged}")
        verdict = "higher than in" if judged.p <= 0.05 else "within the range of"
        answer = f"the {name} of the nodes is {verdict} null runs, in which they are not coupled"
        section.findings.append(Finding(f"{name} against null runs", answer, judged.p))
        section.tables[f"pairs, {name}"] = judged.value.reset_index().round(5)
    section.lines.append(
        f"null runs: the same nodes, parameters, times and events, recomputed {null.count} times with new "
        "random draws and without coupling between nodes; events are treated as given from outside"
    )


def locking(frame: pd.DataFrame) -> pd.Series[float]:
    """Return the phase-locking value of every two nodes.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux.analysis.null_comparison import locking
    >>> t = np.arange(60.0)
    >>> def records(node, psi):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=0.8, psi=psi,
    ...     ))
    >>> locking(pd.concat([records("a", t), records("b", t + 1)])).round(3)
    a  b
    a  b    1.0
    Name: plv, dtype: float64
    """
    return pairs(frame)["plv"]


def correlation(frame: pd.DataFrame) -> pd.Series[float]:
    """Return the correlation of H of every two nodes.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from chronoflux.analysis.null_comparison import correlation
    >>> t = np.arange(60.0)
    >>> def records(node, H):
    ...     return pd.DataFrame(dict(
    ...         time=pd.to_datetime(t, unit="s", utc=True), at=1000 * t, node=node, room="lab",
    ...         type="telemetry", omega=0.0, H=H,
    ...     ))
    >>> correlation(pd.concat([records("a", t / 60), records("b", 1 - t / 60)])).round(3)
    a  b   -1.0
    dtype: float64
    """
    import pandas as pd

    table = together(side_by_side(frame, "H")).corr()
    names = list(table.columns)
    found = {(a, b): table.loc[a, b] for i, a in enumerate(names) for b in names[i + 1 :]}
    return pd.Series(found, dtype=float)
