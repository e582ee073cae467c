"""`Report`: a node's telemetry, sent once a second; the receiver that records it checks it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from chronoflux.errors import ProtocolError
from chronoflux.mesh.messages import Count, Short, Telemetry, Time, convert

PAIRINGS = 48
"""Most peers listed in a report; a longer one would exceed the server's limit."""

Order = Annotated[float, Meta(ge=0, le=1 + 1e-6)]
Angle = Annotated[float, Meta(ge=-100, le=100)]
Number = Annotated[float, Meta(ge=-1e13, le=1e13)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]


class Pairing(Struct):
    """A node's state relative to one of its peers, as in the node's own record."""

    id: Short
    R: Order | None = None
    dpsi: Angle | None = None
    rtt_ms: Number | None = None
    offset_ms: Number | None = None
    uncertainty_ms: Number | None = None
    via: Short | None = None


class Report(Struct, rename={"node_id": "nodeId"}):
    """The values of one record of a node. Old clients send few of them, and `intents` as a list."""

    t: Seconds | None = None
    tick: Count | None = None
    at: Time | None = None
    seq: Count | None = None
    node_id: Short = ""
    H: Order | None = None
    psi: Angle | None = None
    omega: Number | None = None
    tau: Number | None = None
    H_local: Order | None = None
    H_mesh: Order | None = None
    nodes: Count | None = None
    intents: Count | list[Any] | None = None
    pulses: Count | None = None
    """The number of intents, where the list contains only some of them."""
    peers: Count | list[Any] | None = None
    portal: bool | None = None
    peerings: Annotated[list[Pairing], Meta(max_length=PAIRINGS)] = []

    def metrics(self) -> dict[str, Any]:
        """Return the metrics in the form of a record."""
        named = ("H", "psi", "omega", "tau", "H_local", "H_mesh", "nodes", "intents", "peers", "portal")
        values = {name: getattr(self, name) for name in named}
        counted = {name: len(value) if isinstance(value, list) else value for name, value in values.items()}
        if self.pulses is not None:
            counted["intents"] = self.pulses
        return {name: value for name, value in counted.items() if value is not None}


def report_of(message: Telemetry) -> Report:
    """Return the report in a telemetry message.

    Raises
    ------
    ProtocolError
        If a value has the wrong type, is out of range, or is not printable.
    """
    facts: Mapping[str, Any] = message.telemetry
    report: Report = convert(facts, Report, "telemetry")
    if not all(f"{pairing.id}{pairing.via or ''}".isprintable() for pairing in report.peerings):
        raise ProtocolError("telemetry", "peerings are not printable")
    return report
