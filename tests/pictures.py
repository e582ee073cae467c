"""Make the README's pictures from real runs: ``make pictures``.

``node.png`` is the widget of notebook 01 in JupyterLab with two headless peers; ``demo.png`` what the
demo drew last; ``chimera.png`` a figure of notebook 05.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from chronoflux.demo import running_bot, running_server
from tests.browser import lab, notebook_page, open_notebook, run_all

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "notebooks" / "pictures"
CELL = """
import chronoflux as cf

node = await cf.join("demo", server={server!r}, log_dir={logs!r}, node_id="notebook", seed=5)
node
"""


async def node_picture(target: Path) -> None:
    """The widget, as it looks some seconds after an intent."""
    folder = Path(tempfile.mkdtemp())
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server())
        url = await stack.enter_async_context(lab(folder))
        cell = CELL.format(server=server, logs=str(folder / "logs"))
        page = await stack.enter_async_context(notebook_page(folder, [cell]))
        await open_notebook(page, url)
        for name in ("bot-1", "bot-2"):
            await stack.enter_async_context(running_bot(name, server, folder / "logs"))
        await run_all(page)
        view = page.locator(".chronoflux-view").first
        await view.wait_for(timeout=60_000)
        await page.wait_for_timeout(4_000)
        for x, y in ((0.3, 0.3), (0.65, 0.6)):
            pane = page.locator(".chronoflux-port").first
            box = await pane.bounding_box()
            assert box is not None
            await pane.click(position={"x": x * box["width"], "y": y * box["height"]})
            await page.wait_for_timeout(400)
        await view.screenshot(path=target)
        await page.keyboard.press("Escape")
    shutil.rmtree(folder)


def chimera_picture(target: Path) -> None:
    """The figure of the two populations in notebook 05, which is run for it."""
    notebook = nbformat.read(ROOT / "notebooks" / "05_validation.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    (cell,) = [cell for cell in notebook.cells if "def two_populations" in cell.source]
    (picture,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
    target.write_bytes(base64.b64decode(picture))


def main() -> None:
    """Make them all."""
    PICTURES.mkdir(exist_ok=True)
    chimera_picture(PICTURES / "chimera.png")
    asyncio.run(node_picture(PICTURES / "node.png"))
    drawn = ROOT / "logs" / "demo" / "room.png"
    if not drawn.exists():
        sys.exit("logs/demo/room.png is missing: make demo first")
    shutil.copy(drawn, PICTURES / "demo.png")


if __name__ == "__main__":
    main()
