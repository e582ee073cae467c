"""Make untrusted text safe to show in a terminal and in a spreadsheet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from chronoflux.errors import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_lines(text: str) -> str:
    """Apply :func:`plain` to each line of `text`."""
    return "\n".join(map(plain, text.split("\n")))


def cell(text: str) -> str:
    """Return `text` for a cell of a CSV file, after an apostrophe if a spreadsheet would read a formula.

    >>> cell("=1+1")
    "'=1+1"
    """
    return "'" + text if text.startswith(_FORMULA) else text


def with_parameters(doc: str, lines: Iterable[str]) -> str:
    """Return a numpydoc docstring with a Parameters section of these lines, before its Raises section."""
    before, raises, after = doc.partition("Raises\n------\n")
    section = "\n".join(lines)
    return f"{before.rstrip()}\n\nParameters\n----------\n{section}\n\n{raises}{after}".strip() + "\n"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean …?)`` with the nearest of the names that are known; empty when none is near.

    >>> did_you_mean("scheduel", ["seed", "schedule"])
    ' (did you mean schedule?)'
    """
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f" (did you mean {near[0]}?)" if near else ""
