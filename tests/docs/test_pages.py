"""README and documentation: their code runs, their commands are taken, their links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import base64
import importlib
import inspect
import io
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import pytest
from PIL import Image

import chronoflux as cf
from chronoflux import analysis
from chronoflux.__main__ import main
from chronoflux.mesh import room_session
from chronoflux.model.events import EVENTS
from chronoflux.model.presets import PRESETS
from chronoflux.model.schedule_file import parse
from chronoflux.node.join import _leave_all
from chronoflux.replay.rehearsal import rehearse
from chronoflux.signal.server import SignalServer
from tests.docs.pages import DOCS, ROOT, Block, blocks, of_kind, pages, prose

SERVERS = ("ws://192.168.1.7:8089", "wss://signal.example.org", "ws://localhost:8089")
"""Addresses of signaling servers that pages name; in the tests they are that of a server of the test's."""
FILES = {
    "secret.txt": "sesame\n",
    "turn-secret.txt": "north\n",
    "fullchain.pem": "",
    "privkey.pem": "",
    "servers.json": '[{"urls": "turn:turn.example.org:3478", "username": "u", "credential": "c"}]',
    "params.toml": "kappa = 1.0\n",
    "night.toml": '[[entry]]\nevery = "5s"\nevent = "intent"\n',
}
"""Files that pages name and that are there when their code and commands run."""
OTHERS = ("cd", "git", "export", "systemctl", "journalctl", "ls", "cat", "chmod", "source", "sudo", "printf")
"""Commands of others, which are taken as they are."""
WITH_PYTHON = [path for path in pages() if any(b.kind == "python" and not b.left_out for b in blocks(path))]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of a room of two nodes, ann and ben: four rehearsed minutes of `storm` with events."""
    folder = tmp_path_factory.mktemp("docs") / "logs"
    params = cf.presets["storm"].replace(oscillators=40)
    nodes = {"ann": params.replace(frequency=1.1), "ben": params.replace(frequency=1.3)}
    events = {20.0 + 8 * i: ("ann", "intent") for i in range(24)} | {100.5: ("ben", "pacemaker_flip")}
    rehearse(folder, nodes, seconds=240, seed=1, events=events, room="room1")
    return folder


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that pages name."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place(files: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same with the logs of a room. What a page registers is taken out again."""
    shutil.copytree(logs, files / "logs")
    monkeypatch.setenv("MPLBACKEND", "agg")
    mpl.use("agg")
    events, presets = {kind.name for kind in EVENTS}, set(PRESETS)
    yield files
    for name in {kind.name for kind in EVENTS} - events:
        EVENTS.unregister(name)
    for name in set(PRESETS) - presets:
        PRESETS.unregister(name)


async def run(block: Block, names: dict[str, Any], server: str) -> None:
    """Run one block as a notebook cell: with ``await`` at its top level."""
    text = block.text
    for known in SERVERS:
        text = text.replace(known, server)
    code = compile("\n" * block.line + text, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.iscoroutine(result):
        await result


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
async def test_python_runs(
    path: Path, place: Path, server: SignalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python blocks of a page run, one after the other, in a folder with the logs of a room."""
    monkeypatch.setattr(room_session, "DEFAULT_PORT", int(server.url.rpartition(":")[2]))
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        async with asyncio.timeout(300):
            for block in blocks(path):
                if block.kind == "python" and not block.left_out:
                    await run(block, names, server.url)
    finally:
        await _leave_all()
        import matplotlib.pyplot as plt

        plt.close("all")


# -- commands ---------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, str]]:
    """Every command line with its place: those of shell blocks, and those in the text and in tables."""
    found = []
    for block in of_kind("sh", "console"):
        if not block.left_out:
            lines = block.text.replace("\\\n", " ").splitlines()
            found += [(block.place, line) for line in lines if line.strip() and not line.startswith("#")]
    for path in pages():
        name = str(path.relative_to(ROOT))
        for text in re.findall(r"(?<!`)`(python -m chronoflux[^`]*|chronoflux [^`]*)`", prose(path)):
            if "…" not in text:
                found.append((name, text.replace("\\|", "|")))
    return found


def check_chronoflux(arguments: list[str]) -> None:
    """Parse the arguments as the command line does; wrong ones raise."""
    command: click.Command = main
    context, rest = main.make_context("chronoflux", []), arguments
    while isinstance(command, click.Group) and rest:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name, parent=context)
    if rest and "--help" not in rest:
        command.make_context(command.name, rest, parent=context)


@pytest.mark.parametrize(("where", "line"), commands(), ids=lambda text: text[:60])
def test_a_command_is_taken(where: str, line: str, files: Path) -> None:
    """A command line of a page has options and arguments that the command takes, and files that are there."""
    run_folder = files / "logs" / "room1-ann-20261123T220000Z"
    run_folder.mkdir(parents=True)
    line = re.sub(r"\bRUN\b", str(run_folder), line)
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    words = words[: words.index("&")] if "&" in words else words
    for sign in (">", ">>"):
        words = words[: words.index(sign)] if sign in words else words
    if words[:2] == ["python", "-m"] and words[2].startswith("chronoflux"):
        words[:3] = words[2].split(".")
    if words[0] == "chronoflux":
        check_chronoflux(words[1:])
    elif words[:3] == ["python", "-m", "pip"] or words[0] == "pip":
        check_extras(words)
    elif words[:2] == ["python", "-c"]:
        compile(words[2], where, "exec")
    elif words[:3] == ["python", "-m", "venv"]:
        assert len(words) == 4
    elif words[0] == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
        wanted = [word for word in words[1:] if "=" not in word]
        assert set(wanted) <= targets, f"{where}: no such target in the Makefile"
    else:
        assert words[0] in OTHERS, f"{where}: {line}: mark what cannot run by <!-- not run: reason -->"


def check_extras(words: list[str]) -> None:
    """The extras that pip is asked for exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        for names in re.findall(r"^(?:chronoflux|\.)\[([\w,-]+)\]$", word):
            assert set(names.split(",")) <= set(extras), word


@pytest.mark.parametrize("block", of_kind("toml"), ids=lambda block: block.place)
def test_toml_is_taken(block: Block) -> None:
    """A TOML block is a schedule, or parameters."""
    if "[[entry]]" in block.text:
        assert parse(block.text, block.place, 1, cf.Params()).text == block.text
    else:
        cf.Params(**tomllib.loads(block.text))


@pytest.mark.parametrize("block", of_kind("json"), ids=lambda block: block.place)
def test_json_is_json(block: Block) -> None:
    """A JSON block is JSON, one value or one a line."""
    try:
        json.loads(block.text)
    except ValueError:
        for line in block.text.splitlines():
            json.loads(line)


# -- what is there ----------------------------------------------------------------------------------------


def test_links_of_the_readme_lead_somewhere() -> None:
    """Files and headings that README links to are there. (Sphinx checks the links of the documentation.)"""
    text = (ROOT / "README.md").read_text("utf-8")
    headings = {slug(line) for line in re.findall(r"^#+ (.*)$", prose(ROOT / "README.md"), re.MULTILINE)}
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        link = target[0] or target[1]
        if link.startswith(("http://", "https://")):
            continue
        file, _, heading = link.partition("#")
        assert not file or (ROOT / file).exists(), link
        if heading and not file:
            assert heading in headings, link
        if heading and file:
            found = re.findall(r"^#+ (.*)$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
            assert heading in {slug(line) for line in found}, link


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def test_every_public_name_is_in_the_reference() -> None:
    """The API pages name all of `cf` and `cf.analysis`; what stands elsewhere is listed here."""
    text = (DOCS / "reference" / "api.md").read_text("utf-8")
    named = set(re.findall(r"^   ([\w.]+)$", text, re.MULTILINE))
    elsewhere = {"__version__", "analysis", "presets", "plots", "null_runs"}
    assert set(cf.__all__) | set(analysis.__all__) <= named | elsewhere
    assert "analysis.null_runs" in named


def test_the_gallery_shows_what_its_code_gives() -> None:
    """The kept outputs of each notebook belong to the code that it has now."""
    import sys

    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        gallery = importlib.import_module("gallery")
    finally:
        sys.path.pop(0)
    assert [path.name for path in gallery.stale()] == [], "run `make gallery` and commit the result"


def test_the_pictures_of_the_gallery_are_whole() -> None:
    """Each kept picture of a notebook is a PNG that can be decoded to its end."""
    for path in sorted((DOCS / "gallery" / "outputs").glob("*.json")):
        outputs = [one for cell in json.loads(path.read_text("utf-8"))["outputs"] for one in cell]
        pictures = [one["data"]["image/png"] for one in outputs if "image/png" in one.get("data", {})]
        for picture in pictures:
            Image.open(io.BytesIO(base64.b64decode(picture))).load()


def test_nothing_names_a_place_that_is_not_known() -> None:
    """Pages link only to the addresses of project.toml and of published sources; example.org is nobody's."""
    facts = tomllib.loads((DOCS / "project.toml").read_text("utf-8"))
    own = {value for value in facts.values() if isinstance(value, str) and value.startswith("http")}
    allowed = (
        "https://example.org",
        "https://signal.example.org",
        "http://localhost",
        "http://127.0.0.1",
        "http://192.168.1.7",
    )
    for path in pages():
        for link in re.findall(r"https?://[\w.-][^\s)>`\"']*", path.read_text("utf-8")):
            known = link.startswith((*allowed, *own, *PUBLISHED))
            assert known, f"{path.name}: {link}"


PUBLISHED = (
    "https://doi.org/",
    "https://mesa.readthedocs.io",
    "https://brian2.readthedocs.io",
    "https://xgi.readthedocs.io",
    "https://www.netlogoweb.org",
    "https://labstreaminglayer.readthedocs.io",
    "https://keepachangelog.com",
    "https://semver.org",
)
