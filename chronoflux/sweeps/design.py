"""Design of a sweep: points in parameter space, replicates of each, and their seeds."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Real
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.params import SPECS, Params

RESERVED = ("replicate", "sample", "t", "seed", "run")
"""Names that the result uses for other things."""


@dataclass(frozen=True)
class Axis:
    """One parameter along a dimension of the result."""

    name: str
    dim: str
    values: list[Any]

    @property
    def attrs(self) -> dict[str, str]:
        """Unit and long name of the parameter; empty for a name that ``Params`` does not have."""
        spec = SPECS.get(self.name)
        return {} if spec is None else {"units": spec.unit or "1", "long_name": spec.doc}


@dataclass(frozen=True)
class Design:
    """The points of a sweep.

    ``dims``: dimension lengths by name. ``axes``: the parameters that vary along them. ``fixed``: given
    parameters that do not vary. ``points``: all given parameters of each point; the last dimension varies
    fastest.
    """

    dims: dict[str, int]
    axes: list[Axis]
    fixed: dict[str, Any]
    points: list[dict[str, Any]]

    @classmethod
    def read(cls, grid: Any) -> Design:
        """Read a grid or samples.

        A grid is a mapping of names to values, of which all combinations are run; a single value stays fixed,
        and ``world`` always does. Samples are points to run: a sequence of mappings, or a DataFrame.

        Raises
        ------
        ParameterError
            When `grid` is neither, or an axis is empty or has a value twice.
        """
        if hasattr(grid, "to_dict") and hasattr(grid, "columns"):
            grid = grid.to_dict(orient="records")
        if isinstance(grid, Mapping):
            return cls._grid({_name(name): given for name, given in grid.items()})
        if isinstance(grid, Sequence) and not isinstance(grid, str) and grid:
            return cls._samples(grid)
        raise ParameterError("grid", grid, "parameters with their values, or a list of samples, not empty")

    @classmethod
    def _grid(cls, grid: Mapping[str, Any]) -> Design:
        axes, fixed = [], {}
        for name, given in grid.items():
            single = isinstance(given, str | Real) or not isinstance(given, Iterable) or name == "world"
            if single:
                fixed[name] = _plain(name, given)
                continue
            values = [_plain(name, value) for value in given]
            if not values or len(set(values)) < len(values):
                raise ParameterError(name, values, "one value or more, each once")
            axes.append(Axis(name, name, values))
        points = [
            fixed | dict(zip([axis.name for axis in axes], chosen, strict=True))
            for chosen in product(*(axis.values for axis in axes))
        ]
        return cls({axis.dim: len(axis.values) for axis in axes}, axes, fixed, points)

    @classmethod
    def _samples(cls, samples: Sequence[Any]) -> Design:
        rows = []
        for row in samples:
            if not isinstance(row, Mapping) or row.keys() != samples[0].keys():
                raise ParameterError("grid", row, "samples that all name the same parameters")
            rows.append({_name(name): _plain(name, value) for name, value in row.items()})
        if len({json.dumps(row, sort_keys=True) for row in rows}) < len(rows):
            raise ParameterError("grid", f"{len(rows)} samples", "each sample once; replicates repeat them")
        axes = [Axis(name, "sample", [row[name] for row in rows]) for name in rows[0] if name != "world"]
        worlds = [row["world"] for row in rows if "world" in row]
        if any(world != worlds[0] for world in worlds):
            raise ParameterError("world", worlds, "the same in all samples")
        return cls({"sample": len(rows)}, axes, {"world": worlds[0]} if worlds else {}, rows)


@dataclass(frozen=True)
class Run:
    """One run: its id, its place in the result, its parameters and its seed."""

    id: str
    place: tuple[int, ...]
    point: dict[str, Any]
    params: Params
    extras: dict[str, Any]
    seed: int


def runs_of(
    design: Design, replicates: int, *, seed: int, task: Mapping[str, Any], open_names: bool
) -> list[Run]:
    """Return all runs of a design with checked parameters, each with its own seed.

    The seeds of a point are spawned from a ``SeedSequence`` of `seed` and the point's parameters, so adding
    values or replicates to a sweep does not change existing runs. A run's id is the hash of its parameters,
    its seed and the `task` (version, what is measured, when).

    Raises
    ------
    ParameterError
        For a value that the model does not allow or, unless `open_names`, an unknown parameter name.
    """
    shape = tuple(design.dims.values())
    runs = []
    for number, point in enumerate(design.points):
        extras = {name: value for name, value in point.items() if open_names and name not in SPECS}
        params = Params(**{name: value for name, value in point.items() if name not in extras})
        facts = {"params": params.to_dict(), "extras": extras}
        root = np.random.SeedSequence([seed, *np.frombuffer(_digest(facts), np.uint32).tolist()])
        place = tuple(int(index) for index in np.unravel_index(number, shape)) if shape else ()
        for replicate, child in enumerate(root.spawn(replicates)):
            own = int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))  # fits into int64
            name = _digest({**facts, "seed": own, "task": dict(task)}).hex()[:24]
            runs.append(Run(name, (*place, replicate), point, params, extras, own))
    return runs


def moments_of(duration: float, every: float | None) -> list[float]:
    """Return the times of measurement, s: every `every` seconds up to `duration`; None: at the end only.

    Raises
    ------
    ParameterError
        When `duration` is not positive, or not a multiple of `every`.
    """
    for name, value in (("duration", duration), ("every", duration if every is None else every)):
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
            raise ParameterError(name, value, "seconds, finite and > 0")
    if every is None:
        return [float(duration)]
    count = round(duration / every)
    if abs(count * every - duration) > 1e-9 * duration:
        raise ParameterError("every", every, f"a part of the duration of {duration:g} s")
    return [every * k for k in range(1, count + 1)]


def _digest(facts: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
        raise ParameterError("grid", name, "names of parameters, none of " + ", ".join(RESERVED))
    return name


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON represents it, with NumPy numbers as Python numbers."""
    value = value.item() if isinstance(value, np.generic) else value
    if name == "world" and not isinstance(value, str | Real):
        return [_plain("", side) for side in value]
    if not isinstance(value, str | int | float) or value != value:
        raise ParameterError(name, value, "numbers or words")
    return value
