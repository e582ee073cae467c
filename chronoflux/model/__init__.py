"""The model: parameters, swarm, events, kernels and the simulation. No clock, file, socket or widget."""
