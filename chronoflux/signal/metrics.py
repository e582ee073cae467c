"""The metrics at ``/metrics``, in Prometheus's text format, from a separate registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from chronoflux.signal.server import SignalServer


class _ServerCollector(Collector):
    """Reads the server's own counters at each scrape, so that nothing is counted twice."""

    def __init__(self, server: SignalServer) -> None:
        self._server = server

    def collect(self) -> Iterable[Metric]:
        server, counts = self._server, self._server.lobby.counts
        waiting = server.waiting
        yield _gauge("connections", "Open connections", server.lobby.connections)
        yield _gauge("handshakes", "Sockets whose handshake is under way", len(server.handshakes))
        yield _gauge("rooms", "Rooms with somebody in them", len(server.lobby.rooms))
        yield _gauge("queued_messages", "Messages waiting for slow receivers", sum(n for n, _ in waiting))
        yield _gauge("queued_bytes", "Bytes waiting for slow receivers", sum(size for _, size in waiting))
        longest = max((n for n, _ in waiting), default=0)
        yield _gauge("longest_queue_messages", "Messages waiting for the slowest receiver", longest)
        yield _gauge("loop_lag_seconds", "How late the event loop's last timer was", server.lag)
        yield _counter("messages_received", "Messages read", "type", counts.received)
        yield _counter("bytes_received", "Bytes of messages read", "type", counts.received_bytes)
        yield _counter("messages_sent", "Messages queued for sending", "type", server.sent)
        yield _counter("bytes_sent", "Bytes of messages queued for sending", "type", server.sent_bytes)
        drops = {**counts.refused, "telemetry-queue": server.telemetry_dropped}
        yield _counter("drops", "Messages and clients refused or dropped", "reason", drops)
        yield CounterMetricFamily("chronoflux_signal_joins", "Joins", value=counts.joins)


def exposition(server: SignalServer) -> bytes:
    """Return the metrics of `server` as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ServerCollector(server))
    return generate_latest(registry)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chronoflux_signal_{name}", text, value=value)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"chronoflux_signal_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
