"""The folder of a run: its name, its manifest ``run.json``, its logs and their closed segments."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import itertools
import os
import platform
import re
import stat
from datetime import UTC, datetime
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO

from chronoflux.errors import LogError
from chronoflux.version import VERSION

SCHEMA = 1
"""Version of the layout of run folders and records."""
MANIFEST = "run.json"
LOG = "telemetry.jsonl"
INPUTS = "inputs.jsonl"
CHECKPOINT = "checkpoint.npz"
KEYFRAMES = "keyframes"

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Errors of network and user-space file systems without fsync, mostly for folders."""
_SLUG_LENGTH = 40
_BLOCK = 1 << 16


def slug(name: str) -> str:
    """Return `name` as a part of a folder name: only ``[A-Za-z0-9_-]``, 1 to 40 characters.

    When characters had to be changed, a short hash of the whole name keeps different names apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    if plain == name and 0 < len(plain) <= _SLUG_LENGTH:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{plain[: _SLUG_LENGTH - 7]}-{digest}" if plain else digest


def make_run_folder(log_dir: str | Path, room: str, node: str, start: datetime) -> Path:
    """Make ``<room>-<node>-<UTC start>`` in `log_dir`; append a number if that name exists.

    Raises
    ------
    LogError
        When the folder cannot be made.
    """
    name = f"{slug(room)}-{slug(node)}-{start.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    try:
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = Path(log_dir) / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            sync_folder(folder.parent)
            return folder
    except OSError as error:
        raise LogError(
            log_dir,
            f"a run folder cannot be created here ({error.strerror or error}): choose another log_dir",
        ) from error
    raise AssertionError("unreachable: the loop has no end")


def segment_name(stem: str, number: int) -> str:
    """Return the file name of a closed segment, such as ``telemetry-0001.parquet``."""
    return f"{stem}-{number:04}.parquet"


def segments_of(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """Return the closed segments of one log with their numbers, in order. Raises OSError."""
    names = re.compile(rf"{re.escape(stem)}-(\d{{4,9}})\.parquet")
    found = ((names.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def write_manifest(folder: Path, content: bytes) -> None:
    """Replace ``run.json`` atomically: readers see the old file or the new one. Raises OSError."""
    replace_file(folder / MANIFEST, content)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write or replace a file atomically: all of the content or nothing. Raises OSError."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with open(fresh, "wb") as file:
            file.write(content)
            file.flush()
            sync(file)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):  # it may not exist
            fresh.unlink()
        raise
    sync_folder(path.parent)


_FILE_TYPES = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def check_regular(path: Path) -> None:
    """Raise OSError unless `path` or its link target is a regular file: others may block or never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(mode), "a special file")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading bytes. Raises OSError, also when it is not a regular file."""
    check_regular(path)
    return open(path, "rb")


def open_log(path: Path) -> FileIO:
    """Open a log unbuffered for appending whole lines; cut off a torn last line first. Raises OSError."""
    file = FileIO(path, "a+")
    try:
        end = os.fstat(file.fileno()).st_size
        whole = _whole_lines(file, end)
        if whole < end:
            file.truncate(whole)
    except OSError:
        file.close()
        raise
    return file


def cut_torn(path: Path) -> int:
    """Cut off a torn last line of a log. Return the number of bytes removed. Raises OSError."""
    if not path.exists():
        return 0
    before = path.stat().st_size
    open_log(path).close()
    return before - path.stat().st_size


def is_running(pid: object) -> bool:
    """Return whether `pid` is a running process of this machine other than this one."""
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0 or pid == os.getpid():
        return False
    if os.name == "nt":
        return _is_running_on_windows(pid)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_running_on_windows(pid: int) -> bool:
    """Do the same on Windows, where signal 0 is Ctrl-C and :func:`os.kill` would send it."""
    import ctypes

    synchronize, access_denied, timed_out = 0x00100000, 5, 0x102  # of the Windows API
    api: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    api.OpenProcess.restype = ctypes.c_void_p
    handle = api.OpenProcess(synchronize, False, pid & 0xFFFFFFFF)
    if not handle:
        return bool(ctypes.get_last_error() == access_denied)  # type: ignore[attr-defined,unused-ignore]
    try:
        return bool(api.WaitForSingleObject(ctypes.c_void_p(handle), 0) == timed_out)
    finally:
        api.CloseHandle(ctypes.c_void_p(handle))


def _whole_lines(file: FileIO, end: int) -> int:
    """Return how many of the first `end` bytes form whole lines."""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def sync(file: FileIO | BinaryIO | int) -> None:
    """Flush a file to the disk with fsync, where the file system supports it. Raises OSError."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:  # such as EIO: written data may be lost
            raise


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that new names survive a power loss, where supported. Raises OSError."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder with write but without read permission
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def versions() -> dict[str, str]:
    """Return the versions of Python, ChronoFlux and its dependencies, by name."""
    found = {"python": platform.python_version(), "chronoflux": VERSION}
    try:
        requirements = importlib.metadata.requires("chronoflux") or []
    except importlib.metadata.PackageNotFoundError:
        return found
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            found[name[0]] = importlib.metadata.version(name[0])
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
