"""The content of a file, whole or damaged: plain, gzip or Zstandard, told apart by the first bytes."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chronoflux.errors import LogError

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".gz", ".zst")
"""What the names of compressed files end in."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 18  # bytes asked of Arrow at a time; where it fails, so many are read once more, one by one
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass
class Damage(Exception):
    """The rest of a file cannot be read."""

    reason: str
    args: tuple[Any, ...] = field(default=(), init=False)


def content_of(path: Path, file: BufferedReader, start: int, size: int) -> Generator[bytes, None, None]:
    """What is in a file from byte `start` on, decompressed, at most `size` bytes at a time.

    `file` is the open file; a Zstandard one is opened once more by its `path`.

    Raises
    ------
    Damage
        Where compressed data is damaged or ends early, after all that is whole before that.
    LogError
        When the file cannot be read.
    """
    try:
        file.seek(0)
        magic = file.read(len(_ZSTD))
        file.seek(start)
        if magic == _ZSTD:
            yield from _unpacked(path, min(size, _PIECE))
            return
        zipped = magic.startswith(_GZIP)
        with gzip.GzipFile(fileobj=file) if zipped else contextlib.nullcontext(file) as content:
            while chunk := content.read1(size):
                yield chunk
    except _BROKEN as error:
        raise _damage(error) from error
    except OSError as error:
        raise LogError(path, f"cannot be read ({error.strerror or error})") from error


def _damage(error: Exception) -> Damage:
    return Damage(f"the compressed data is damaged or ends early ({error})")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pa.CompressedInputStream]:
    import pyarrow as pa  # only where there is such a file

    with (
        open(path, "rb") as file,
        pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as content,
    ):
        yield content


def _unpacked(path: Path, size: int) -> Generator[bytes, None, None]:
    done = 0
    try:
        with _opened(path) as content:
            while chunk := content.read(size):
                done += len(chunk)
                yield chunk
    except OSError as error:
        if error.errno is not None:
            raise  # the disk's; Arrow's own about the data have none
        if rest := _before_damage(path, done):
            yield rest
        raise _damage(error) from error


def _before_damage(path: Path, done: int) -> bytes:
    """What follows `done` bytes up to the damage: a read that fails gives nothing of what it had."""
    found = bytearray()
    with _opened(path) as content, contextlib.suppress(OSError):
        for at in range(0, done, _PIECE):
            content.read(min(_PIECE, done - at))
        while byte := content.read(1):
            found += byte
    return bytes(found)
