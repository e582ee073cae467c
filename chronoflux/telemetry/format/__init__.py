"""What the files of a run say: records, segments, manifest, saved states, phases."""
