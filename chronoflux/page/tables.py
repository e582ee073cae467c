"""Tables for the browser's node, made from those of the model: events, parameters, presets; plain values."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, Metadata, StrType, StructType, type_info

from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.params import SPECS, Params, Spec
from chronoflux.model.presets import PRESETS
from chronoflux.version import VERSION


def tables() -> dict[str, Any]:
    """Return what the page needs to know of the package, for JSON.

    Examples
    --------
    >>> sorted(tables())
    ['events', 'parameters', 'presets', 'version']
    """
    return {
        "version": VERSION,
        "events": event_table(),
        "parameters": parameter_table(),
        "presets": [
            {"name": name, "about": PRESETS.about(name), "params": params.to_dict()}
            for name, params in PRESETS.items()
        ],
    }


def parameter_table() -> list[dict[str, Any]]:
    """Return the model's parameters: name, default, unit, meaning, bounds, range of the control, choices.

    Examples
    --------
    >>> parameter_table()[2]["name"], parameter_table()[2]["default"], parameter_table()[2]["unit"]
    ('kappa', 0.7, 'rad/s')
    """
    return [_parameter(name, spec) for name, spec in SPECS.items()]


def _parameter(name: str, spec: Spec) -> dict[str, Any]:
    default = getattr(Params(), name)
    return {
        "name": name,
        "default": default,
        "whole": isinstance(default, int),
        "unit": spec.unit,
        "doc": spec.doc,
        "low": spec.low if math.isfinite(spec.low) else None,
        "high": spec.high if math.isfinite(spec.high) else None,
        "slider": spec.slider,
        "reset": spec.reset,
        "choices": list(spec.choices),
    }


def event_table() -> list[dict[str, Any]]:
    """Return the registered events as the page's ``EventKind`` objects, in the order of their buttons.

    Examples
    --------
    >>> [(event["name"], event["wire"]) for event in event_table()]
    [('intent', 'intent'), ('lion_gate', 'portal'), ('pacemaker_flip', 'flip')]
    """
    return [_event(kind) for kind in EVENTS]


def _event(kind: EventKind) -> dict[str, Any]:
    info = type_info(kind.payload)
    assert isinstance(info, StructType)
    return {
        "name": kind.name,
        "wire": kind.wire,
        "label": kind.label,
        "nested": kind.nested,
        "standing": kind.standing,
        "significant": kind.significant,
        "fields": {field.name: _field(field) for field in info.fields},
    }


def _field(field: msgspec.inspect.Field) -> dict[str, Any]:
    """Type, bounds and default of one field of an event's data."""
    spec: dict[str, Any] = {}
    kind: Any = field.type
    if isinstance(kind, Metadata):
        spec |= {"px": place} if (place := (kind.extra or {}).get("px")) else {}
        kind = kind.type
    match kind:
        case BoolType():
            spec["type"] = "boolean"
        case StrType():
            spec["type"] = "string"
        case FloatType() | IntType():
            bounds = {"low": kind.ge, "above": kind.gt, "high": kind.le}
            spec |= {"type": "number"} | {name: bound for name, bound in bounds.items() if bound is not None}
        case _:
            spec["type"] = "other"
    if not isinstance(field.default, msgspec.NODEFAULT.__class__):
        spec["default"] = field.default
    return spec
