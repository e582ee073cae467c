"""ChronoFlux: watch, run and study synchronising swarms across machines."""

from chronoflux.version import VERSION as __version__

__all__ = ["__version__"]
