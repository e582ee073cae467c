"""Rendering: a swarm and its pressure field as arrays of RGB values or colour-map levels."""
