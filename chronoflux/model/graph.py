"""Graphs as users have them, read into the kernel's arrays; neither SciPy nor networkx is imported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine.phases import Graph

HEAVIEST = 1e12
"""Largest weight accepted: beyond, a phase has no digits left."""
NO_GRAPH = Graph(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0))


def read_graph(given: Any) -> Graph:
    """The graph `given` by rows: row i lists what acts on i.

    Accepts a square SciPy sparse array or matrix, of which entry (i, j) is the weight with which j acts on
    i, and a networkx graph, whose edge u → v of attribute ``weight`` (1 when absent) lets u act on v; its
    nodes are numbered in their own order. Entries given twice add up, zeros are left out. What was read
    before is returned as it is.

    Raises
    ------
    ParameterError
        When it is neither, not square, empty, or has weights that are not real and within ±1e12.
    """
    if isinstance(given, Graph):
        return given
    if hasattr(given, "tocsr"):
        given = given.tocsr()
    if all(hasattr(given, name) for name in ("indptr", "indices", "data", "shape")):
        n, targets, sources, weights = _from_csr(given)
    elif all(hasattr(given, name) for name in ("nodes", "edges", "is_directed")):
        n, targets, sources, weights = _from_networkx(given)
    else:
        raise ParameterError("graph", type(given).__name__, "a scipy.sparse CSR array or a networkx graph")
    _check_weights(weights)
    return _by_rows(n, targets, sources, weights.astype(np.float64))


def checked_graph(indptr: Any, indices: Any, weights: Any) -> Graph:
    """A graph of rows saved earlier, as it was; ParameterError when the arrays are no such thing."""
    n = max(len(indptr) - 1, 0)
    rows = SimpleNamespace(indptr=indptr, indices=indices, data=weights, shape=(n, n))
    _check_weights(_from_csr(rows)[3])
    return Graph(np.array(indptr, np.int64), np.array(indices, np.int32), np.array(weights, np.float64))


def _check_weights(weights: Any) -> None:
    if weights.dtype.kind not in "bfiu" or weights.ndim != 1:
        shape = f" in shape {weights.shape}" if weights.ndim != 1 else ""
        raise ParameterError("graph", f"weights of {weights.dtype}{shape}", "real weights, one an edge")
    if not np.all(np.abs(weights.astype(np.float64)) <= HEAVIEST):
        raise ParameterError("graph", "weights with NaN or beyond the bound", f"within ±{HEAVIEST:g}")


def _from_csr(given: Any) -> tuple[int, Any, Any, Any]:
    if len(given.shape) != 2 or given.shape[0] != given.shape[1] or given.shape[0] == 0:
        raise ParameterError("graph", f"array of shape {tuple(given.shape)}", "square, (n, n), n >= 1")
    n = int(given.shape[0])
    indptr, sources, weights = np.asarray(given.indptr), np.asarray(given.indices), np.asarray(given.data)
    sound = (
        indptr.shape == (n + 1,)
        and indptr.dtype.kind in "iu"
        and sources.dtype.kind in ("iuf" if len(sources) == 0 else "iu")
        and indptr[0] == 0
        and indptr[-1] == len(sources) == len(weights)
        and np.all(np.diff(indptr) >= 0)
        and np.all((sources >= 0) & (sources < n))
    )
    if not sound:
        raise ParameterError("graph", "CSR array", "one whose indptr and indices fit together and its shape")
    return n, np.repeat(np.arange(n), np.diff(indptr)), sources, weights


def _from_networkx(given: Any) -> tuple[int, Any, Any, Any]:
    number = {node: i for i, node in enumerate(given.nodes)}
    if not number:
        raise ParameterError("graph", "a graph without nodes", "at least one node")
    edges = [(number[u], number[v], w) for u, v, w in given.edges(data="weight", default=1.0)]
    if not given.is_directed():
        edges += [(v, u, w) for u, v, w in edges if u != v]
    sources, targets = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    try:
        weights = np.array([w for _, _, w in edges]) if edges else np.zeros(0)
    except ValueError:  # lists of different lengths
        raise ParameterError("graph", "weights that are no numbers", "real weights") from None
    return len(number), targets, sources, weights


def _by_rows(n: int, targets: Any, sources: Any, weights: Any) -> Graph:
    """Rows with ascending, distinct columns; duplicates added, zeros dropped."""
    place, entry = np.unique(targets.astype(np.int64) * n + sources, return_inverse=True)
    total = np.bincount(entry, weights, minlength=len(place))
    place, total = place[total != 0], total[total != 0]
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(place // n, minlength=n), out=indptr[1:])
    return Graph(indptr, (place % n).astype(np.int32), total)
