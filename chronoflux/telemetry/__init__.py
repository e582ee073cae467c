"""Telemetry: what a run writes down, and how it is read again.

pandas, Zarr and xarray are loaded on first use.
"""

from chronoflux.telemetry.export import export_json
from chronoflux.telemetry.phases import PhaseStore, load_phases, record_phases
from chronoflux.telemetry.reader import load, load_peerings
from chronoflux.telemetry.saved import load_simulation, save_simulation
from chronoflux.telemetry.writer import RunLog

__all__ = [
    "PhaseStore",
    "RunLog",
    "export_json",
    "load",
    "load_peerings",
    "load_phases",
    "load_simulation",
    "record_phases",
    "save_simulation",
]
