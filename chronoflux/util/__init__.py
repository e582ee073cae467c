"""Helpers that every package may use: text, output encoding, validation, token bucket."""
