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
"""What network and user-space file systems say that have no fsync, mostly for folders."""
_SLUG_LENGTH = 40
_BLOCK = 1 << 16


def slug(name: str) -> str:
    """`name` as part of a folder's name: only ``[A-Za-z0-9_-]``, from 1 to 40 characters.

    Where something had to be changed, a short hash of the whole name keeps different names apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    if plain == name and 0 < len(plain) <= _SLUG_LENGTH:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{plain[: _SLUG_LENGTH - 7]}-{digest}" if plain else digest


def make_run_folder(log_dir: str | Path, room: str, node: str, start: datetime) -> Path:
    """Make ``<room>-<node>-<UTC start>`` in `log_dir`, with a number behind it if that exists.

    Raises
    ------
    LogError
        When it cannot be made.
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
            log_dir, f"no run folder can be made here ({error.strerror or error}): choose another log_dir"
        ) from error
    raise AssertionError("unreachable: the numbers do not end")


def segment_name(stem: str, number: int) -> str:
    """The name of a closed segment: ``telemetry-0001.parquet``."""
    return f"{stem}-{number:04}.parquet"


def segments_of(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """The closed segments of one of a run's logs with their numbers, in order. Raises OSError."""
    names = re.compile(rf"{re.escape(stem)}-(\d{{4,9}})\.parquet")
    found = ((names.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)


def write_manifest(folder: Path, content: bytes) -> None:
    """Replace ``run.json`` in one step, so that readers see the old one or the new one. Raises OSError."""
    replace_file(folder / MANIFEST, content)


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file anew, or for the first time, in one step: all of it or nothing. Raises OSError."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with open(fresh, "wb") as file:
            file.write(content)
            file.flush()
            sync(file)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):  # it may not be there
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
    """OSError unless `path`, or what it links to, is a regular file: others may block or never end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = _FILE_TYPES.get(stat.S_IFMT(mode), "a special file")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read its bytes. Raises OSError, also when it is none."""
    check_regular(path)
    return open(path, "rb")


def open_log(path: Path) -> FileIO:
    """Open a log to append whole lines, unbuffered; a torn last line is cut off first. Raises OSError."""
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
    """Cut a torn last line off a log, if there is one; how many bytes it had. Raises OSError."""
    if not path.exists():
        return 0
    before = path.stat().st_size
    open_log(path).close()
    return before - path.stat().st_size


def is_running(pid: object) -> bool:
    """Whether a process of this machine has that number, other than this one."""
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
    """The same on Windows, where signal 0 is Ctrl-C and :func:`os.kill` would send it."""
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
    """How many of the first `end` bytes are whole lines."""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def sync(file: FileIO | BinaryIO | int) -> None:
    """Have the disk take what was written to a file, where the file system can do that. Raises OSError."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:  # such as EIO: what was written may be lost
            raise


def sync_folder(folder: Path) -> None:
    """Make new names in a folder outlive a power loss, where the system can do that. Raises OSError."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that one may write in and not list
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def versions() -> dict[str, str]:
    """Versions of Python, ChronoFlux and the packages it depends on, by name."""
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
