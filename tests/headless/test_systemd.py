"""Notifications to a service manager, over real datagram sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronoflux.headless.systemd import notify, watchdog_period

ABSTRACT = f"chronoflux-test-{os.getpid()}"


@pytest.fixture(params=["a path", "an abstract name"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket such as a service manager opens."""
    path = str(tmp_path / "notify")
    told, bound = (path, path) if request.param == "a path" else ("@" + ABSTRACT, "\0" + ABSTRACT)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(bound)
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", told)
        yield receiver


def test_the_manager_is_told(manager: socket.socket) -> None:
    """Each state is one datagram, at a path and under an abstract name."""
    assert notify("READY=1")
    assert notify("STOPPING=1")
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/notify", "vsock:2:1", "@" + "x" * 200])
def test_nobody_there_is_no_trouble(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manager, or with an unreachable one, nothing is sent and nothing raised."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket) -> None:
    """When the manager's queue is full, a notification is dropped at once."""
    assert not all(notify("WATCHDOG=1") for _ in range(100_000))


@pytest.mark.parametrize(
    ("variables", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_read(
    variables: dict[str, str], period: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog period is used if it is a number and meant for this process."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert watchdog_period() == period
