"""The browser's node: static files, and the tables of events and parameters that it gets from the server."""
