"""Presets: named parameters, one line each in the registry `PRESETS` (public as ``cf.presets``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chronoflux.errors import ParameterError, UsageError, shorten
from chronoflux.model.params import Params


class Presets(Mapping[str, Params]):
    """Named parameters: ``presets["storm"]``. ``presets.register`` adds one, which menus then offer."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Params, str]] = {}

    def register(self, name: str, params: Params, doc: str) -> Params:
        """Add a preset, with a sentence on what it shows; replace one of that name."""
        if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
            raise UsageError(f"preset name {shorten(name)}: give 1 to 64 printable characters")
        if not isinstance(params, Params):
            raise UsageError(f"preset {name}: {shorten(params)} is not a chronoflux.Params(…)")
        self._known[name] = params, doc
        return params

    def unregister(self, name: str) -> None:
        """Remove a preset."""
        self[name]
        del self._known[name]

    def about(self, name: str) -> str:
        """What a preset shows, in a sentence."""
        self[name]
        return self._known[name][1]

    def __getitem__(self, name: str) -> Params:
        try:
            return self._known[name][0]
        except KeyError:
            raise ParameterError("preset", name, "one of " + ", ".join(self._known)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._known))

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return "\n".join(f"{name:10} {doc}" for name, (_, doc) in self._known.items())


PRESETS = Presets()


def preset_or(params: Params | None, preset: str | None) -> Params | None:
    """The parameters of a preset, or `params`.

    Raises
    ------
    UsageError
        When both are given.
    ParameterError
        When there is no such preset.
    """
    if preset is None:
        return params
    if params is not None:
        raise UsageError("both params and preset are given: leave one out, or use presets[name].replace(…)")
    return PRESETS[preset]


PRESETS.register(
    "classic",
    Params(),
    "the defaults: equal frequencies and little motion; order grows while vortices vanish",
)
PRESETS.register(
    "drift",
    Params(gamma=12.0, eta=0.12, kappa=1.0, frequency_spread=0.02),
    "the jet moves the swarm, so neighbours change",
)
PRESETS.register(
    "spread",
    Params(oscillators=400, kappa=1.6, frequency_spread=0.12, gamma=2.0),
    "unequal frequencies: patches lock, and their borders slip",
)
PRESETS.register(
    "spirals",
    Params(oscillators=800, kappa=2.0, phase_lag=0.9, noise=0.01),
    "a phase lag: waves rotate around vortices",
)
PRESETS.register(
    "storm",
    Params(oscillators=400, gamma=20.0, eta=0.06, kappa=1.2, noise=0.25, frequency_spread=0.05),
    "fast motion, noise and unequal frequencies, at the onset of order",
)
PRESETS.register(
    "choir",
    Params(oscillators=300, coupling="global", kappa=1.0, frequency_spread=0.1, noise=0.05),
    "global coupling with noise: the order of the whole swarm fluctuates",
)
