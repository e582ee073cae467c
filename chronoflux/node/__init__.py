"""Nodes and recorders: a simulation, its part in a room, and its log."""
