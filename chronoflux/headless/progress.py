"""Report the progress of headless nodes: one line for all of them, and the handlers of ``logging``."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from chronoflux.util.text import plain_lines

if TYPE_CHECKING:
    from chronoflux.node.node import Node

log: logging.Logger = logging.getLogger(__name__)

LOG_PERIOD = 60.0  # s between two log lines without a terminal
RATE_WINDOW = 10.0  # s over which the rate is averaged
NOISY = ("aioice", "aiortc", "websockets", "numba")
SHOWN = ("H", "H_mesh", "tau")


class _Handler(logging.StreamHandler[Any]):
    """A handler that prints log lines above the progress line of a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record above the progress line."""
        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as logging itself does
            self.handleError(record)


class LineFormatter(logging.Formatter):
    """Format a record as plain text, with control characters escaped, as names in it are untrusted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text that is safe for a terminal."""
        return plain_lines(super().format(record))


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object: ``time``, ``level``, ``logger``, ``message`` and its ``facts``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found | getattr(record, "facts", {}), ensure_ascii=False)


def set_up_logging(level: str, *, as_json: bool) -> None:
    """Send log records to stderr, as plain lines or as JSON."""
    handler, root = _Handler(), logging.getLogger()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter("%(message)s"))
    for earlier in [held for held in root.handlers if isinstance(held, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


class Progress:
    """One status line for all nodes: updated in place in a terminal, else logged once per minute.

    `duration` is the simulated time to run in s (None: no end); `bar` allows the line in a terminal.
    """

    def __init__(self, nodes: Sequence[Node], duration: float | None, *, bar: bool) -> None:
        from chronoflux.model.metrics import null_order

        self._nodes, self._duration = nodes, duration
        self._start = self._since = min(node.t for node in nodes)
        self._at, self._logged, self._rate = time.monotonic(), -LOG_PERIOD, 1.0
        self._chance = null_order(nodes[0].params.oscillators)[0]
        self._bar = tqdm(
            total=duration,
            disable=not (bar and sys.stderr.isatty()),
            leave=False,
            bar_format="{elapsed} {desc}" if duration is None else "{percentage:3.0f}%|{bar:12}| {desc}",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self) -> None:
        """Update the line in the terminal, or log it if `LOG_PERIOD` seconds have passed."""
        due = time.monotonic() - self._logged >= LOG_PERIOD and all(node.metrics for node in self._nodes)
        if self._bar.disable and not due:
            return
        metrics = self._metrics()
        if not self._bar.disable:
            self._bar.n = min(metrics["t"] - self._start, self._bar.total or metrics["t"])
            self._bar.set_description_str(self._line(metrics))
        elif due:
            self._logged = time.monotonic()
            log.info("%s: %s", self._who(), self._line(metrics), extra={"facts": metrics})

    def _who(self) -> str:
        names = [node.node_id for node in self._nodes]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    def _metrics(self) -> dict[str, float]:
        """Return means over the nodes, ``t`` of the slowest, and ``rate`` in simulated seconds per second."""
        t, now = min(node.t for node in self._nodes), time.monotonic()
        if (passed := now - self._at) >= 0.5:
            self._rate = (t - self._since) / passed
        if passed >= RATE_WINDOW:
            self._at, self._since = now, t
        metrics: dict[str, float] = {"t": round(t, 3)}
        all_metrics = [node.metrics for node in self._nodes]
        for name in (*SHOWN, "peers"):
            found = [value for m in all_metrics if (value := m.get(name)) is not None and value == value]
            if found:
                metrics[name] = round(sum(found) / len(found), 6)
        metrics["rate"] = round(self._rate, 3)
        if self._duration is not None and self._rate > 0:
            metrics["left_s"] = round(max(0.0, self._start + self._duration - t) / self._rate, 1)
        return metrics

    def _line(self, metrics: dict[str, float]) -> str:
        """Return the status line."""
        numbers = " ".join(f"{name} {metrics[name]:.3f}" for name in SHOWN if name in metrics)
        words = [f"t {_hms(metrics['t'])}", f"{numbers} (H by chance {self._chance:.3f})"]
        words += [f"{metrics.get('peers', 0):g} peers", f"rate {metrics['rate']:.3g}"]
        if "left_s" in metrics:
            words.append(f"{_hms(metrics['left_s'])} left")
        running = next((node for node in self._nodes if not node.closed), self._nodes[0])
        return ", ".join(words) + f" · {running.status.text}"


def _hms(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
