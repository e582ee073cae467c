"""Records and inputs: encode values as a line of JSON, and parse a line into a checked record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

DECIMALS = 6
"""Decimals to which metrics are rounded."""
WHOLE = ("timestamp", "seq", "tick", "mono", "nodes", "intents", "peers")
"""Integer columns."""
FLOATS = ("t", "at", "H", "psi", "omega", "tau", "H_local", "H_mesh")
"""Float columns."""
OLD_TYPES = {"remote_portal": "remote_lion_gate"}
"""Record types of the first ChronoFlux that have been renamed."""

Time = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # normally ms: see `times`
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


def to_json(value: object) -> bytes:
    """Encode a value as one line of JSON. NumPy values become plain ones; NaN and infinity become ``null``.

    Raises
    ------
    TypeError, ValueError, RecursionError
        When the value contains something that JSON cannot represent.
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):  # recognise NumPy scalars and arrays without importing NumPy
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def rounded(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `metrics` with every float rounded to 6 decimals."""
    result = {}
    for name, value in (metrics or {}).items():
        if hasattr(value, "tolist"):  # otherwise NumPy rounds a float32 in float32 precision
            value = value.tolist()
        result[name] = round(value, DECIMALS) if isinstance(value, float) else value
    return result


class Metrics(Struct, gc=False, forbid_unknown_fields=True):
    """The metrics every node writes, defined in model.md. A log may also hold others."""

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
    """One record of a log. Only exports have the fields `room`, `node` and `run`."""

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
    """The field that every line of a log has, whatever its other fields are."""

    seq: Int64


class Peering(Struct, gc=False):
    """What a node knew about one of its peers at the time of the record."""

    id: str
    R: float | None = None
    dpsi: float | None = None
    rtt_ms: float | None = None
    offset_ms: float | None = None
    uncertainty_ms: float | None = None
    via: str | None = None


class Input(Struct, gc=False):
    """A peer's field, applied before `tick` was computed. `at` None: the peer's coupling ended."""

    seq: int
    tick: int
    peer: str
    at: float | None = None
    R: float = 0.0
    psi: float = 0.0
    omega: float = 0.0


class Parsed(NamedTuple):
    """A parsed line: its record, additional metrics, and additional fields."""

    record: Record
    metrics: dict[str, float | None]
    rest: dict[str, Any]


FIELDS = Record.__struct_fields__
METRICS = Metrics.__struct_fields__
_WHOLE = ("timestamp", "seq", "tick", "mono")
_COUNTS = ("nodes", "intents", "peers")
_TEXTS = ("id", "origin", "room", "node", "run")
_COLUMNS = {"time", "data", *FIELDS}  # no metric's column may take one of these names

parse_exact: Callable[[bytes | str], Record] = msgspec.json.Decoder(Record).decode
"""Parse a line with only the standard fields; raises one of `REFUSALS` for any other. Fast."""
parse_peerings: Callable[[bytes | str], list[Peering]] = msgspec.json.Decoder(list[Peering]).decode
_parse_any = msgspec.json.Decoder().decode
parse_input: Callable[[bytes | str], Input] = msgspec.json.Decoder(Input).decode
"""Parse a line of inputs; raises one of `REFUSALS` for any other line."""
_parse_numbered = msgspec.json.Decoder(_Numbered).decode
REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def seq_of(line: bytes) -> int:
    """Return the seq of a line of records or inputs; raises one of `REFUSALS` without one. Fast."""
    return _parse_numbered(line).seq


def parse(line: bytes) -> Parsed:
    """Parse any record: with additional fields or metrics, or in a format of the first ChronoFlux.

    The first browser page wrote metrics beside ``timestamp`` without ``type``, and ``intents`` as a list.

    Raises
    ------
    REFUSALS
        When the line is not a record.
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
    """Leave standard metrics in `fields`, return additional numbers, and move non-numbers to `rest`."""
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
    """Round a float to an int: JavaScript programs may write whole numbers with a fraction."""
    return round(value) if isinstance(value, float) else value


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise msgspec.ValidationError("a number too large for a float") from None


def data_of(record: Record, rest: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Merge the entries of a record's `data` and its additional fields into one dict.

    When a name occurs in both, `data` stays a separate entry ``data``. None when there is nothing.
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
    """Return a record's fields as in its line. Of None values only ``t``, ``tick`` and ``at`` are kept."""
    every = ("t", "tick", "at")
    named = ((name, getattr(record, name)) for name in FIELDS)
    found = {name: value for name, value in named if value is not None or name in every}
    if record.metrics is not None:
        metrics = ((name, getattr(record.metrics, name)) for name in METRICS)
        found["metrics"] = {name: value for name, value in metrics if value is not None}
    return found
