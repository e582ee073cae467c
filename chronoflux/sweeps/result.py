"""Result of a sweep: a Dataset with a dimension for each parameter, and units."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from chronoflux.sweeps.design import Design, Run
from chronoflux.sweeps.task import Outcome
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Frame:
    """Converts the outcomes of `runs` to a Dataset; `facts` become its attributes."""

    design: Design
    runs: Sequence[Run]
    replicates: int
    moments: list[float]
    every: float | None
    facts: dict[str, Any]

    def dataset(self, outcomes: Mapping[str, Outcome]) -> xarray.Dataset:
        """Return the outcomes so far, NaN where missing; ``attrs["failures"]`` lists failed runs."""
        labelled: Any = import_module("xarray")
        dims = (*self.design.dims, "replicate")
        shape = (*self.design.dims.values(), self.replicates)
        along = (*dims, "t") if self.every is not None else dims
        units = {name: unit for found in outcomes.values() for name, unit in found.units.items()}
        values = {name: np.full((*shape, len(self.moments)), np.nan) for name in sorted(units)}
        seeds, names = np.zeros(shape, np.int64), np.full(shape, "", dtype=object)
        failures = []
        for run in self.runs:
            seeds[run.place], names[run.place] = run.seed, run.id
            found = outcomes.get(run.id)
            if found is not None and found.error:
                about = {"replicate": run.place[-1], "seed": run.seed, "run": run.id}
                failures.append({**run.point, **about, "error": found.error})
            for name, row in found.values.items() if found is not None else ():
                values[name][run.place] = row
        data = {
            name: (along, array if self.every is not None else array[..., 0], {"units": units[name]})
            for name, array in values.items()
        }
        coords: dict[str, Any] = {axis.name: (axis.dim, axis.values, axis.attrs) for axis in self.design.axes}
        coords["replicate"] = ("replicate", np.arange(self.replicates), {"units": "1"})
        coords["seed"] = (dims, seeds, {"long_name": "seed of the run"})
        coords["run"] = (dims, names, {"long_name": "id of the run, and name of its folder"})
        if self.every is not None:
            coords["t"] = ("t", self.moments, {"units": "s", "long_name": "simulated time"})
        fixed = json.dumps(self._fixed())
        attrs = {"chronoflux": VERSION, **self.facts, "fixed": fixed, "failures": failures}
        result: xarray.Dataset = labelled.Dataset(data, coords, attrs)
        return result

    def _fixed(self) -> dict[str, Any]:
        """Return the parameters that are equal in all runs, including defaults."""
        varies = {axis.name for axis in self.design.axes}
        first = self.runs[0]
        given = {**first.params.to_dict(), **first.extras}
        return {name: value for name, value in given.items() if name not in varies}
