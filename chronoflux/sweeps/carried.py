"""Adiabatic sweeps: one parameter goes up through its values and down again, in one run, with its state.

What a swarm does at a value may depend on where it comes from (hysteresis). So each run begins at the first
value, and the state at the end of a value is where the next one begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from chronoflux.errors import ParameterError
from chronoflux.model.params import SPECS, Params
from chronoflux.sweeps.design import Axis, Design
from chronoflux.sweeps.result import Frame
from chronoflux.sweeps.task import Outcome

if TYPE_CHECKING:
    import xarray

BRANCH = "branch"
BRANCHES = ("up", "down")


def taken_out(design: Design, name: str, every: float | None) -> tuple[Design, Axis]:
    """The design with the carried parameter at its first value, and its axis.

    Raises
    ------
    ParameterError
        Unless the parameter is an axis of a grid with two values or more, growing or falling, that a running
        swarm can change.
    """
    found = [axis for axis in design.axes if axis.name == name]
    if not found or found[0].dim != name or len(found[0].values) < 2:
        raise ParameterError("carry", name, "a parameter of the grid that has two values or more there")
    if name not in SPECS or SPECS[name].reset or SPECS[name].choices:
        allowed = [one for one, spec in SPECS.items() if not spec.reset and not spec.choices]
        raise ParameterError("carry", name, "one that can change in a run: " + ", ".join(allowed))
    values = found[0].values
    if values not in (sorted(values), sorted(values, reverse=True)):
        raise ParameterError(name, values, "values that grow or fall, to be carried from one to the next")
    if every is not None:
        raise ParameterError("every", every, "None with carry: each value is measured once, at its end")
    for value in values:
        Params(**{name: value})
    dims = {dim: length for dim, length in design.dims.items() if dim != name}
    points = [point for point in design.points if point[name] == values[0]]
    axes = [axis for axis in design.axes if axis.name != name]
    return replace(design, dims=dims, axes=axes, points=points), found[0]


def there_and_back(values: Sequence[Any]) -> list[Any]:
    """The values in their order and back: the last is measured on both ways."""
    return [*values, *reversed(values)]


@dataclass(frozen=True)
class CarriedFrame(Frame):
    """The result of a carried sweep: the dimensions ``branch`` (``up``, ``down``) and that of `axis`."""

    axis: Axis = Axis("", "", [])

    def dataset(self, outcomes: Mapping[str, Outcome]) -> xarray.Dataset:
        """The outcomes so far; see :meth:`Frame.dataset`."""
        labelled: Any = import_module("xarray")
        whole = super().dataset(outcomes)
        count = len(self.axis.values)
        up, down = whole.isel(t=slice(0, count)), whole.isel(t=slice(None, count - 1, -1))
        both = [part.drop_vars("t").rename(t=self.axis.name) for part in (up, down)]
        values = (self.axis.name, self.axis.values, self.axis.attrs)
        both = [part.assign_coords({self.axis.name: values}) for part in both]
        names = labelled.DataArray(list(BRANCHES), dims=BRANCH, name=BRANCH)
        merged = {name: labelled.concat([part[name] for part in both], dim=names) for name in whole.data_vars}
        rest = {name: coord for name, coord in both[0].coords.items() if name not in merged}
        result: xarray.Dataset = labelled.Dataset(merged, rest, dict(whole.attrs) | {"carry": self.axis.name})
        for name, variable in whole.data_vars.items():
            result[name].attrs.update(variable.attrs)
        return result
