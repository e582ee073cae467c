"""``python -m chronoflux.bench``: benchmarks of the engine, telemetry, studies, mesh and server."""

from __future__ import annotations

from chronoflux.bench.engine import main
from chronoflux.cli import run_command

if __name__ == "__main__":
    run_command(main)
