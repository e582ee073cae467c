"""Text that came from others, where people see it: in a terminal, and in a table of a spreadsheet."""

from __future__ import annotations

from chronoflux.errors import plain as plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(plain, text.split("\n")))


def cell(text: str) -> str:
    """`text` for a cell of a CSV file: behind an apostrophe where a spreadsheet would take it for a formula.

    >>> cell("=1+1")
    "'=1+1"
    """
    return "'" + text if text.startswith(_FORMULA) else text
