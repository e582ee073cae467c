"""The live view in a real JupyterLab: shown, steered, clicked, and never more than two frames ahead."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser import Wire, command, lab, notebook_page, open_notebook, run_all
from tests.support import until

pytestmark = pytest.mark.browser

SETUP = """
from chronoflux.model.params import Params
from chronoflux.widget import mimebundle
from tests.sources import SwarmSource

SwarmSource._repr_mimebundle_ = lambda self, **_: mimebundle(self)
source = SwarmSource(Params(oscillators=12)).start()
source
"""
STAGES = ".chronoflux-stage > canvas"

BRIGHT = """canvas => {
  // The part of the picture, in percent, that is clearly lighter than its middle pixel: crests, pulses.
  // Without the margin, where portal mode has its frame, and the corner with the clock.
  const [w, h] = [62, 44];
  const small = new OffscreenCanvas(w, h).getContext("2d");
  small.imageSmoothingEnabled = false;
  small.drawImage(canvas, 20, 20, 10 * w, 10 * h, 0, 0, w, h);
  const { data } = small.getImageData(0, 0, w, h);
  const light = [];
  for (let i = 0; i < data.length; i += 4) light.push(data[i] + data[i + 1] + data[i + 2]);
  const middle = light.slice().sort((a, b) => a - b)[light.length >> 1];
  return 100 * light.filter((value) => value > middle + 12).length / light.length;
}"""

OUTPUT = """() => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[0];
  return Object.keys(cell.model.outputs.get(0).data);
}"""


async def bright(page: Page, nth: int = 0) -> float:
    """How much of a display stands out, in percent."""
    part: float = await page.locator(STAGES).nth(nth).evaluate(BRIGHT)
    return part


async def test_a_notebook_shows_and_steers_the_swarm(tmp_path: Path) -> None:
    """A person sees the swarm, presses, clicks, displays it twice and reloads; frames stay in step."""
    errors: list[str] = []
    async with lab(tmp_path) as url, notebook_page(tmp_path, [SETUP, "source"]) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await page.locator(STAGES).nth(1).wait_for(timeout=40_000)

        # The live view is shown, in both places, and the still is there for readers only.
        await until(lambda: len(wire.shown) > 10, 30, "frames on the page")
        assert "image/png" in await page.evaluate(OUTPUT)
        assert await page.locator(".jp-RenderedImage").count() == 0
        await until(lambda: crests(page), 5, "the jet")

        # Portal mode: the jet is gone.
        await page.get_by_role("button", name="Lion Gate: off").first.click()
        await page.get_by_role("button", name="Lion Gate: on").first.wait_for()
        await until(lambda: calm(page), 10, "no jet")

        # + Intent, and then a click on the picture: pixels change, in both displays.
        await page.get_by_role("button", name="+ Intent").first.click()
        await until(lambda: stirred(page, 0), 5, "a pulse in the first display")
        await until(lambda: calm(page), 15, "the pulse to fade")
        await page.locator(".chronoflux-port").nth(1).click(position={"x": 150, "y": 100})
        await until(lambda: stirred(page, 1), 5, "a pulse in the second display")

        assert len(wire.shown) > 30
        assert wire.most <= 2

        # Reloaded, the page shows the swarm again, held as it is.
        await page.get_by_role("button", name="Pause").first.click()
        await page.get_by_role("button", name="Play").first.wait_for()
        await command(page, "docmanager:save")
        await open_notebook(page, url)
        await page.locator(STAGES).first.wait_for(timeout=40_000)
        await until(lambda: drawn(page), 20, "a picture after the reload")
    assert errors == []


async def crests(page: Page) -> bool:
    """Whether the jet can be seen."""
    return await bright(page) > 2


async def calm(page: Page) -> bool:
    """Whether nothing but dots stands out."""
    return await bright(page) < 1


async def stirred(page: Page, nth: int) -> bool:
    """Whether a pulse stands out."""
    return await bright(page, nth) > 3


async def drawn(page: Page) -> bool:
    """Whether there is a picture at all."""
    corner = "canvas => canvas.getContext('2d').getImageData(40, 40, 1, 1).data[3]"
    return bool(await page.locator(STAGES).first.evaluate(corner))
