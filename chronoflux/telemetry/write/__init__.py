"""Writing of a run folder during the run."""
