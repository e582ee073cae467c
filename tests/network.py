"""A network to break: hosts that are Linux network namespaces, on a switch that delays, loses and cuts.

::

    with Network() as network:
        a, b = network.host(), network.host()
        network.shape(a, b, loss=0.2)                  # both ways
        network.shape(a, b, delay=(0.030, 0.050))      # drawn anew for each packet
        network.shape(a, b, cut=True, back=False)      # a is not heard by b
        network.shape(a, b, mtu=1280)                  # what is longer gets lost on the way, without a word
        run([*a.prefix, "ping", b.address])

Needs root, iproute2 and ``/dev/net/tun``, nothing of the kernel's traffic control, which is not everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from chronoflux.signal.addresses import best
from tests.conftest import need, unavailable
from tests.processes import free_port
from tests.support import until

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
FRAME = 2048  # bytes; the interfaces' MTU is 1500
MANY = 64  # frames read from one host before the others get a turn
TURN_PORT = 3478
ETHERNET = 14  # bytes of a frame before its packet
DONT_FRAGMENT, MORE_FRAGMENTS, OFFSET = 0x4000, 0x2000, 0x1FFF


@dataclass
class Shape:
    """What happens to frames in one direction.

    ``delay`` (s) is drawn uniformly for each frame, so that frames overtake each other; ``loss`` and
    ``twice`` are the shares lost and delivered twice; ``cut`` loses all. Packets longer than ``mtu`` (bytes)
    are split where they allow it (IPv4 without DF), and else lost without a word, as behind a firewall that
    lets no ICMP through.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    cut: bool = False
    twice: float = 0.0
    mtu: int = 65535


@dataclass(eq=False)
class Host:
    """A network namespace with one interface on the switch; ``prefix`` runs a command in it."""

    namespace: str
    address: str
    tap: int
    mac: bytes
    shapes: dict[Host, Shape] = field(default_factory=dict)

    @property
    def prefix(self) -> list[str]:
        """What to put before a command to run it on this host."""
        return ["ip", "netns", "exec", self.namespace]

    def move(self, address: str) -> None:
        """Take another address, as after a change of Wi-Fi; the one before is gone at once."""
        self.drop()
        self.take(address)
        self.address = address

    def drop(self) -> None:
        """Have no address any more, as before any network was joined."""
        _ip("-n", self.namespace, "address", "flush", "dev", "eth0")

    def take(self, *addresses: str, device: str = "eth0") -> None:
        """Have addresses, beside those there are."""
        for address in addresses:
            size = "/64" if ":" in address else "/24"
            nodad = ("nodad",) if ":" in address else ()
            _ip("-n", self.namespace, "address", "add", address + size, "dev", device, *nodad)

    def bridge(self, device: str, *addresses: str) -> None:
        """Add a bridge that leads nowhere, as container hosts have many."""
        _ip("-n", self.namespace, "link", "add", device, "type", "bridge")
        _ip("-n", self.namespace, "link", "set", device, "up")
        self.take(*addresses, device=device)


class Network:
    """Hosts on a switch of our own. The switch is a thread; leaving the context removes everything."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._wake, self._waker = os.pipe()
        self._random = random.Random(4)
        self._late: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)
        for host in self.hosts:
            os.close(host.tap)
            _ip("netns", "delete", host.namespace)

    def host(self, *, ipv4: bool = True, ipv6: bool = False, mtu: int = 1500) -> Host:
        """A new host, ``10.77.0.N`` and, with `ipv6`, ``fd77::N``; `mtu` (bytes) is its interface's."""
        number = len(self.hosts) + 1
        name = f"cf{os.getpid()}-{next(self._numbers)}"
        mac = bytes([2, 0, 0, 0, 0, number])
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        device = f"cf{os.getpid() % 10**7}t{number}"
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        _ip("netns", "add", name)
        _ip("link", "set", device, "netns", name)  # the descriptor stays ours
        inside = [
            *("ip", "netns", "exec", name),
            "sysctl",
            "-qw",
            f"net.ipv6.conf.all.disable_ipv6={int(not ipv6)}",
        ]
        subprocess.run(inside, check=True)
        _ip("-n", name, "link", "set", device, "name", "eth0", "address", mac.hex(":"), "mtu", str(mtu))
        addresses = [f"10.77.0.{number}"] * ipv4 + [f"fd77::{number}"] * ipv6
        host = Host(name, addresses[0], tap, mac)
        host.take(*addresses)
        for link in ("lo", "eth0"):
            _ip("-n", name, "link", "set", link, "up")
        self.hosts.append(host)
        os.write(self._waker, b"h")
        return host

    def shape(
        self,
        a: Host,
        b: Host,
        *,
        delay: tuple[float, float] = (0.0, 0.0),
        loss: float = 0.0,
        cut: bool = False,
        twice: float = 0.0,
        mtu: int = 65535,
        back: bool = True,
    ) -> None:
        """Set what happens to frames from `a` to `b`, and (`back`) from `b` to `a`; see :class:`Shape`."""
        a.shapes[b] = Shape(delay, loss, cut, twice, mtu)
        if back:
            b.shapes[a] = Shape(delay, loss, cut, twice, mtu)

    # -- the switch ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            hosts = list(self.hosts)
            ready, _, _ = select.select([self._wake, *(host.tap for host in hosts)], [], [], wait)
            if self._wake in ready and not os.read(self._wake, 16):
                return
            for host in hosts:
                if host.tap in ready:
                    self._take(host)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, tap, frame = heapq.heappop(self._late)
                _put(tap, frame)

    def _take(self, sender: Host) -> None:
        for _ in range(MANY):
            try:
                frame = os.read(sender.tap, FRAME)
            except (BlockingIOError, OSError):
                return
            everybody = frame[0] & 1
            for host in list(self.hosts):
                if host is not sender and (everybody or frame[:6] == host.mac):
                    self._pass(sender.shapes.get(host, Shape()), host.tap, frame)

    def _pass(self, shape: Shape, tap: int, frame: bytes) -> None:
        if shape.cut or (shape.loss and self._random.random() < shape.loss):
            return
        pieces = [frame] if len(frame) <= shape.mtu + ETHERNET else split(frame, shape.mtu)
        for piece in pieces * (1 + (self._random.random() < shape.twice)):
            if shape.delay[1]:
                due = time.monotonic() + self._random.uniform(*shape.delay)
                heapq.heappush(self._late, (due, next(self._order), tap, piece))
            else:
                _put(tap, piece)


def split(frame: bytes, mtu: int) -> list[bytes]:
    """A frame's IPv4 packet in pieces of at most `mtu` bytes, as a router makes them; none if it must not."""
    ethernet, packet = frame[:ETHERNET], frame[ETHERNET:]
    size = (packet[0] & 0xF) * 4
    flags = int.from_bytes(packet[6:8])
    if ethernet[12:] != b"\x08\x00" or flags & DONT_FRAGMENT:
        return []
    data = packet[size : int.from_bytes(packet[2:4])]
    step = (mtu - size) // 8 * 8
    pieces = []
    for start in range(0, len(data), step):
        part = data[start : start + step]
        more = MORE_FRAGMENTS if start + step < len(data) else flags & MORE_FRAGMENTS
        offset = (flags & OFFSET) + start // 8
        head = bytearray(packet[:size])
        head[2:4] = (size + len(part)).to_bytes(2)
        head[6:8] = (more | offset).to_bytes(2)
        head[10:12] = bytes(2)
        head[10:12] = checksum(head).to_bytes(2)
        pieces.append(ethernet + bytes(head) + part)
    return pieces


def checksum(head: bytes) -> int:
    """The checksum of an IPv4 header (RFC 1071)."""
    total = sum(int.from_bytes(head[at : at + 2]) for at in range(0, len(head), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _put(tap: int, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # the interface is down, or its queue full: lost, as on any network
        os.write(tap, frame)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _possible() -> bool:
    """Whether a namespace and a TAP device can be made here."""
    try:
        with Network() as network:
            network.host()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.fixture
def network() -> Iterator[Network]:
    """A network without hosts yet; a test that wants one cannot run where none can be made."""
    need(shutil.which("ip"), "ip (Debian: iproute2)")
    if os.geteuid() != 0:
        unavailable("network namespaces need root")
    if not _possible():
        unavailable("no network namespaces or TAP devices can be made here")
    with Network() as running:
        yield running


# -- a TURN server ---------------------------------------------------------------------------------


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback's, which no link tells or tries."""
    return next(iter(best(use_ipv6=False)), None) or unavailable("this machine has no address but loopback")


@contextlib.asynccontextmanager
async def coturn(secret: str, folder: Path, host: Host | None = None) -> AsyncIterator[str]:
    """Debian's coturn with our kind of credentials, on a host or this machine; yields its URL."""
    need(shutil.which("turnserver"), "turnserver (Debian: coturn)")
    address, port = (own_address(), free_port()) if host is None else (host.address, TURN_PORT)
    options = [
        *("-n", "--use-auth-secret", f"--static-auth-secret={secret}", "--realm=test.local"),
        *(f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={port}"),
        *("--min-port=50000", "--max-port=50100", "--no-tls", "--no-dtls", "--no-cli", "--no-tcp-relay"),
        *("--fingerprint", "--log-file=stdout", "--simple-log", f"--pidfile={folder / 'turn.pid'}"),
    ]
    process = await asyncio.create_subprocess_exec(
        *(*(host.prefix if host else ()), "turnserver", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    said: list[str] = []

    async def listen() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said.append(line.decode(errors="replace"))

    listening = asyncio.create_task(listen(), name="what coturn says")
    try:
        await until(lambda: any("auth thread" in line for line in said), 20, "coturn is ready")
        yield f"turn:{address}:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await listening
