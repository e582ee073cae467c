"""Fixtures that several rooms need."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from chronoflux.node.join import join
from chronoflux.node.node import Node
from chronoflux.signal.client import SignalClient
from chronoflux.signal.protocol import SendSignal
from chronoflux.signal.server import SignalServer

# The first text that is drawn on a machine builds Hypothesis's table of Unicode, which takes seconds; kernels
# are compiled within an example. Neither says anything of a test.
settings.register_profile("chronoflux", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chronoflux")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(why: str) -> NoReturn:
    """Skip a test that cannot run here, or, where nothing may be skipped, fail."""
    (pytest.fail if os.environ.get("CHRONOFLUX_NO_SKIP") else pytest.skip)(why)


def need(tool: str | None, name: str) -> str:
    """The tool's path; a test cannot run without it."""
    return tool or unavailable(f"{name} is not installed")


@pytest.fixture
async def server() -> AsyncIterator[SignalServer]:
    """A signaling server of ours on a free port."""
    async with SignalServer(port=0) as running:
        yield running


@pytest.fixture
def no_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offers and answers never arrive: pairs have nothing but the server's relay."""
    send = SignalClient.send
    monkeypatch.setattr(
        SignalClient, "send", lambda self, message: isinstance(message, SendSignal) or send(self, message)
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured (`record_property`)."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name} {value}")


Joiner = Callable[..., Awaitable[Node]]


@pytest.fixture
async def joined(tmp_path: Path) -> AsyncIterator[Joiner]:
    """A `join` whose nodes log into a temporary folder and leave at the end, all at once."""
    nodes: list[Node] = []

    async def one(room: str = "room1", **options: Any) -> Node:
        options.setdefault("log_dir", tmp_path / "logs")
        options.setdefault("node_id", f"n{len(nodes) + 1}")
        options.setdefault("seed", len(nodes) + 1)
        node = await join(room, **options)
        nodes.append(node)
        return node

    yield one
    await asyncio.gather(*(node.leave() for node in nodes))
    with contextlib.suppress(RuntimeError):
        left = [
            task for task in asyncio.all_tasks() if "node" in task.get_name() or "link" in task.get_name()
        ]
        assert not left, f"tasks left behind: {left}"
