"""``python -m tests.chatty``: a headless node with one schedule more, ``chatty``: an intent every second.

So a test of faults has events to look for, fired by a process of its own as any other node fires them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chronoflux.faces import run_command
from chronoflux.model.schedule import SCHEDULES


def chatty(second: int, rng: object) -> Iterable[tuple[str, dict[str, Any]]]:
    """An intent every simulated second."""
    yield "intent", {}


SCHEDULES["chatty"] = chatty

if __name__ == "__main__":
    from chronoflux.headless import main  # it lists the schedules that there are

    run_command(main)
