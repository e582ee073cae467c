"""Files that are exported from the live view."""

from __future__ import annotations

import pytest

from chronoflux.errors import LogError
from chronoflux.widget import NodeView
from tests.pages import Page
from tests.sources import SwarmSource
from tests.support import until
from tests.widget.views import button, end, status


@pytest.mark.parametrize(
    ("label", "begin", "name"),
    [
        ("Picture", b"\x89PNG", "room1-test-0.png"),
        ("Clip", b"GIF89a", "room1-test-0.gif"),
        ("Log", b"[]", "room1-test.json"),
    ],
)
async def test_exported_files(
    front: Page,
    source: SwarmSource,
    monkeypatch: pytest.MonkeyPatch,
    label: str,
    begin: bytes,
    name: str,
) -> None:
    """Picture, clip and log are sent to the page as files of their kind, named after room and node."""
    monkeypatch.setattr("chronoflux.widget.export.CLIP_SECONDS", 0.3)
    view = NodeView(source)
    front.press(button(view, label))
    await until(lambda: front.files)
    (tag, content), *others = front.files
    assert not others
    assert tag["save"] == name
    assert bytes(content).startswith(begin)
    await end(view)


async def test_a_log_that_cannot_be_read_is_reported(
    front: Page, source: SwarmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is saved, and the status line says why."""

    def fail(path: object) -> None:
        raise LogError("logs", "the disk is gone")

    monkeypatch.setattr(source, "export_log", fail)
    view = NodeView(source)
    front.watch(view)
    front.press(button(view, "Log"))
    await until(lambda: "the disk is gone" in status(view))
    assert front.files == []
    await end(view)
