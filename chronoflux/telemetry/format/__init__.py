"""Formats of a run's files: records, segments, manifest, saved states, phases."""
