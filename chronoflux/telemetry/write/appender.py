"""`Stream`: one append-only file of whole lines, as the log's thread writes it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from chronoflux.telemetry.format.layout import sync, sync_folder


class Stream:
    """Opened at its first line, and again after trouble; what could not be written is kept for then."""

    def __init__(self, path: Path, opener: Callable[[Path], FileIO]) -> None:
        self.path = path
        self.unwritten = b""
        self._opener = opener
        self._file: FileIO | None = None

    def open(self) -> None:
        """Open the file, or see that it is still the one that was opened. Raises OSError."""
        if self._file is None:
            self._file = self._opener(self.path)
        elif not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
            raise FileNotFoundError(None, "the file was replaced by another")

    @property
    def is_open(self) -> bool:
        """Whether there was anything to write since the beginning or the last trouble."""
        return self._file is not None

    def write(self) -> int:
        """Write what waits, as far as it goes; how many bytes of whole lines left. Raises OSError.

        What fails is kept, from the start of the line it failed in.
        """
        self.written = 0  # also when it cannot even be opened
        self.open()
        assert self._file is not None
        view, done = memoryview(self.unwritten), 0
        try:
            while done < len(view):
                done += self._file.write(view[done:])
        finally:
            if done < len(view):
                whole = self.unwritten.rfind(b"\n", 0, done) + 1
                self._cut(done - whole)
                done = whole
            self.unwritten = self.unwritten[done:]
            self.written = done
        return done

    def _cut(self, torn: int) -> None:
        """Take back the bytes of a line that did not get through; whoever opens the file next does it too."""
        if torn and self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - torn)

    written = 0
    """Bytes of whole lines that the last :meth:`write` wrote, also when it failed."""

    def sync(self) -> None:
        """Have the disk take what was written. Raises OSError."""
        if self._file is not None:
            sync(self._file)

    @property
    def size(self) -> int:
        """Bytes in the file; 0 while it is not open."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def trim(self, size: int) -> None:
        """Take so many bytes off the file's beginning, in one step; whoever has it open keeps the old one.

        Raises
        ------
        OSError
            When that cannot be done; then the file is as it was.
        """
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            with open(self.path, "rb") as old, open(fresh, "wb") as new:
                old.seek(size)
                shutil.copyfileobj(old, new, 1 << 20)
                new.flush()
                sync(new)
            self.close()  # it is opened again at the next line
            os.replace(fresh, self.path)
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
