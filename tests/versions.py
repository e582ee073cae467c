"""ChronoFlux as it was at an earlier commit, installed into an environment of its own."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

from tests.processes import ROOT, Version


def of_commit(commit: str) -> Version:
    """That version, with the dependencies of this environment; installed once and kept in ``.cache``.

    Its kernels are compiled then, too. Skips, or fails in CI, where the commit is not in the history.
    """
    look = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    if subprocess.run(look, cwd=ROOT, capture_output=True, check=False).returncode:
        lacking = pytest.fail if os.environ.get("CHRONOFLUX_NO_SKIP") else pytest.skip
        lacking(f"commit {commit} is not in this checkout: git fetch --unshallow")
    where = ROOT / ".cache" / f"chronoflux-{commit}-{sys.implementation.cache_tag}"
    where.parent.mkdir(exist_ok=True)
    with open(where.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / "ready").exists():
            shutil.rmtree(where, ignore_errors=True)
            _install(commit, where)
            (where / "ready").touch()
    return Version(str(where / "bin" / "python"), where, {})


def _install(commit: str, where: Path) -> None:
    """A virtual environment with that version; everything else comes from the environment of the tests."""
    venv.EnvBuilder(symlinks=True).create(where)
    own = where / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    # A path in a .pth file: packages are found there, but its own .pth files, such as the one of an editable
    # installation of this version, are not read.
    (own / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    source = where / "source"
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(source, filter="data")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(own), str(source)], check=True)
    shutil.rmtree(source)
    run = [str(where / "bin" / "python"), "-m"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*run, "chronoflux.kernels"], cwd=where, env=clean, check=True, capture_output=True)
