"""The gallery: notebooks with outputs that are kept in ``docs/gallery/outputs`` and keyed by their code.

``python docs/_ext/gallery.py`` (``make gallery``) executes the notebooks whose code has changed since, or
those that are named. Building the documentation executes nothing: it puts the kept outputs into the
notebooks, and fails where a notebook's code is no longer that of its outputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
OUTPUTS = ROOT / "docs" / "gallery" / "outputs"
PAGES = ROOT / "docs" / "gallery" / "notebooks"
"""Where the notebooks with their outputs are written, for Sphinx; not under version control."""
KEPT = ("image/png", "image/svg+xml", "text/html", "text/plain")
"""Media types that a page shows without a kernel."""


def source(cell: dict[str, Any]) -> str:
    """The text of a cell; notebooks hold it as a string or as lines."""
    return "".join(cell["source"])


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def key(notebook: dict[str, Any]) -> str:
    """The hash of a notebook's code: SHA-256 over the texts of its code cells."""
    text = json.dumps([source(cell).strip() for cell in code_cells(notebook)])
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8")))


def stale() -> list[Path]:
    """The notebooks whose outputs are missing, or belong to other code."""
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        kept = OUTPUTS / f"{path.stem}.json"
        if not kept.exists() or read(kept)["key"] != key(read(path)):
            found.append(path)
    return found


def write_pages() -> None:
    """Write each notebook with its kept outputs into `PAGES`.

    Raises
    ------
    ValueError
        When a notebook's code is not that of its outputs.
    """
    if old := stale():
        names = " ".join(path.name for path in old)
        raise ValueError(
            f"the kept outputs are not those of {names}: run `make gallery` and commit the result"
        )
    PAGES.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = read(path)
        outputs = read(OUTPUTS / f"{path.stem}.json")["outputs"]
        for number, (cell, kept) in enumerate(zip(code_cells(notebook), outputs, strict=True), 1):
            cell["outputs"], cell["execution_count"] = kept, number
        text = json.dumps(notebook, ensure_ascii=False, indent=1)
        target = PAGES / path.name
        if not target.exists() or target.read_text("utf-8") != text:  # so that Sphinx need not read it again
            target.write_text(text, "utf-8")


def shown(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs of a cell, reduced to what a page without a kernel can show."""
    result = []
    for output in outputs:
        one = json.loads(json.dumps(output))
        if "data" in one:
            one["data"] = {kind: value for kind, value in one["data"].items() if kind in KEPT}
            one["metadata"] = {}
            if "image/png" in one["data"]:
                one["data"].pop("text/html", None)
            if not set(one["data"]) - {"text/plain"} and "widget-view+json" in str(output):
                continue  # a widget of which nothing is to be seen
        if one.get("name") == "stderr":
            continue  # what was said of kernels and the kernel's connection
        for kind in {"text/html", "text/plain", "image/svg+xml"} & set(one.get("data", {})):
            one["data"][kind] = anonymous(one["data"][kind])
        if "text" in one:
            one["text"] = anonymous(one["text"])
        if "execution_count" in one:
            one["execution_count"] = None
        result.append(one)
    return result


def anonymous(text: str) -> str:
    """A text without the name of this machine and without the paths of temporary folders."""
    for name in {socket.gethostname(), socket.gethostname().partition(".")[0]}:
        text = re.sub(rf"\b{re.escape(name)}\b", "laptop", text)
    return re.sub(r"/tmp/tmp\w+/", "", text)


@contextlib.asynccontextmanager
async def peer(name: str, hertz: float, server: str, logs: Path) -> AsyncIterator[None]:
    """A headless node in room1, until the end of the block."""
    options = [
        "--server",
        server,
        "--log-dir",
        str(logs),
        "--frequency",
        str(hertz),
        "--seed",
        "7",
        "--quiet",
    ]
    command = [sys.executable, "-m", "chronoflux.headless", "room1", "100", name, *options]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def execute(path: Path) -> None:
    """Execute a notebook, in a room with two peers where it joins one, and keep its outputs."""
    import nbformat
    from nbclient import NotebookClient

    from chronoflux.demo import running_server

    notebook = nbformat.read(path, as_version=4)
    code = key(read(path))
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        given: dict[str, Any] = {}
        if path.name.startswith(("01", "02")):
            server = await stack.enter_async_context(running_server())
            for name, hertz in (("bot-1", 1.15), ("bot-2", 1.25)):
                await stack.enter_async_context(peer(name, hertz, server, folder / "logs"))
            given = {"SERVER": server, "LOG_DIR": str(folder / "logs")}
            if path.name.startswith("01"):
                given |= {"NODE_ID": "notebook", "PEERS": 2, "STAY": False}
        place = next(
            (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])), 0
        )
        lines = "\n".join(f"{name} = {value!r}" for name, value in given.items())
        settings = nbformat.v4.new_code_cell(lines)
        notebook.cells.insert(place + 1, settings)
        await NotebookClient(
            notebook, timeout=1800, resources={"metadata": {"path": str(NOTEBOOKS)}}
        ).async_execute()
        notebook.cells.remove(settings)
    outputs = [shown(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": code, "outputs": outputs}, ensure_ascii=False, indent=1, sort_keys=True)
    (OUTPUTS / f"{path.stem}.json").write_text(text + "\n", "utf-8")


def main() -> None:
    """Execute what is stale, or what is named by the beginning of its file name: ``01 05``."""
    named = sys.argv[1:]
    paths = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name.startswith(tuple(named))]
    for path in paths if named else stale():
        print(f"executing {path.name}", flush=True)
        asyncio.run(execute(path))


if __name__ == "__main__":
    main()
