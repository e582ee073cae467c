"""Errors of measures in words for a page."""

from __future__ import annotations

import pytest

from chronoflux.analysis.words import in_words
from chronoflux.errors import ChronofluxError, LogError, ParameterError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ParameterError("nodes", 1, "at least 2 in the room"), "1 node; needed: at least 2 in the room"),
        (ParameterError("rounds", 2, "at least 3"), "2 rounds; needed: at least 3"),
        (
            ParameterError("x", "constant", "a quantity that varies"),
            "constant; needed: a quantity that varies",
        ),
        (ParameterError("a", "rises all the time", "null runs"), "a: rises all the time; needed: null runs"),
        (
            ParameterError("samples[:, 0]", "locked", "another measure (analysis.pairs) instead"),
            "locked; needed: another measure instead",
        ),
        (
            ParameterError("H", "steps", "null runs (analysis.x), or stationary=True for what is known"),
            "H: steps; needed: null runs",
        ),
        (ParameterError("x", (3, 2), "a series"), "3 × 2 values; needed: a series"),
        (LogError("logs/r-a-1", "has no inputs"), "r-a-1: has no inputs"),
        (ChronofluxError("something else"), "something else"),
    ],
)
def test_an_error_becomes_what_was_found_and_what_is_needed(error: ChronofluxError, words: str) -> None:
    """No argument's name beside a value of its own, and never the words of the exception."""
    assert in_words(error) == words
