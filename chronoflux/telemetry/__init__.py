"""Telemetry: write the log of a run, and read logs as pandas tables.

pandas, Zarr and xarray are loaded on first use.
"""

from chronoflux.telemetry.format.phase_store import PhaseStore, load_phases, record_phases
from chronoflux.telemetry.format.saved_state import load_simulation, save_simulation
from chronoflux.telemetry.maintain.export_json import export_json
from chronoflux.telemetry.read.load import load, load_peerings
from chronoflux.telemetry.write.writer import RunLog

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
