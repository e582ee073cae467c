"""`Appender`: one append-only file of whole lines, written by the log's thread."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from chronoflux.telemetry.format.layout import sync, sync_folder


class Appender:
    """Append lines to a file that is opened on first use and again after an error; keep unwritten lines."""

    def __init__(self, path: Path, opener: Callable[[Path], FileIO]) -> None:
        self.path = path
        self.unwritten: bytes = b""
        self._opener = opener
        self._file: FileIO | None = None

    def open(self) -> None:
        """Open the file, or check that the path still names the open file. Raises OSError."""
        if self._file is None:
            self._file = self._opener(self.path)
        elif not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
            raise FileNotFoundError(None, "the file was replaced by another")

    @property
    def is_open(self) -> bool:
        """Whether the file was opened since the start or the last error."""
        return self._file is not None

    def write(self) -> int:
        """Write waiting lines as far as possible. Return the bytes of whole lines written. Raises OSError.

        On failure, everything from the start of the failed line is kept.
        """
        self.written = 0  # also when the file cannot be opened
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
        """Remove the bytes of a partly written line. If that fails, the next opening of the file does it."""
        if torn and self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - torn)

    written: int = 0
    """Bytes of whole lines that the last :meth:`write` wrote, also when it failed."""

    def sync(self) -> None:
        """Flush the file to the disk with fsync. Raises OSError."""
        if self._file is not None:
            sync(self._file)

    @property
    def size(self) -> int:
        """Bytes in the file; 0 while it is not open."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size

    def trim(self, size: int) -> None:
        """Remove the first `size` bytes of the file atomically; open file handles keep the old content.

        Raises
        ------
        OSError
            When that fails; the file is unchanged then.
        """
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            with open(self.path, "rb") as old, open(fresh, "wb") as new:
                old.seek(size)
                shutil.copyfileobj(old, new, 1 << 20)
                new.flush()
                sync(new)
            self.close()  # the next line opens it again
            os.replace(fresh, self.path)
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
