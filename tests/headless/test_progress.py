"""The progress of headless nodes: a line in a terminal, log lines elsewhere."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from chronoflux.headless import progress as progress_module
from chronoflux.headless.progress import JsonFormatter, Progress
from chronoflux.model.params import Params


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Told:
    """A node as far as the line needs one."""

    class status:
        text = "linked"

    def __init__(self, name: str, H: float, **metrics: Any) -> None:
        self.node_id, self.t, self.closed, self.params = name, 0.0, False, Params(oscillators=100)
        self.metrics = {"H": H, "H_mesh": 0.5, "tau": 0.031, "peers": 2} | metrics


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that the test sets."""
    now = [1000.0]

    class Time:
        monotonic = staticmethod(lambda: now[0])

    monkeypatch.setattr(progress_module, "time", Time)
    return now


def test_the_line_in_a_terminal(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """In a terminal one line has t, H, H_mesh, tau, peers, rate and the time left; it is removed at the
    end."""
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    node = Told("n1", 0.25)
    with Progress([node], 7200.0, bar=True) as progress:  # type: ignore[list-item]
        node.t, clock[0] = 3600.0, clock[0] + 5
        progress.show()
        line = terminal.getvalue().split("\r")[-1]
        words = (
            "50%",
            "t 1:00:00",
            "H 0.250",
            "H_mesh 0.500",
            "tau 0.031",
            "2 peers",
            "rate 720",
            "0:00:05 left",
        )
        assert all(word in line for word in words), line
    assert terminal.getvalue().split("\r")[-2].strip() == ""
    assert "\n" not in terminal.getvalue()


def test_a_line_a_minute_elsewhere(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a terminal all nodes share one log line per minute, with its numbers as data: means over the
    nodes that have a value, and the time of the slowest."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    nodes = [Told("a-1", 0.2), Told("a-2", 0.4, tau=float("nan"))]
    with Progress(nodes, None, bar=True) as progress:  # type: ignore[arg-type]
        for _ in range(180):
            clock[0] += 1
            for node, faster in zip(nodes, (1.0, 1.1), strict=True):
                node.t += faster
            progress.show()
    lines = [record for record in caplog.records if record.name == "chronoflux.headless.progress"]
    assert len(lines) == 3
    assert lines[-1].getMessage().startswith("a-1 and 1 more: t 0:02:01, H 0.300 H_mesh 0.500 tau 0.031")
    facts = lines[-1].facts  # type: ignore[attr-defined]
    assert facts == {"t": 121.0, "H": 0.3, "H_mesh": 0.5, "tau": 0.031, "peers": 2.0, "rate": 1.0}


def test_json_lines() -> None:
    """A record becomes one line of JSON, with its numbers and the traceback of an error."""
    record = logging.LogRecord("chronoflux.x", logging.INFO, "", 0, "%d nodes\nhere", (3,), None)
    record.facts = {"t": 1.5}
    line = JsonFormatter().format(record)
    found = json.loads(line)
    assert "\n" not in line
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "info", "logger": "chronoflux.x", "message": "3 nodes\nhere", "t": 1.5}
    try:
        raise ValueError("wrong")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert "ValueError: wrong" in json.loads(JsonFormatter().format(record))["exception"]
