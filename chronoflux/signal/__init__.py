"""Signaling: the server where nodes meet, the client that joins a room there, and what they say."""
