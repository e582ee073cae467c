"""Make the README's pictures from real runs: ``make pictures``.

``node.png`` is the widget of notebook 01 in JupyterLab with two headless peers, ``space.png`` the same swarm
in space, ``replay.png`` its run afterwards, beside that of a peer; ``app.png`` is notebook 02 on a phone;
``demo.png`` what the demo drew last; ``chimera.png`` a figure of notebook 05.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from playwright.async_api import Locator, Page

from chronoflux.demo import running_bot, running_server
from tests.browser import PHONE, chromium, command, lab, notebook_page, open_notebook, room_app

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "notebooks" / "pictures"
JOIN = """
import chronoflux as cf

node = await cf.join(
    "demo", server={server!r}, log_dir={logs!r}, node_id="notebook", seed=5, params=cf.presets["spirals"]
)
node
"""
SPACE = "node.view3d()"
REPLAY = """
from pathlib import Path

await node.leave()
cf.Replay([node.path, next(Path({logs!r}).glob("demo-bot-1-*"))])
"""


async def notebook_pictures() -> None:
    """The widget some seconds after an intent, the swarm in space, and the replay of it all."""
    folder = Path(tempfile.mkdtemp())
    logs = str(folder / "logs")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server())
        url = await stack.enter_async_context(lab(folder))
        cells = [JOIN.format(server=server, logs=logs), SPACE, REPLAY.format(logs=logs)]
        page = await stack.enter_async_context(notebook_page(folder, cells))
        await open_notebook(page, url)
        await run_cell(page, 0)
        view = page.locator(".chronoflux-view").first
        await view.wait_for(timeout=240_000)
        await bots(stack, server, folder)
        await page.wait_for_timeout(5_000)
        for x, y in ((0.3, 0.3), (0.65, 0.6)):
            pane = page.locator(".chronoflux-port").first
            box = await pane.bounding_box()
            assert box is not None
            await pane.click(position={"x": x * box["width"], "y": y * box["height"]})
            await page.wait_for_timeout(400)
        await keep(view, "node.png")
        await page.keyboard.press("Escape")

        await run_cell(page, 1)
        space = page.locator(".chronoflux-space")
        await space.locator("canvas").first.wait_for(timeout=60_000)
        await page.wait_for_timeout(6_000)
        await keep(space, "space.png")

        await run_cell(page, 2)
        replay = page.locator(".chronoflux-replay")
        await replay.locator(".chronoflux-stage canvas").nth(1).wait_for(timeout=60_000)
        bar = page.get_by_role("slider", name="Position in the recorded time")
        await replay.get_by_role("button", name="recomputed").click()
        await bar.focus()
        for _ in range(12):
            await page.keyboard.press("PageDown")
        await replay.evaluate("part => part.scrollIntoView({block: 'end'})")  # what nobody sees is not drawn
        await replay.get_by_text("recomputed: every tick computed").nth(1).wait_for(timeout=120_000)
        await replay.get_by_text("agrees bit for bit").wait_for(timeout=120_000)
        await page.wait_for_timeout(2_000)
        await keep(replay, "replay.png")
    shutil.rmtree(folder)


async def bots(stack: contextlib.AsyncExitStack, server: str, folder: Path) -> None:
    """Two headless peers."""
    for name in ("bot-1", "bot-2"):
        await stack.enter_async_context(running_bot(name, server, folder / "logs"))


async def run_cell(page: Page, index: int) -> None:
    """Run one cell; others may have been clicked at meanwhile."""
    await page.evaluate(
        "index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", index
    )
    await command(page, "notebook:run-cell")


async def app_picture() -> None:
    """Notebook 02 on a phone, with two headless peers in its room."""
    folder = Path(tempfile.mkdtemp())
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server())
        url = await stack.enter_async_context(room_app(folder, CHRONOFLUX_SERVER=server))
        context = await stack.enter_async_context(chromium(**PHONE))
        page = await context.new_page()
        await page.goto(f"{url}/?room=demo", timeout=240_000)
        stage = page.locator(".chronoflux-stage")
        await stage.locator("canvas").first.wait_for(timeout=120_000)
        await bots(stack, server, folder)
        await page.wait_for_timeout(5_000)
        await stage.locator(".chronoflux-port").tap(position={"x": 120, "y": 110})
        await page.wait_for_timeout(500)
        await keep(page, "app.png")
        await page.close(run_before_unload=True)
    shutil.rmtree(folder)


async def keep(part: Locator | Page, name: str) -> None:
    """A picture of a part of a page, as a small file."""
    picture = Image.open(io.BytesIO(await part.screenshot())).convert("RGB")
    picture.save(PICTURES / name, optimize=True)


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
    asyncio.run(notebook_pictures())
    asyncio.run(app_picture())
    drawn = ROOT / "logs" / "demo" / "room.png"
    if not drawn.exists():
        sys.exit("logs/demo/room.png is missing: make demo first")
    shutil.copy(drawn, PICTURES / "demo.png")


if __name__ == "__main__":
    main()
