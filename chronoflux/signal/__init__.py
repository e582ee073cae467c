"""Signaling: the server where nodes meet, the client that joins a room, and their messages."""
