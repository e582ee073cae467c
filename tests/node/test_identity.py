"""Names of nodes: as given, or made from the machine's."""

from __future__ import annotations

import pytest

from chronoflux.errors import UsageError
from chronoflux.node.identity import checked_name, node_name


def test_a_name_is_the_given_one_or_constant_in_this_process() -> None:
    """A cell that is run again gets the same name, which says what kind of node it is."""
    assert node_name("me", "headless") == "me"
    made = node_name(None, "headless")
    assert made == node_name(None, "headless")
    assert made.startswith("headless-")
    assert checked_name(made) == made


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "\x1b[2J", 7, None])
def test_bad_names_are_refused(name: object) -> None:
    """A name has 1 to 64 printable characters; the error names what was given."""
    with pytest.raises(UsageError, match=r"node_id = .*: give 1 to 64 printable characters"):
        checked_name(name)
