"""ChronoFlux: watch, run and study synchronising swarms across machines.

This is the public interface. Everything loads on first use, so that ``import chronoflux`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chronoflux.util.plugins import load_plugins as _load_plugins
from chronoflux.version import VERSION as __version__

if TYPE_CHECKING:
    from chronoflux import analysis as analysis
    from chronoflux.errors import ChronofluxError
    from chronoflux.model.params import Params
    from chronoflux.model.presets import PRESETS as presets
    from chronoflux.model.simulation import Simulation, Snapshot
    from chronoflux.model.state import Pulse, State
    from chronoflux.node.join import join
    from chronoflux.node.node import Node
    from chronoflux.node.recorder import Recorder
    from chronoflux.replay import Replay
    from chronoflux.replay.counterfactual import Counterfactual, counterfactual
    from chronoflux.replay.script import Without
    from chronoflux.sweeps import sweep
    from chronoflux.telemetry import (
        load,
        load_peerings,
        load_phases,
        load_simulation,
        record_phases,
        save_simulation,
    )

_HOMES = {
    "ChronofluxError": "errors",
    "Params": "model.params",
    "Pulse": "model.state",
    "State": "model.state",
    "Simulation": "model.simulation",
    "Snapshot": "model.simulation",
    "Node": "node.node",
    "Recorder": "node.recorder",
    "presets": "model.presets",
    "join": "node.join",
    "Counterfactual": "replay.counterfactual",
    "Replay": "replay",
    "Without": "replay.script",
    "counterfactual": "replay.counterfactual",
    "load": "telemetry",
    "load_peerings": "telemetry",
    "load_phases": "telemetry",
    "load_simulation": "telemetry",
    "record_phases": "telemetry",
    "save_simulation": "telemetry",
    "sweep": "sweeps",
}


def __getattr__(name: str) -> Any:
    if name == "analysis":
        return import_module("chronoflux.analysis")
    if name not in _HOMES:
        raise AttributeError(f"module 'chronoflux' has no attribute {name!r}")
    _load_plugins()
    module = import_module(f"chronoflux.{_HOMES[name]}")
    value = globals()[name] = module.PRESETS if name == "presets" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__", "analysis"])


__all__ = [
    "ChronofluxError",
    "Counterfactual",
    "Node",
    "Params",
    "Pulse",
    "Recorder",
    "Replay",
    "Simulation",
    "Snapshot",
    "State",
    "Without",
    "__version__",
    "analysis",
    "counterfactual",
    "join",
    "load",
    "load_peerings",
    "load_phases",
    "load_simulation",
    "presets",
    "record_phases",
    "save_simulation",
    "sweep",
]
