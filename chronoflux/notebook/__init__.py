"""What a Jupyter kernel needs: a progress bar, a shutdown hook, and the room of a Voilà page."""
