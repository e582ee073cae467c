"""Text that came from others, where people see it: in a terminal, and in a table of a spreadsheet."""

from __future__ import annotations

import unicodedata

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: object) -> str:
    """`text` as one line for a terminal: control characters, such as those that begin an escape sequence,
    and invisible ones, such as those that turn the direction of writing, as ``\\x1b``.

    >>> plain("a\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    found = str(text)
    return found if found.isprintable() else "".join(map(_shown, found))


def plain_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(plain, text.split("\n")))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


def cell(text: str) -> str:
    """`text` for a cell of a CSV file: behind an apostrophe where a spreadsheet would take it for a formula.

    >>> cell("=1+1")
    "'=1+1"
    """
    return "'" + text if text.startswith(_FORMULA) else text
