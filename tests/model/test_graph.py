"""Graphs as users have them, read into rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

from chronoflux.errors import ParameterError
from chronoflux.model.graph import Graph, read_graph
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation

MATRIX = np.array([[0, 2.0, 0], [0, 0, 0], [-1.0, 0.5, 3.0]])


def dense(graph: Graph) -> np.ndarray:
    n = len(graph.indptr) - 1
    matrix = np.zeros((n, n))
    for i in range(n):
        for e in range(graph.indptr[i], graph.indptr[i + 1]):
            matrix[i, graph.indices[e]] += graph.weights[e]
    return matrix


class Networkx:
    """What is used of a networkx graph: nodes, edges(data, default) and is_directed."""

    def __init__(self, nodes: list[Any], edges: list[tuple[Any, ...]], directed: bool = True) -> None:
        self.nodes, self._edges, self._directed = nodes, edges, directed

    def edges(self, data: str, default: float) -> list[tuple[Any, Any, Any]]:
        return [(u, v, rest[0].get(data, default) if rest else default) for u, v, *rest in self._edges]

    def is_directed(self) -> bool:
        return self._directed


@pytest.mark.parametrize("kind", [csr_array, csr_matrix, csc_array, coo_array])
def test_sparse(kind):
    """A sparse array of any format is read by rows: row i lists what acts on i."""
    np.testing.assert_array_equal(dense(read_graph(kind(MATRIX))), MATRIX)


def test_csr_by_its_looks():
    """Anything with indptr, indices, data and shape will do; repeated entries add up, zeros go."""

    class Looks:
        indptr, indices, data = [0, 3, 3], [1, 0, 1], [1, 0, 2]
        shape = (2, 2)

    graph = read_graph(Looks)
    assert (graph.indptr.tolist(), graph.indices.tolist(), graph.weights.tolist()) == ([0, 1, 1], [1], [3.0])


def test_networkx():
    """An edge u → v lets u act on v; without direction both act; weights default to 1."""
    edges = [("a", "b", {"weight": 2}), ("c", "b"), ("c", "c")]
    directed = dense(read_graph(Networkx(["a", "b", "c"], edges)))
    np.testing.assert_array_equal(directed, [[0, 0, 0], [2, 0, 1], [0, 0, 1]])
    both = dense(read_graph(Networkx(["a", "b", "c"], edges, directed=False)))
    np.testing.assert_array_equal(both, [[0, 2, 0], [2, 0, 1], [0, 1, 1]])
    assert dense(read_graph(Networkx([1, 2], []))).tolist() == [[0, 0], [0, 0]]


def broken(**changes):
    graph = csr_array(MATRIX)
    looks = {"indptr": graph.indptr, "indices": graph.indices, "data": graph.data, "shape": graph.shape}
    return type("Broken", (), looks | changes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.eye(3), "graph = 'ndarray'.*CSR"),
        (csr_array((2, 3)), r"graph.*\(2, 3\).*square"),
        (csr_array(MATRIX * np.nan), "graph.*NaN"),
        (csr_array(MATRIX * 1e13), "graph.*within"),
        (csr_array(MATRIX * 1j), "graph.*complex"),
        (broken(indices=np.array([0, 1, 2, 3])), "graph.*fit together"),
        (broken(indptr=np.array([0, 5, 2, 4])), "graph.*fit together"),
        (broken(data=np.array([1.0])), "graph.*fit together"),
        (Networkx([], []), "at least one node"),
        (Networkx([1, 2], [(1, 2, {"weight": "heavy"})]), "real weights"),
        (Networkx([1, 2], [(1, 2, {"weight": None})]), "real weights"),
    ],
)
def test_refused(bad, message):
    """What is no graph, not square, not sound, or has weights that are no numbers is refused."""
    with pytest.raises(ParameterError, match=message):
        read_graph(bad)


def test_number_of_oscillators_follows():
    """Without parameters, as many oscillators as nodes; a graph stands in place of the coupling."""
    sim = Simulation(seed=1, graph=csr_array(MATRIX))
    assert sim.params.oscillators == 3
    other = Simulation(Params(oscillators=3, coupling="global"), seed=1, graph=csr_array(MATRIX))
    sim.advance(20)
    other.advance(20)
    np.testing.assert_array_equal(sim.state.phi, other.state.phi)
    assert sim.metrics()["H_local"] == other.metrics()["H_local"]


def test_equal_to_global():
    """The complete graph with weights 1/n is global coupling."""
    n = 30
    p = Params(oscillators=n, phase_lag=0.2)
    a = Simulation(p, seed=1, graph=csr_array(np.full((n, n), 1 / n)))
    b = Simulation(p.replace(coupling="global"), seed=1)
    a.advance(50)
    b.advance(50)
    np.testing.assert_allclose(np.exp(1j * a.state.phi), np.exp(1j * b.state.phi), atol=1e-12)
    assert a.metrics()["H_local"] == pytest.approx(b.metrics()["H"], abs=1e-12)
