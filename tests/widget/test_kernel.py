"""The view in a real kernel, by messages as JupyterLab sends them: on the main thread, and on a subshell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.browser import ROOT
from tests.support import until

pytestmark = pytest.mark.slow

INSTALLED = "the one installed"
KERNELS = ("6.31.0", "7.3.0", INSTALLED)
"""Versions of ipykernel. The first has no subshells, the second handles what is sent on one in a thread of
its own, later ones where the widget was last updated."""
CELL = """
import chronoflux as cf
node = await cf.join("room1", server=None, params=cf.Params(oscillators=12), node_id="me", background={apart})
node
"""


@dataclass
class Kernel:
    """A kernel and what it published: the widgets by number, and what they were told to show."""

    client: AsyncKernelClient
    subshell: str | None = None
    widgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    async def listen(self) -> None:
        while True:
            message = await self.client.get_iopub_msg(timeout=None)
            content, kind = message["content"], message["msg_type"]
            if kind == "error":
                self.errors.append(content["evalue"])
            elif kind == "comm_open":
                self.widgets[content["comm_id"]] = content["data"].get("state", {})
            elif kind == "comm_msg" and content["data"].get("method") == "update":
                self.widgets[content["comm_id"]] |= content["data"]["state"]
            elif kind == "comm_msg" and "chronoflux" in content["data"].get("content", {}):
                self.frames.append(content["data"]["content"]["chronoflux"]["number"])
                self._send(content["comm_id"], _own(shown=self.frames[-1], client="page"))
            elif kind == "status" and content["execution_state"] == "idle":
                self.done.add(message["parent_header"].get("msg_id", ""))

    def shows(self, **state: str) -> list[str]:
        """The numbers of the widgets whose state begins so."""
        return [
            comm
            for comm, held in self.widgets.items()
            if all(str(held.get(name, "")).startswith(value) for name, value in state.items())
        ]

    def find(self, **state: str) -> str:
        """The number of the one widget whose state begins so."""
        (found,) = self.shows(**state)
        return found

    def _send(self, comm: str, data: dict[str, Any]) -> str:
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    async def say(self, comm: str, data: dict[str, Any]) -> None:
        """Send what a page would, and wait until the kernel is done with it."""
        number = self._send(comm, data)
        await until(lambda: number in self.done, 20, "the kernel to be done with it")

    async def press(self, **button: str) -> None:
        await self.say(self.find(**button), _own(event="click"))

    async def run(self, source: str) -> None:
        """Run a cell and wait for its end."""
        number = self.client.execute(source)
        await until(lambda: number in self.done, 120, "the cell")
        assert not self.errors, self.errors

    async def open_subshell(self) -> bool:
        """Have what follows sent on a subshell; False where the kernel has none."""
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        try:
            reply = await self.client.get_control_msg(timeout=5)
        except queue.Empty:  # it does not know the request
            return False
        self.subshell = reply["content"].get("subshell_id")
        return self.subshell is not None


@contextlib.asynccontextmanager
async def kernel(folder: Path, packages: Path | None) -> AsyncIterator[Kernel]:
    """A kernel that works in `folder`, with the packages in `packages` before those installed."""
    path = os.pathsep.join(str(part) for part in (packages, ROOT) if part is not None)
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(cwd=str(folder), env=os.environ | {"PYTHONPATH": path})
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        running = Kernel(client)
        listening = asyncio.create_task(running.listen())
        try:
            yield running
        finally:
            listening.cancel()
            await asyncio.wait([listening])
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def other_ipykernel(version: str, folder: Path) -> Path:
    """A folder with that version of ipykernel."""
    order = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={folder}"]
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *order, f"ipykernel=={version}", stdout=silent, stderr=silent
    )
    if await process.wait():
        pytest.skip(f"ipykernel {version} cannot be had here")
    return folder


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The records of one type in the run in `folder`."""
    (log,) = folder.glob("logs/*/telemetry.jsonl")
    lines = [json.loads(line) for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [record for record in lines if record["type"] == kind]


@pytest.mark.parametrize(
    ("version", "apart"), [*((version, False) for version in KERNELS), (INSTALLED, True)]
)
async def test_every_control_by_messages(tmp_path: Path, version: str, apart: bool) -> None:
    """Each button, menu and slider takes effect exactly once, by messages to the kernel and to a subshell of
    it, for a node on the kernel's loop and for one in the background."""
    packages = None if version == INSTALLED else await other_ipykernel(version, tmp_path / "packages")
    async with kernel(tmp_path, packages) as k:
        await k.run(CELL.format(apart=apart))
        await k.run("import ipykernel; open('version', 'w').write(ipykernel.__version__)")
        assert version in (INSTALLED, (tmp_path / "version").read_text())
        for shell in range(2):
            if shell and not await k.open_subshell():
                assert version == KERNELS[0]
                break
            port = k.find(_model_module="anywidget", port="")
            await k.say(port, _own(watching=True, displayed=True, client="page"))
            await until(lambda: len(k.frames) >= 2, 20, "two frames")
            before = {kind: len(told(tmp_path, kind)) for kind in KINDS}
            for button in ("+ Intent", "Lion Gate", "Pacemaker Flip", "Step", "Reset", "Play"):
                await until(lambda button=button: k.shows(description=button), 10, button)
                await k.press(description=button)
            await k.say(port, _own(click=[0.5, 0.5]))
            speed, note = k.find(description="speed"), k.find(description="note")
            await k.say(speed, {"method": "update", "state": {"index": 3 - shell}, "buffer_paths": []})
            await k.say(note, {"method": "update", "state": {"value": "hello"}, "buffer_paths": []})
            kappa = k.find(description="κ [rad/s]")
            await k.say(kappa, {"method": "update", "state": {"value": 1.5 + shell}, "buffer_paths": []})

            def happened(before: dict[str, int] = before) -> dict[str, int]:
                return {kind: len(told(tmp_path, kind)) - before[kind] for kind in KINDS}

            await until(lambda happened=happened: happened() == KINDS, 20, f"{KINDS} in shell {shell}")
            await k.say(port, _own(watching=False, displayed=False, client="page"))
            k.frames.clear()
        await k.run("await node.leave()")


KINDS = {
    "intent": 2,
    "lion_gate": 1,
    "pacemaker_flip": 1,
    "step": 1,
    "reset": 1,
    "play": 1,
    "pause": 1,
    "note": 1,
    "params": 1,
}
"""How often each kind of record is written in one round of the test."""


def _own(**content: Any) -> dict[str, Any]:
    return {"method": "custom", "content": content}
