"""Telemetry: what a run writes down, and how it is read again. pandas is loaded on the first read."""

from chronoflux.telemetry.writer import RunLog

__all__ = ["RunLog"]
