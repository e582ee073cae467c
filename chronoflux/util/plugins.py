"""Plugins: what other installed packages register when ChronoFlux is used.

A package names a module in the entry point group ``chronoflux.plugins``. The module is imported once, when a
public name of `chronoflux` or a command is first used, and registers what it has: ``EVENTS.register(…)``,
``cf.presets.register(…)``. In its ``pyproject.toml``::

    [project.entry-points."chronoflux.plugins"]
    tides = "chronoflux_tides"
"""

from __future__ import annotations

import threading
import warnings

GROUP = "chronoflux.plugins"
_lock = threading.RLock()
_loaded: dict[str, str] = {}
_begun = False


def load_plugins() -> dict[str, str]:
    """Import the plugins that are installed, on the first call. Return the module of each, by name.

    A plugin that cannot be imported is left out, with a warning that names it.
    """
    global _begun
    with _lock:
        if not _begun:
            from importlib.metadata import entry_points  # not at each `import chronoflux`

            _begun = True  # before the imports: a plugin imports chronoflux, which calls this
            for point in entry_points(group=GROUP):
                try:
                    point.load()
                except Exception as error:  # noqa: BLE001 - whatever a module of others raises at import
                    package = point.dist.name if point.dist is not None else point.value
                    warnings.warn(
                        f"plugin {point.name} of {package} is left out: {type(error).__name__}: {error}",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                else:
                    _loaded[point.name] = point.value
        return dict(_loaded)
