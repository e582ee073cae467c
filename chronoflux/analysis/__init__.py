"""Analysis: what the records say. Functions on arrays, with units, sources and closed-form checks."""
