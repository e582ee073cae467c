"""The engine: kernels that compute a tick, and the arrays that they work on."""
