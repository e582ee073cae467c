"""The mesh: links to peers, their events and mean fields, one room."""
