"""The engine: advances the state of a swarm by step parameters. This is its door.

Other packages import from here, and from no module of the engine; an import contract holds that. README.md in
this folder explains the engine. Names that need numba load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from chronoflux.model.engine.arrays import Floats, Indices, Longs, World
from chronoflux.model.engine.choice import COMPILED, PLAIN, VARIABLE, chosen_engine
from chronoflux.model.engine.record_buffer import ARRAYS, NO_BUFFER, RecordBuffer
from chronoflux.model.engine.store import Store, make_store
from chronoflux.model.engine.thread_pool import (
    processors,
    run_on_threads,
    single_threaded,
    threads,
    uninterrupted,
    use_threads,
)

if TYPE_CHECKING:
    from chronoflux.model.engine.field import (
        AMBIENT,
        COS,
        FAINT,
        JET_FROM,
        JET_OMEGA,
        JET_STRENGTH,
        JET_WIDTH,
        SIN,
        TOP,
        WAVENUMBER,
        decay,
        offset,
        pressure,
        pressure_grid,
        strength,
    )
    from chronoflux.model.engine.jit import KernelCache, cache_on_disk, cached_kernel, device_function
    from chronoflux.model.engine.math_functions import sincos, single_exponential
    from chronoflux.model.engine.particles import ParticleStore, in_range
    from chronoflux.model.engine.phases import FRESH, GLOBAL, GRAPH, KNN, TAU, Coupling, Graph, sin_cos
    from chronoflux.model.engine.step import Clock, ExternalForcing, StepParams, mesh_time

_HOMES = {
    "field": "AMBIENT COS FAINT JET_FROM JET_OMEGA JET_STRENGTH JET_WIDTH SIN TOP WAVENUMBER "
    "decay offset pressure pressure_grid strength",
    "jit": "KernelCache cache_on_disk cached_kernel device_function",
    "math_functions": "sincos single_exponential",
    "particles": "ParticleStore in_range",
    "phases": "FRESH GLOBAL GRAPH KNN TAU Coupling Graph sin_cos",
    "step": "Clock ExternalForcing StepParams mesh_time",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


__all__ = [
    "AMBIENT",
    "ARRAYS",
    "COMPILED",
    "COS",
    "FAINT",
    "FRESH",
    "GLOBAL",
    "GRAPH",
    "JET_FROM",
    "JET_OMEGA",
    "JET_STRENGTH",
    "JET_WIDTH",
    "KNN",
    "NO_BUFFER",
    "PLAIN",
    "SIN",
    "TAU",
    "TOP",
    "VARIABLE",
    "WAVENUMBER",
    "Clock",
    "Coupling",
    "ExternalForcing",
    "Floats",
    "Graph",
    "Indices",
    "KernelCache",
    "Longs",
    "ParticleStore",
    "RecordBuffer",
    "StepParams",
    "Store",
    "World",
    "cache_on_disk",
    "cached_kernel",
    "chosen_engine",
    "decay",
    "device_function",
    "in_range",
    "make_store",
    "mesh_time",
    "offset",
    "pressure",
    "pressure_grid",
    "processors",
    "run_on_threads",
    "sin_cos",
    "sincos",
    "single_exponential",
    "single_threaded",
    "strength",
    "threads",
    "uninterrupted",
    "use_threads",
]
