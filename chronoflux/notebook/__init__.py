"""What a Jupyter kernel needs: a progress bar, a shutdown hook, the page of a visitor."""
