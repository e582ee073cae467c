"""The browser's node."""
