"""A swarm and its field as arrays of RGB and levels."""
