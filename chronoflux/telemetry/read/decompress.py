"""The content of a file, whole or damaged: plain, gzip or Zstandard, told apart by the first bytes.

A compressed file may hold at most `RATIO` times its own size, so that a small one cannot fill the memory.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chronoflux.telemetry.format.layout import open_regular

if TYPE_CHECKING:
    import pyarrow as pa

ENDINGS = (".gz", ".zst")
"""What the names of compressed files end in."""
RATIO = 250
"""A compressed file that holds more than so many times its size is read no further."""
FREE = 64 << 20
"""Bytes that any compressed file may hold."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MEMBER = _GZIP + b"\x08"  # gzip knows one method
_PIECE = 1 << 18  # bytes asked of Arrow at a time; where it fails, so many are read once more, one by one
_INPUT = 1 << 16  # compressed bytes given to zlib at a time


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
        Where compressed data is damaged, ends early, or holds more than `RATIO` times its size, after all
        that is whole, or where the disk fails. Behind a damaged gzip member the next member is looked for.
    """
    try:
        file.seek(0)
        magic = file.read(len(_ZSTD))
        file.seek(start)
        if magic == _ZSTD:
            yield from _bounded(_unpacked(path, min(size, _PIECE)), file)
        elif magic.startswith(_GZIP):
            yield from _bounded(_gunzipped(file, size), file)
        else:
            while chunk := file.read1(size):
                yield chunk
    except OSError as error:
        raise Damage(f"cannot be read on ({error.strerror or error})") from error


def _bounded(chunks: Iterator[bytes], file: BufferedReader) -> Generator[bytes, None, None]:
    """The same, as long as it is not too much for the size of the file."""
    most = max(FREE, RATIO * os.fstat(file.fileno()).st_size)
    for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise Damage(f"it holds more than {RATIO} times its size: unpack it yourself if that is meant")
        yield chunk


def _damage(why: object) -> Damage:
    return Damage(f"the compressed data is damaged or ends early ({why})")


def _gunzipped(file: BufferedReader, size: int) -> Generator[bytes, None, None]:
    """What is in the members of a gzip file, as far as it is whole."""
    rest, problem = file.read1(_INPUT), None
    while rest:
        unpacker = zlib.decompressobj(wbits=31)
        while rest and not unpacker.eof:
            before = unpacker.copy()
            try:
                chunk = unpacker.decompress(rest, size)
            except zlib.error as error:
                problem = problem or _damage(error)
                # A torn member may have taken the beginning of the next one for its own data.
                border = rest.find(_MEMBER, 1)
                yield _before_error(before, rest[:border] if border > 0 else rest)
                if rest := _next_member(rest[1:], file):
                    yield b"\n"  # the torn line ends here
                break
            rest = unpacker.unconsumed_tail or unpacker.unused_data or file.read1(_INPUT)
            if chunk:
                yield chunk
        else:
            if not unpacker.eof and (chunk := unpacker.flush()):
                yield chunk
            if not unpacker.eof:
                problem = problem or _damage("it ends within a member")
                break
            while rest and not rest.strip(b"\0"):  # tapes are filled up with these
                rest = file.read1(_INPUT)
            if rest and not rest.lstrip(b"\0").startswith(_GZIP[: len(rest)]):
                problem = problem or _damage("something else follows")
                rest = _next_member(rest, file)
            rest = rest.lstrip(b"\0")
    if problem:
        raise problem


def _before_error(unpacker: Any, data: bytes) -> bytes:
    """What `data` gives up to its first error: zlib itself gives nothing of a piece with an error."""
    found = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            found += unpacker.decompress(data[at : at + 1])
    return bytes(found)


def _next_member(data: bytes, file: BufferedReader) -> bytes:
    """The data from the next beginning of a member on; empty when there is none."""
    while (at := data.find(_MEMBER)) < 0:
        more = file.read1(_INPUT)
        if not more:
            return b""
        data = data[-len(_MEMBER) + 1 :] + more
    return data[at:]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pa.CompressedInputStream]:
    import pyarrow as pa  # only where there is such a file

    with (
        open_regular(path) as file,
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
