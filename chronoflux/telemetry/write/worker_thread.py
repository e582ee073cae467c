"""`Helper`: a thread of a run's log for what takes long."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path


class Helper(ABC):
    """Has a thread of its own from the moment there is first something to do until :meth:`close`.

    `_wake` guards what it shares with others, `_closing` among it; its thread waits on it.
    """

    TASK: str
    """What the thread is for: it is named after it and the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.problem: str | None = None
        self._folder = folder
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def close(self, timeout: float) -> bool:
        """Finish what was asked for, within `timeout` seconds; whether that was enough."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _rouse(self) -> None:
        """Have the thread look what there is to do; with `_wake` held."""
        if self._thread is None:
            name = f"{self.TASK} {self._folder.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
        self._wake.notify_all()

    @abstractmethod
    def _run(self) -> None:
        """The thread: until closing, and nothing is left to do."""
