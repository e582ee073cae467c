"""Content of a plain, gzip or Zstandard file, whole or damaged; the first bytes tell the format.

A compressed file may hold at most `RATIO` times its own size, so that a small file cannot fill the memory.
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
"""File name suffixes of compressed files."""
RATIO = 250
"""Maximum ratio of content to file size of a compressed file; reading stops beyond it."""
FREE = 64 << 20
"""Content in bytes that any compressed file may hold."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MEMBER = _GZIP + b"\x08"  # deflate is gzip's only method
_PIECE = 1 << 18  # bytes requested from Arrow at a time; after an error, so many are reread byte by byte
_INPUT = 1 << 16  # compressed bytes passed to zlib at a time


@dataclass
class Damage(Exception):
    """Raised where the rest of a file cannot be read."""

    reason: str
    args: tuple[Any, ...] = field(default=(), init=False)


def content_of(path: Path, file: BufferedReader, start: int, size: int) -> Generator[bytes, None, None]:
    """Yield the decompressed content of a file from byte `start` on, at most `size` bytes at a time.

    `file` is the open file; a Zstandard file is opened again by its `path`.

    Raises
    ------
    Damage
        After the whole data, where compressed data are damaged, end early or hold more than `RATIO` times the
        file's size, or where reading the disk fails. After a damaged gzip member, the next member is
        searched.
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
        raise Damage(f"cannot be read further ({error.strerror or error})") from error


def _bounded(chunks: Iterator[bytes], file: BufferedReader) -> Generator[bytes, None, None]:
    """Yield the chunks until they exceed the limit for the size of the file."""
    most = max(FREE, RATIO * os.fstat(file.fileno()).st_size)
    for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise Damage(
                f"it unpacks to more than {RATIO} times its size: if that is intended, unpack it yourself"
            )
        yield chunk


def _damage(why: object) -> Damage:
    return Damage(f"the compressed data is damaged or ends early ({why})")


def _gunzipped(file: BufferedReader, size: int) -> Generator[bytes, None, None]:
    """Yield the content of the members of a gzip file, as far as it is whole."""
    rest, problem = file.read1(_INPUT), None
    while rest:
        unpacker = zlib.decompressobj(wbits=31)
        while rest and not unpacker.eof:
            before = unpacker.copy()
            try:
                chunk = unpacker.decompress(rest, size)
            except zlib.error as error:
                problem = problem or _damage(error)
                # A torn member may have consumed the beginning of the next one as its own data.
                border = rest.find(_MEMBER, 1)
                yield _before_error(before, rest[:border] if border > 0 else rest)
                if rest := _next_member(rest[1:], file):
                    yield b"\n"  # end of the torn line
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
            while rest and not rest.strip(b"\0"):  # padding, as on tapes
                rest = file.read1(_INPUT)
            if rest and not rest.lstrip(b"\0").startswith(_GZIP[: len(rest)]):
                problem = problem or _damage("other data follow")
                rest = _next_member(rest, file)
            rest = rest.lstrip(b"\0")
    if problem:
        raise problem


def _before_error(unpacker: Any, data: bytes) -> bytes:
    """Decompress `data` up to its first error: zlib itself returns nothing for a piece with an error."""
    found = bytearray()
    with contextlib.suppress(zlib.error):
        for at in range(len(data)):
            found += unpacker.decompress(data[at : at + 1])
    return bytes(found)


def _next_member(data: bytes, file: BufferedReader) -> bytes:
    """Return the data from the beginning of the next member on; empty when there is none."""
    while (at := data.find(_MEMBER)) < 0:
        more = file.read1(_INPUT)
        if not more:
            return b""
        data = data[-len(_MEMBER) + 1 :] + more
    return data[at:]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pa.CompressedInputStream]:
    import pyarrow as pa  # imported only when there is such a file

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
            raise  # an error of the disk; Arrow's errors about the data have no errno
        if rest := _before_damage(path, done):
            yield rest
        raise _damage(error) from error


def _before_damage(path: Path, done: int) -> bytes:
    """Return the content between `done` bytes and the damage: a failed read returns nothing."""
    found = bytearray()
    with _opened(path) as content, contextlib.suppress(OSError):
        for at in range(0, done, _PIECE):
            content.read(min(_PIECE, done - at))
        while byte := content.read(1):
            found += byte
    return bytes(found)
