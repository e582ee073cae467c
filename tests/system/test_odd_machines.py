"""Machines that lack what only helps: limits, caches, threads, ways to sync."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chronoflux.cli import raise_open_files
from chronoflux.headless import systemd
from chronoflux.model.engine import thread_pool
from chronoflux.telemetry.format import layout as folder
from chronoflux.telemetry.format.layout import replace_file

ROOT = Path(__file__).parents[2]
INFINITE = 2**63 - 1

# -- the limit on open files ------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A system's limit on open files, which refuses what is above `most` in its own way."""
    system: dict[str, Any] = {"now": (256, INFINITE), "most": INFINITE, "refusal": ValueError("EINVAL")}

    def change(what: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > system["most"] or wanted[1] > system["now"][1]:
            raise system["refusal"]
        system["now"] = wanted

    monkeypatch.setattr(resource, "RLIM_INFINITY", INFINITE)
    monkeypatch.setattr(resource, "getrlimit", lambda what: system["now"])
    monkeypatch.setattr(resource, "setrlimit", change)
    return system


@pytest.mark.parametrize(("most", "reached"), [(122_880, 65_536), (10_240, 10_240), (300, 256)])
def test_macos_refuses_the_hard_limit_that_it_names(limits: dict[str, Any], most: int, reached: int) -> None:
    """The hard limit is infinite and refused: the next smaller one that the kernel takes is set."""
    limits["most"] = most
    raise_open_files()
    assert limits["now"] == (reached, INFINITE)


def test_a_limit_that_may_not_be_changed(limits: dict[str, Any]) -> None:
    """A sandbox that forbids it, or does not even tell: the limit stays as it is."""
    limits.update(most=0, refusal=PermissionError(errno.EPERM, "not permitted"))
    raise_open_files()
    assert limits["now"] == (256, INFINITE)


def test_a_limit_is_raised_never_lowered(limits: dict[str, Any]) -> None:
    """A finite hard limit is reached; a soft one above all that is tried stays."""
    limits["now"] = (1024, 4096)
    raise_open_files()
    assert limits["now"] == (4096, 4096)
    limits.update(now=(2_000_000, INFINITE), most=2_000_000)
    raise_open_files()
    assert limits["now"] == (2_000_000, INFINITE)


def test_a_system_without_such_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is no module `resource`."""
    monkeypatch.setitem(sys.modules, "resource", None)
    raise_open_files()


# -- what else only helps ---------------------------------------------------------------------------------


def refusing(number: int) -> Callable[..., Any]:
    """A function of the system that always fails with this errno."""

    def refuse(*arguments: object) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Network and user-space file systems refuse to sync a folder, or anything: files are still written."""
    monkeypatch.setattr(os, "fsync", refusing(number))
    replace_file(tmp_path / "run.json", b"{}")
    assert (tmp_path / "run.json").read_bytes() == b"{}"


def test_a_disk_that_loses_data_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO says that what was written is lost: that is no lack of a feature."""
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        replace_file(tmp_path / "run.json", b"{}")


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to drop files in cannot be opened to be synced; the file in it is written."""
    monkeypatch.setattr(folder.os, "open", refusing(errno.EACCES))
    replace_file(tmp_path / "run.json", b"{}")
    assert (tmp_path / "run.json").read_bytes() == b"{}"


def test_processors_that_may_not_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows have no affinity; a sandbox may forbid to ask for it."""
    monkeypatch.setattr(os, "sched_getaffinity", refusing(errno.EPERM))
    assert thread_pool.processors() == os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity")
    assert thread_pool.processors() == os.cpu_count()


def test_a_service_manager_where_python_has_no_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager is not told, and the node goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nothing")
    monkeypatch.delattr("socket.AF_UNIX")
    assert not systemd.notify("READY=1")


def test_asking_for_a_process_sends_no_signal_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `os.kill(pid, 0)` is a Ctrl-C: the process is looked up instead."""
    asked = []
    monkeypatch.setattr(folder.os, "name", "nt")
    monkeypatch.setattr(folder.os, "kill", lambda *arguments: pytest.fail("a signal was sent"))
    monkeypatch.setattr(folder, "_is_running_on_windows", lambda pid: asked.append(pid) or True)
    assert folder.is_running(4321)
    assert asked == [4321]


def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with a limit on threads: a large swarm is computed on one, and what began has ended."""
    begun: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        really_start(thread)

    really_start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    size = 1_000  # no other test has as many
    with thread_pool.team(size) as workers:
        assert workers == 1
        assert thread_pool.run_on_threads(workers, lambda worker: worker) == [0]
    for thread in begun:
        thread.join(60)
        assert not thread.is_alive()
    assert len(begun) == 2


# -- caches -----------------------------------------------------------------------------------------------

MODULE = """
from chronoflux.model.engine.jit import KernelCache, cached_kernel

@cached_kernel
def double(x):
    return 2 * x

@cached_kernel
def treble(x):
    return 3 * x

if __name__ == "__main__":
    import logging
    logging.basicConfig(format="%(message)s")
    import kernels_of_a_test as module
    assert (module.double(4), module.treble(4.5)) == (8, 13.5)
    hits = [sum(kernel.stats.cache_hits.values()) for kernel in (module.double, module.treble)]
    print("hits", sum(hits), module.double.stats.cache_path)
"""

FULL = """
import errno, os
from numba.core.caching import IndexDataCacheFile

def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

IndexDataCacheFile._save_data = full
"""


class Package:
    """A copy of the kernel decorators and a kernel of its own in a folder that can be made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder.parent / "home"
        self.home.mkdir()
        shutil.copytree(
            ROOT / "chronoflux", folder / "chronoflux", ignore=shutil.ignore_patterns("__pycache__")
        )
        (folder / "kernels_of_a_test.py").write_text(MODULE)

    def lock(self) -> None:
        """Take away the right to write; as root, which writes anyway, runs give up that privilege."""
        for at, _, files in os.walk(self.folder):
            for name in files:
                (Path(at) / name).chmod(0o444)
            Path(at).chmod(0o555)

    def run(self, *, home: Path | None = None, code: int = 0, **environment: str) -> tuple[str, list[str]]:
        """What a process says that uses the kernel, and its warnings."""
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
        bare = {"PATH": os.environ["PATH"], "HOME": str(home or "/proc/none"), "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [*drop, sys.executable, "-m", "kernels_of_a_test"],
            env=bare | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return done.stdout.strip(), done.stderr.splitlines()


@pytest.fixture
def package(tmp_path: Path) -> Any:
    made = Package(tmp_path / "package")
    yield made
    for at, _, _ in os.walk(tmp_path):
        Path(at).chmod(0o755)


def test_no_cache_folder_at_all(package: Package) -> None:
    """A read-only package and no home, as in a container with an arbitrary user id: kernels are compiled, and
    one line says how to get a cache."""
    package.lock()
    said, warnings = package.run()
    assert said == "hits 0 None"
    assert len(warnings) == 1
    assert "NUMBA_CACHE_DIR" in warnings[0]
    unwritable = package.run(NUMBA_CACHE_DIR="/proc/nothing")
    assert unwritable == (said, warnings)


def test_the_home_is_the_cache_of_a_read_only_package(package: Package) -> None:
    """A package installed by root: kernels go to the user's own cache folder, and come from there."""
    package.lock()
    assert package.run(home=package.home)[0].startswith(f"hits 0 {package.home}")
    said, warnings = package.run(home=package.home)
    assert said.startswith(f"hits 2 {package.home}")
    assert warnings == []


def test_a_cache_that_came_with_the_image_is_read(package: Package) -> None:
    """Kernels compiled while an image was made are used in it although nothing can be written there."""
    assert package.run()[0].startswith(f"hits 0 {package.folder}")
    package.lock()
    assert package.run() == ("hits 2 None", [])
    assert package.run(home=package.home)[0].startswith("hits 2 ")


def test_a_damaged_cache_is_written_anew(package: Package) -> None:
    """A power loss leaves empty or torn files: the kernels are compiled, and the cache is whole again."""
    package.run()
    cache = package.folder / "__pycache__"
    (index,) = cache.glob("kernels_of_a_test.double-*.nbi")
    (compiled,) = cache.glob("kernels_of_a_test.treble-*.nbc")
    index.write_bytes(b"")
    compiled.write_bytes(compiled.read_bytes()[:1000])
    assert package.run() == (f"hits 0 {cache}", [])
    assert package.run() == (f"hits 2 {cache}", [])


def test_a_cache_that_fails_to_take_a_kernel(package: Package) -> None:
    """A disk that is full: the kernel works, one line says why it is not kept."""
    (package.folder / "sitecustomize.py").write_text(FULL)
    said, warnings = package.run(home=package.home)
    assert said.startswith("hits 0 ")
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]


def test_all_kernels_have_the_cache_that_only_helps() -> None:
    """numba's own `cache=True` ends a program where there is no folder for it: nothing asks for that."""
    for path in (ROOT / "chronoflux").rglob("*.py"):
        assert "cache=True" not in path.read_text(encoding="utf-8"), path
