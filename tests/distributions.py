"""Check what is in a wheel and an sdist: ``python -m tests.distributions FOLDER``; ``make dist`` runs it."""

from __future__ import annotations

import configparser
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from chronoflux.version import VERSION

ROOT = Path(__file__).parent.parent
UNWANTED = ("__pycache__", ".pyc", ".ipynb_checkpoints", ".venv", ".cache", "node_modules", ".zarr", ".jsonl")
"""Parts of names that no distribution may have: caches, set-ups, logs of runs."""
TOP = {"chronoflux", "docs", "notebooks", "tests", "logs", ".binder", ".ci", ".github"}
"""Folders of the sdist."""


def package_files() -> set[str]:
    """Return the files of the package in the checkout, as names from its root."""
    found = (path for path in (ROOT / "chronoflux").rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if not unwanted(path.as_posix())}


def unwanted(name: str) -> bool:
    """Whether a name is that of a cache or of a log."""
    return any(part in name for part in UNWANTED) or name.endswith((".nbc", ".nbi"))


def check_wheel(path: Path) -> list[str]:
    """Return what is wrong with the wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"chronoflux-{VERSION}.dist-info"
        metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
        scripts = configparser.ConfigParser()
        scripts.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    notebooks = {f"chronoflux/_notebooks/{one.name}" for one in (ROOT / "notebooks").glob("*.ipynb")}
    wanted = package_files() | notebooks | {f"{info}/licenses/LICENSE"}
    wrong = [f"{path.name} lacks {name}" for name in sorted(wanted - names)]
    more = (name for name in names - wanted if not name.startswith(info))
    wrong += [f"{path.name} has {name}" for name in sorted(more)]
    if metadata["Version"] != VERSION or metadata["License-Expression"] != "MIT":
        wrong.append(f"{path.name}: version {metadata['Version']}, licence {metadata['License-Expression']}")
    if dict(scripts["console_scripts"]) != {"chronoflux": "chronoflux.__main__:run"}:
        wrong.append(f"{path.name}: scripts {dict(scripts['console_scripts'])}")
    return wrong


def check_sdist(path: Path) -> list[str]:
    """Return what is wrong with the sdist."""
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = package_files() | {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
        "pyproject.toml",
        "PKG-INFO",
    }
    for folder in ("tests", "notebooks"):
        found = (one for one in (ROOT / folder).rglob("*") if one.is_file() and not unwanted(one.as_posix()))
        wanted |= {one.relative_to(ROOT).as_posix() for one in found}
    wrong = [f"{path.name} lacks {name}" for name in sorted(wanted - names)]
    wrong += [f"{path.name} has {name}" for name in sorted(names) if unwanted(name)]
    folders = {name.partition("/")[0] for name in names if "/" in name}
    wrong += [f"{path.name} has the folder {name}" for name in sorted(folders - TOP)]
    wrong += [
        f"{path.name} has {name}" for name in names if name.startswith("logs/") and name != "logs/README.md"
    ]
    return wrong


def main(folder: str) -> None:
    """Print the size of each distribution, and what is wrong; exit with code 1 if anything is."""
    (wheel,) = Path(folder).glob("*.whl")
    (sdist,) = Path(folder).glob("*.tar.gz")
    for path in (wheel, sdist):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    wrong = check_wheel(wheel) + check_sdist(sdist)
    if wrong:
        sys.exit("\n".join(wrong))
    print("both have what they should, and nothing else")


if __name__ == "__main__":
    main(*sys.argv[1:])
