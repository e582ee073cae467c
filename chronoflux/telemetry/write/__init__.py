"""Writing of a run folder while the run goes on."""
