"""Notify a service manager such as systemd, if it asks for it: sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket

log: logging.Logger = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Send ``READY=1``, ``WATCHDOG=1``, … to the socket in ``NOTIFY_SOCKET``. Return whether it was sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket, on Linux
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # a manager that does not read must not block the loop
            sender.sendto(state.encode(), address)
    except (AttributeError, OSError) as error:  # AttributeError: a Python without Unix sockets
        log.debug("NOTIFY_SOCKET %s: %s was not sent (%s)", address, state, error)
        return False
    return True


def watchdog_period() -> float | None:
    """Return the watchdog timeout in s, within which the manager expects a message; None: no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for a parent that passed its environment on
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 else None
