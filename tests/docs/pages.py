"""The pages that users read, and the code, commands and links in them.

A fenced block or a table's command that cannot run is preceded by a comment ``<!-- not run: reason -->``, the
only way to leave something out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = ("_build", "_generated", "api", "notebooks", "outputs")
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<kind>[\w{}-]*)[^\n]*\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
LEFT_OUT = re.compile(r"<!-- not run: \S.* -->")


class Block(NamedTuple):
    """A fenced block: its page, the line it begins in, its language and text."""

    page: str
    line: int
    kind: str
    text: str
    left_out: bool

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and all pages of the documentation that are written by hand."""
    written = [
        path
        for path in sorted(DOCS.rglob("*.md"))
        if not set(path.relative_to(DOCS).parts) & set(GENERATED) and path.name != "calibration.md"
    ]
    return [ROOT / "README.md", *written]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, without those that are directives of Sphinx."""
    text = path.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        if match["kind"].startswith("{"):
            continue
        before = text[: match.start("fence")].rstrip().rpartition("\n")[2]
        line = text.count("\n", 0, match.start("fence")) + 1
        indent = len(match["indent"])
        body = "".join(one[indent:] if one.strip() else "\n" for one in match["text"].splitlines(True))
        left_out = bool(LEFT_OUT.fullmatch(before.strip()))
        found.append(Block(str(path.relative_to(ROOT)), line, match["kind"], body, left_out))
    return found


def of_kind(*kinds: str) -> list[Block]:
    """All blocks in one of these languages, on all pages."""
    return [block for path in pages() for block in blocks(path) if block.kind in kinds]


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("\n", path.read_text("utf-8"))


def recipe(word: str) -> str:
    """The one fenced block of the documentation that contains `word`."""
    (text,) = (block.text for path in pages() for block in blocks(path) if word in block.text)
    return text
