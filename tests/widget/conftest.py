"""A page without a browser, and a swarm to show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pages import Page, page
from tests.sources import SwarmSource


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    with page(monkeypatch) as front:
        yield front


@pytest.fixture
async def source() -> SwarmSource:
    return SwarmSource()
