"""Telemetry: what a run writes down, and how it is read again. pandas is loaded on the first read."""

from chronoflux.telemetry.export import export_json
from chronoflux.telemetry.reader import load, load_peerings
from chronoflux.telemetry.writer import RunLog

__all__ = ["RunLog", "export_json", "load", "load_peerings"]
