"""The notebooks: each runs from top to bottom, and notebook 01 works in a real JupyterLab."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import chronoflux as cf
from chronoflux.signal.server import SignalServer
from tests.browser import lab, notebook_page, open_notebook, run_all
from tests.conftest import Joiner
from tests.node.test_node import events
from tests.support import until

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
QUICK = cf.Params(oscillators=60)


# nbformat's schemas bring grammars that take seconds to load: only where a notebook is used, not in every
# process that collects tests.


def read_notebook(path: Path) -> NotebookNode:
    import nbformat

    return nbformat.read(path, as_version=4)


def code_cell(source: str) -> NotebookNode:
    import nbformat

    return nbformat.v4.new_code_cell(source)


def client_of(notebook: NotebookNode, timeout: float) -> NotebookClient:
    """Runs a notebook where it lies; `timeout`: s a cell."""
    from nbclient import NotebookClient

    return NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(FOLDER)}})


def as_page(notebook: NotebookNode) -> str:
    """What a reader without a kernel shows of a notebook that JupyterLab saved: without widgets' states."""
    from nbconvert import HTMLExporter

    del notebook.metadata["widgets"]
    return HTMLExporter().from_notebook_node(notebook)[0]


def with_settings(path: Path, settings: dict[str, Any]) -> NotebookNode:
    """A notebook with settings of ours after its parameters cell."""
    notebook = read_notebook(path)
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    lines = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    notebook.cells.insert(place + 1, code_cell(lines))
    return notebook


def settings_for(server: SignalServer, logs: Path) -> dict[str, Any]:
    """A room of the test's own, in few seconds."""
    return {"SERVER": server.url, "LOG_DIR": str(logs), "NODE_ID": "notebook", "PEERS": 1, "SECONDS": 4}


@pytest.mark.parametrize("name", [path.name for path in sorted(FOLDER.glob("*.ipynb"))])
def test_a_notebook_is_stored_clean(name: str) -> None:
    """Notebooks are kept without outputs and execution counts."""
    notebook = json.loads((FOLDER / name).read_text())
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")


def test_every_notebook_is_run_by_a_test() -> None:
    """No notebook is without a test of its own, which runs it from top to bottom."""
    for path in FOLDER.glob("*.ipynb"):
        assert [name for name in globals() if name.startswith(f"test_notebook_{path.name[:2]}_")], path.name


@pytest.mark.slow
async def test_notebook_01_runs_with_a_peer(server: SignalServer, joined: Joiner, tmp_path: Path) -> None:
    """Notebook 01 runs through as a node of a room; its peer hears its events; a picture stays in it, for
    readers without a kernel too."""
    peer = await joined(server=server.url, params=QUICK)
    settings = settings_for(server, tmp_path / "notebook") | {"STAY": False}
    notebook = with_settings(FOLDER / "01_join_a_room.ipynb", settings)
    client = client_of(notebook, 240)
    await client.async_execute()
    heard = [kind for kind, _ in events(peer).elements()]
    assert sorted(heard) == sorted(
        ["remote_intent", "remote_intent", "remote_lion_gate", "remote_lion_gate", "remote_pacemaker_flip"]
    )
    bundles = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any({"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle) for bundle in bundles)
    assert 'src="data:image/png;base64,iVBOR' in as_page(notebook)


@pytest.mark.slow
async def test_notebook_02_joins_the_room_of_its_address(
    server: SignalServer, joined: Joiner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notebook 02 joins the room that its address names; its kernel ends, and the node has left in order."""
    peer = await joined("room2", server=server.url, params=QUICK)
    monkeypatch.setenv("QUERY_STRING", "room=room2")
    settings = {"SERVER": server.url, "LOG_DIR": str(tmp_path / "visit")}
    notebook = with_settings(FOLDER / "02_room_app.ipynb", settings)
    linked = 'import asyncio\nwhile "direct" not in set(node.peers["via"]):\n    await asyncio.sleep(0.1)'
    notebook.cells.append(code_cell(linked))
    client = client_of(notebook, 240)
    await client.async_execute()
    bundle = notebook.cells[-2].outputs[0].data
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)
    await until(lambda: len(peer.peers) == 0, what="the visitor to leave")
    record = cf.load(tmp_path / "visit")
    assert record["room"].unique().tolist() == ["room2"]
    assert record.iloc[-1]["data"]["reason"] == "the kernel was shut down"


async def run(notebook: NotebookNode, last: str) -> tuple[int, Any]:
    """Run a notebook from top to bottom, with a last cell that prints JSON: its pictures, and that JSON."""
    notebook.cells.append(code_cell(last))
    client = client_of(notebook, 600)
    await client.async_execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    return pictures, json.loads(outputs[-1]["text"])


@pytest.mark.slow
async def test_notebook_03_finds_what_it_planted() -> None:
    """Of a night of two hours notebook 03 finds the gate by its closed form, no order out of flips, no
    locking, the early leave, the torn line. The night begins now, so its numbers differ from run to run."""
    notebook = read_notebook(FOLDER / "03_overnight.ipynb")
    last = """import json
print(json.dumps({
        "torn": int(df.attrs["report"]["torn"]), "left": int(missing.loc["c", "seconds missing"]),
        "expected": expected, "answers": {q: [r.value, r.p] for q, r in
            ((question, found.response) for question, found in matched.items())},
        "tau": doses["tau"]["p"], "plv": pairs["plv"].max(),
        "page": page.read_text()[:15], "summary": report.summary}))"""
    pictures, found = await run(notebook, last)
    assert pictures == 2
    assert found["torn"] == 1
    assert found["left"] == pytest.approx(900, abs=2)
    gate, flips, intents = found["answers"].values()
    assert gate[0] == pytest.approx(found["expected"], abs=0.12)
    assert gate[1] < 0.05 / 3
    assert abs(flips[0]) < 0.15
    assert 0 < intents[1] <= 1
    assert found["tau"] == pytest.approx(1 / 2000)
    assert found["plv"] < 0.2
    assert found["page"] == "<!doctype html>"
    assert len(found["summary"]) == 5
    assert "primary, fixed before the data were seen: blocks with intents p = " in found["summary"][3]


@pytest.mark.slow
async def test_notebook_04_answers_its_question() -> None:
    """Notebook 04 tells a coupled room from strangers, and not its control; its interval excludes 0."""
    notebook = read_notebook(FOLDER / "04_emergence.ipynb")
    last = """import json
print(json.dumps({"p": {f"{a} {b}": found.p for (a, b), found in judged.items()},
    "locked": locked.to_numpy().tolist(), "sizes": sizes.to_numpy().tolist(),
    "exact": effect.frame.attrs["difference"], "held": effect.frame.attrs["held"]}))"""
    pictures, found = await run(notebook, last)
    assert pictures == 4
    assert (found["exact"], found["held"]) == ("", 0)
    assert found["p"]["coupled pull"] == found["p"]["coupled locking"] == pytest.approx(0.01)
    assert min(found["p"]["control pull"], found["p"]["control locking"]) > 0.05
    for was, without in found["locked"]:
        assert was > without
    for _, _, _, low, high, d in found["sizes"]:
        assert 0 < low < high
        assert d > 2


@pytest.mark.slow
async def test_notebook_05_reproduces_what_was_published() -> None:
    """Notebook 05 runs through, draws its eight figures, and every number is as expected."""
    notebook = read_notebook(FOLDER / "05_validation.ipynb")
    pictures, table = await run(notebook, 'print(table.to_json(orient="records"))')
    assert pictures == 8
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not [row for row in table if not row["ok"]]
    assert len({row["result"] for row in table}) == 8
    for row in table:
        assert abs(row["measured"] - row["expected"]) <= row["tolerance"]


@pytest.mark.browser
async def test_notebook_01_in_jupyterlab(server: SignalServer, joined: Joiner, tmp_path: Path) -> None:
    """In JupyterLab the widget shows, its picture changes, and + Intent and a click on it reach the peer."""
    peer = await joined(server=server.url, params=QUICK)
    notebook = with_settings(FOLDER / "01_join_a_room.ipynb", settings_for(server, tmp_path / "notebook"))
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    async with asyncio.timeout(180), lab(tmp_path) as url, notebook_page(tmp_path, cells) as page:
        await open_notebook(page, url)
        await run_all(page)
        canvas = page.locator(".chronoflux-view canvas").first
        await canvas.wait_for(timeout=90_000)
        await until(lambda: peer.peers["via"].tolist() == ["direct"], timeout=60)

        def heard() -> int:
            return sum(kind == "remote_intent" for kind, _ in events(peer).elements())

        await until(lambda: heard() == 2, timeout=60)  # those of the cells
        button = page.get_by_role("button", name="+ Intent").first
        await button.click()
        await until(lambda: heard() == 3)
        await page.locator(".chronoflux-port").first.click(position={"x": 80, "y": 60})
        await until(lambda: heard() == 4)

        async def picture() -> np.ndarray:
            await canvas.screenshot(path=tmp_path / "canvas.png")
            return np.asarray(Image.open(tmp_path / "canvas.png").convert("RGB"), dtype=np.int16)

        before = await picture()
        assert before.std() > 5  # not one colour

        async def changed() -> bool:
            return float(np.abs(await picture() - before).mean()) > 0.5

        await until(changed)
