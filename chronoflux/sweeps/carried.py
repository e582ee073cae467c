"""Adiabatic sweeps: within one run, a parameter goes up through its values and back, keeping the state.

The state of a swarm at a value may depend on the previous values (hysteresis). Each run therefore starts at
the first value, and the state at the end of one value is the initial state of the next.
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
    """Return the design with the carried parameter fixed at its first value, and the parameter's axis.

    Raises
    ------
    ParameterError
        Unless the parameter is an axis of a grid with two or more monotonic values, and can change in a run.
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
    """Return the values in order and back; the last value is measured in both directions."""
    return [*values, *reversed(values)]


@dataclass(frozen=True)
class CarriedFrame(Frame):
    """Result of an adiabatic sweep, with the dimensions ``branch`` (``up``, ``down``) and that of `axis`."""

    axis: Axis = Axis("", "", [])

    def dataset(self, outcomes: Mapping[str, Outcome]) -> xarray.Dataset:
        """Return the outcomes so far: see :meth:`Frame.dataset`."""
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
