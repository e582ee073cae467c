"""Benchmarks of the engine, telemetry, studies, mesh and server."""
