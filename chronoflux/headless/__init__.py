"""Run nodes and recorders without a notebook: ``python -m chronoflux.headless``."""
