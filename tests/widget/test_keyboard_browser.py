"""The live view by keyboard alone: every control is reached by Tab and Shift-Tab, and left again."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser import classic, lab, notebook_page, pages, run_notebook
from tests.widget.test_browser import SETUP

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Program = Callable[[Path], contextlib.AbstractAsyncContextManager[str]]

FOCUSED = """() => {
  const element = document.activeElement;
  const view = element?.closest(".chronoflux-view");
  if (!view) return null;
  return element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent;
}"""
"""The name of the control that has the focus; null outside of the view."""

ALL = """view => [...view.querySelectorAll("button, select, input, [role=slider], [role=application]")]
  .filter((one) => one.checkVisibility() && !one.disabled)
  .map((one) => one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent)"""
"""The names of the controls that can be used, in reading order."""


async def names(page: Page) -> list[str]:
    found: list[str] = await page.locator(".chronoflux-view").first.evaluate(ALL)
    return found


async def press(page: Page, key: str) -> str | None:
    """Press a key. Return the name of the control that then has the focus."""
    await page.keyboard.press(key)
    name: str | None = await page.evaluate(FOCUSED)
    return name


async def check(passed: Callable[[], Awaitable[str | None]], expected: list[str]) -> None:
    """Check that the focus passes these controls, and then leaves the view, or begins anew if it is alone on
    the page. `passed` presses a key and returns the name of the control that then has the focus."""
    assert [await passed() for _ in expected[1:]] == expected[1:]
    assert await passed() in (None, expected[0])


@pytest.mark.parametrize("program", [lab, classic, pages], ids=["JupyterLab", "Notebook 7", "Voilà"])
async def test_every_control_by_tab(program: Program, tmp_path: Path) -> None:
    """Tab passes every control once, in reading order, and leaves the view; Shift-Tab goes back the same way.
    Opened by keyboard, "More parameters" shows fields that are reached as well."""
    async with program(tmp_path) as url, notebook_page(tmp_path, [SETUP]) as page:
        await run_notebook(page, url)
        view = page.locator(".chronoflux-view").first
        await view.wait_for(timeout=120_000)
        await view.get_by_role("slider", name="kappa").wait_for(timeout=60_000)
        more = view.get_by_role("button", name="More parameters")
        for opened in (False, True):
            if opened:
                await more.focus()
                await page.keyboard.press("Enter")
                await view.get_by_label("f [Hz]", exact=True).wait_for()
            expected = await names(page)
            assert len(expected) > (30 if opened else 20)
            await view.locator("button").first.focus()
            await check(lambda: press(page, "Tab"), expected)
            await view.locator("button").last.focus()
            await check(lambda: press(page, "Shift+Tab"), expected[::-1])
