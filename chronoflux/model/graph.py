"""Reads graphs of SciPy and networkx into the engine's arrays. Neither library is imported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.errors import ParameterError
from chronoflux.model.engine import Graph

HEAVIEST = 1e12
"""Largest weight accepted: with larger ones, a phase has no significant digits."""
NO_GRAPH = Graph(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0))


class SparseArray(Protocol):
    """A SciPy sparse array or matrix."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def tocsr(self) -> Any:
        """The same in CSR form."""


class NetworkxGraph(Protocol):
    """A networkx graph."""

    @property
    def nodes(self) -> Any:
        """The nodes."""

    @property
    def edges(self) -> Any:
        """The edges."""

    def is_directed(self) -> bool:
        """Whether edges have a direction."""


GraphLike: TypeAlias = SparseArray | NetworkxGraph | Graph
"""What :func:`read_graph` reads."""


def read_graph(given: GraphLike) -> Graph:
    """The graph in the engine's form: row i lists the oscillators that act on i.

    Parameters
    ----------
    given
        A square SciPy sparse array or matrix, (n, n), of real numbers: entry (i, j) is the weight with which
        j acts on i. Or a networkx graph: with an edge u → v, u acts on v, with the edge's attribute
        ``weight`` (default 1); nodes are numbered in their own order. Duplicate entries are summed, zeros
        removed. A graph that was read before is returned as it is.

    Returns
    -------
    Graph
        ``indptr``, int64 (n + 1,), ``indices``, int32 (m,), and ``weights``, float64 (m,).

    Raises
    ------
    ParameterError
        When it is neither, not square, empty, or has weights that are not real and within ±1e12.

    Examples
    --------
    Oscillator 1 acts on oscillator 0.

    >>> from scipy.sparse import csr_array
    >>> graph = read_graph(csr_array([[0.0, 0.5], [0.0, 0.0]]))
    >>> graph.indptr.tolist(), graph.indices.tolist(), graph.weights.tolist()
    ([0, 1, 1], [1], [0.5])
    """
    if isinstance(given, Graph):
        return given
    graph: Any = given.tocsr() if hasattr(given, "tocsr") else given
    if all(hasattr(graph, name) for name in ("indptr", "indices", "data", "shape")):
        n, targets, sources, weights = _from_csr(graph)
    elif all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        n, targets, sources, weights = _from_networkx(graph)
    else:
        raise ParameterError("graph", type(given).__name__, "a scipy.sparse CSR array or a networkx graph")
    _check_weights(weights)
    return _by_rows(n, targets, sources, weights.astype(np.float64))


def checked_graph(indptr: ArrayLike, indices: ArrayLike, weights: ArrayLike) -> Graph:
    """The graph of saved arrays; ParameterError when they are not those of a graph."""
    n = max(len(np.asarray(indptr)) - 1, 0)
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
        raise ParameterError("graph", "weights that are not numbers", "real weights") from None
    return len(number), targets, sources, weights


def _by_rows(n: int, targets: Any, sources: Any, weights: Any) -> Graph:
    """Rows with ascending, distinct columns; duplicates are summed, zeros removed."""
    place, entry = np.unique(targets.astype(np.int64) * n + sources, return_inverse=True)
    total = np.bincount(entry, weights, minlength=len(place))
    place, total = place[total != 0], total[total != 0]
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(place // n, minlength=n), out=indptr[1:])
    return Graph(indptr, (place % n).astype(np.int32), total)
