"""The mesh of one room: links to peers, events, mean fields and the common clock."""
