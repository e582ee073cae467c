"""A replay in a real JupyterLab: scrubbed, stepped, played, in both modes; and a swarm in space."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Locator, Page

from tests.browser import lab, notebook_page, open_notebook, run_all
from tests.runs import make_run
from tests.support import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import chronoflux as cf
replay = cf.Replay({runs!r})
replay
"""
PIXELS = """canvas => {
  const small = new OffscreenCanvas(80, 60).getContext("2d");
  small.drawImage(canvas, 0, 0, 80, 60);
  return Array.from(small.getImageData(0, 0, 80, 60).data).join();
}"""


async def pixels(picture: Locator) -> str:
    found: str = await picture.evaluate(PIXELS)
    return found


async def said(page: Page) -> str:
    return " ".join(await page.locator(".chronoflux-status").all_inner_texts())


async def shows(page: Page, words: str, seconds: float = 20) -> None:
    await until(lambda: _says(page, words), seconds, words)


async def _says(page: Page, words: str) -> bool:
    return re.search(words, await said(page)) is not None


async def test_a_person_scrubs_steps_and_switches(tmp_path: Path) -> None:
    """The bar is dragged and driven by keys, events are stepped to, and either mode says what it shows."""
    errors: list[str] = []
    runs = [str(make_run(tmp_path / "logs", node=f"n{i}", seed=i, at=1e12 + 2000 * i)) for i in (0, 1)]
    async with lab(tmp_path) as url, notebook_page(tmp_path, [CELL.format(runs=runs)]) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        await open_notebook(page, url)
        await run_all(page)
        bar = page.get_by_role("slider", name="Position in the recorded time")
        await bar.wait_for(timeout=60_000)
        pictures = page.locator(".chronoflux-stage canvas")
        assert await pictures.count() == 2
        await shows(page, r"as recorded\s+0:00:00 of 0:00:1\d\s+6 events")

        before = await pixels(pictures.first)
        box = await bar.bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + 20, box["y"] + 20)
        await page.mouse.down()
        for part in (0.2, 0.4, 0.6):
            await page.mouse.move(box["x"] + part * box["width"], box["y"] + 20)
        await page.mouse.up()
        await shows(page, r"0:00:(09|10) of")
        await until(lambda: _changed(pictures.first, before), 10, "another picture")

        await page.get_by_role("button", name="recomputed").click()
        await shows(page, "recomputed: every tick computed")
        await shows(page, "agrees bit for bit with the record: 30 records")

        await bar.focus()
        await page.keyboard.press("Home")
        await shows(page, r"recomputed\s+0:00:00 of")
        await page.keyboard.press("PageDown")
        await shows(page, r"recomputed\s+0:00:03 of")
        assert await bar.get_attribute("aria-valuetext") == "0:00:03 of 0:00:17"
        await page.locator("button:has(.fa-step-forward)").click()
        await shows(page, r"recomputed\s+0:00:05 of")
        await page.keyboard.press("Escape")
        await bar.focus()
        await page.keyboard.press(" ")
        await page.get_by_role("button", name="Pause").wait_for()
        await shows(page, r"recomputed\s+0:00:0[6-9] of")
    assert errors == []


SPACE = """
from chronoflux.model.params import Params
from chronoflux.widget import view3d
from tests.sources import SwarmSource

source = SwarmSource(Params(oscillators=2000)).start()
view = view3d(source)
view
"""


async def test_space_is_not_blank_in_any_layout(tmp_path: Path) -> None:
    """Every layout draws thousands of coloured pixels, which go on moving, never two frames ahead."""
    errors: list[str] = []
    async with lab(tmp_path) as url, notebook_page(tmp_path, [SPACE]) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        await open_notebook(page, url)
        await run_all(page)
        scene = page.locator(".chronoflux-space")
        await scene.locator("canvas").first.wait_for(timeout=60_000)
        for layout in ("helix", "height", "torus"):
            await page.get_by_role("button", name=layout).click()
            await until(lambda: _coloured(scene), 30, layout)
            before = await scene.screenshot()
            await until(lambda before=before: _moved(scene, before), 30, f"{layout} to move")
    assert errors == []


async def _coloured(scene: Locator) -> bool:
    """Whether many pixels have a colour, by a picture of the page as a person sees it."""
    pixels = np.asarray(Image.open(io.BytesIO(await scene.screenshot())).convert("RGB")).astype(int)
    return bool(((pixels.max(axis=2) - pixels.min(axis=2)) > 60).sum() > 3000)


async def _moved(scene: Locator, before: bytes) -> bool:
    return await scene.screenshot() != before


async def _changed(picture: Locator, before: str) -> bool:
    return await pixels(picture) != before
