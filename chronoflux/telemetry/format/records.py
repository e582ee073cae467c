"""A record or input: how its values become a line of JSON, and how a line becomes a checked one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

DECIMALS = 6
"""Decimals that metrics are rounded to."""
WHOLE = ("timestamp", "seq", "tick", "mono", "nodes", "intents", "peers")
"""Columns of whole numbers."""
FLOATS = ("t", "at", "H", "psi", "omega", "tau", "H_local", "H_mesh")
"""Columns of floats."""
OLD_TYPES = {"remote_portal": "remote_lion_gate"}
"""Types of the first ChronoFlux that have another name now."""

Time = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # ms, if they are: see `times`
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


def to_json(value: object) -> bytes:
    """One line of JSON. NumPy values become plain ones, NaN and infinity ``null``.

    Raises
    ------
    TypeError, ValueError, RecursionError
        When there is something in it that JSON cannot say.
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing NumPy
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def rounded(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """`metrics` with every float rounded to 6 decimals."""
    result = {}
    for name, value in (metrics or {}).items():
        if hasattr(value, "tolist"):  # NumPy's float32 would be rounded within float32
            value = value.tolist()
        result[name] = round(value, DECIMALS) if isinstance(value, float) else value
    return result


class Metrics(Struct, gc=False, forbid_unknown_fields=True):
    """The metrics every node writes; see model.md for their definitions. A log may hold others besides."""

    H: float | None = None
    psi: float | None = None
    omega: float | None = None
    tau: float | None = None
    H_local: float | None = None
    H_mesh: float | None = None
    nodes: Int64 | None = None
    intents: Int64 | None = None
    peers: Int64 | None = None
    portal: bool | None = None


class Record(Struct, gc=False, forbid_unknown_fields=True):
    """One record as it lies in a log. `room`, `node` and `run` stand in exports only."""

    timestamp: Time
    type: str
    t: float | None = None
    metrics: Metrics | None = None
    seq: Int64 | None = None
    tick: Int64 | None = None
    mono: Int64 | None = None
    at: float | None = None
    data: Any = None
    id: str | None = None
    origin: str | None = None
    peerings: msgspec.Raw | None = None
    room: str | None = None
    node: str | None = None
    run: str | None = None


class _Numbered(Struct, gc=False):
    """What every line of a log begins or ends with, whatever else is in it."""

    seq: Int64


class Peering(Struct, gc=False):
    """What a node knew about one of its peers, at the moment of the record it stands in."""

    id: str
    R: float | None = None
    dpsi: float | None = None
    rtt_ms: float | None = None
    offset_ms: float | None = None
    uncertainty_ms: float | None = None
    via: str | None = None


class Input(Struct, gc=False):
    """A field of a peer, heard before `tick` moved; `at` None: that peer was let go of."""

    seq: int
    tick: int
    peer: str
    at: float | None = None
    R: float = 0.0
    psi: float = 0.0
    omega: float = 0.0


class Parsed(NamedTuple):
    """A line's record, its further metrics, and its further fields."""

    record: Record
    metrics: dict[str, float | None]
    rest: dict[str, Any]


FIELDS = Record.__struct_fields__
METRICS = Metrics.__struct_fields__
_WHOLE = ("timestamp", "seq", "tick", "mono")
_COUNTS = ("nodes", "intents", "peers")
_TEXTS = ("id", "origin", "room", "node", "run")
_COLUMNS = {"time", "data", *FIELDS}  # no metric's column may take one of these names

parse_exact = msgspec.json.Decoder(Record).decode
"""A line with only the usual fields → `Record`; raises one of `REFUSALS` for any other. Quick."""
parse_peerings = msgspec.json.Decoder(list[Peering]).decode
_parse_any = msgspec.json.Decoder().decode
parse_input = msgspec.json.Decoder(Input).decode
"""A line of inputs → `Input`; raises one of `REFUSALS` for any other line."""
_parse_numbered = msgspec.json.Decoder(_Numbered).decode
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def seq_of(line: bytes) -> int:
    """The seq of a line of records or inputs; raises one of `REFUSALS` where it has none. Quick."""
    return _parse_numbered(line).seq


def parse(line: bytes) -> Parsed:
    """Any record: with further fields or metrics, or in one of the forms of the first ChronoFlux.

    Its page wrote telemetry flat (metrics beside ``timestamp``, no ``type``) and ``intents`` as a list.

    Raises
    ------
    REFUSALS
        When it is no record.
    """
    fields = _parse_any(line)
    if not isinstance(fields, dict):
        raise msgspec.ValidationError("not a JSON object")
    if "type" not in fields:
        fields["type"] = "telemetry"
        if "metrics" not in fields:
            fields["metrics"] = {name: fields.pop(name) for name in METRICS if name in fields}
    rest = {name: fields.pop(name) for name in list(fields) if name not in FIELDS}
    rest |= {name: fields.pop(name) for name in _TEXTS if not isinstance(fields.get(name, ""), str | None)}
    further = _split_metrics(fields, rest)
    peerings = fields.pop("peerings", None)
    for name in _WHOLE:
        fields[name] = _whole(fields.get(name))
    record = msgspec.convert(fields, Record)
    if peerings is not None:
        record.peerings = msgspec.Raw(msgspec.json.encode(peerings))
    return Parsed(record, further, rest)


def _split_metrics(fields: dict[str, Any], rest: dict[str, Any]) -> dict[str, float | None]:
    """Leave the usual metrics in `fields`; return further numbers; put what is no number into `rest`."""
    metrics = fields.get("metrics")
    if not isinstance(metrics, dict):
        return {}
    if isinstance(metrics.get("intents"), list):
        rest["intents"] = metrics["intents"]
        metrics["intents"] = len(metrics["intents"])
    for name in _COUNTS:
        metrics[name] = _whole(metrics.get(name))
    further: dict[str, float | None] = {}
    odd = {}
    for name in [name for name in metrics if name not in METRICS]:
        value = metrics.pop(name)
        if name not in _COLUMNS and (value is None or isinstance(value, int | float)):
            further[name] = None if value is None else _to_float(value)
        else:
            odd[name] = value
    if odd:
        rest["metrics"] = odd
    return further


def _whole(value: Any) -> Any:
    """A whole number that a JavaScript program may have written with a fraction."""
    return round(value) if isinstance(value, float) else value


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise msgspec.ValidationError("a number too large for a float") from None


def data_of(record: Record, rest: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """What remains of a record beside its columns: its data's entries and its further fields, side by side.

    Where a name occurs in both, the data stays an entry ``data`` of its own. None when nothing remains.
    """
    found = dict(rest or {})
    if record.id is not None:
        found["id"] = record.id
    if record.origin is not None:
        found["origin"] = record.origin
    if isinstance(record.data, dict) and not found.keys() & record.data.keys():
        found = record.data | found
    elif record.data is not None:
        found["data"] = record.data
    return found or None


def fields_of(record: Record) -> dict[str, Any]:
    """A record's fields as they stand in a line; of those that are None only the ones that all have."""
    every = ("t", "tick", "at")
    named = ((name, getattr(record, name)) for name in FIELDS)
    found = {name: value for name, value in named if value is not None or name in every}
    if record.metrics is not None:
        metrics = ((name, getattr(record.metrics, name)) for name in METRICS)
        found["metrics"] = {name: value for name, value in metrics if value is not None}
    return found
