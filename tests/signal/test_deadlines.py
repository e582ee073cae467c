"""Deadlines, beside a plain table of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chronoflux.signal.deadlines import Deadlines

KEYS = st.integers(0, 5)
TIMES = st.floats(0, 100)
STEPS = st.one_of(
    st.tuples(st.just("set"), KEYS, TIMES),
    st.tuples(st.just("take back"), KEYS, TIMES),
    st.tuples(st.just("fallen"), KEYS, TIMES),
)


@given(st.lists(STEPS, max_size=200))
def test_it_is_a_table_searched_for_its_earliest(steps: list[tuple[str, int, float]]) -> None:
    """Set, set anew, taken back and fallen due in any order, it has what a table searched each time has, and
    keeps no more than twice that and a few."""
    deadlines: Deadlines[int] = Deadlines()
    table: dict[int, float] = {}
    for step, key, at in steps:
        if step == "set":
            deadlines.set(key, at)
            table[key] = at
        elif step == "take back":
            deadlines.cancel(key)
            table.pop(key, None)
        else:
            due = sorted(at_ for at_ in table.values() if at_ <= at)
            fallen = list(deadlines.pop_due(at))
            assert [table.pop(found) for found in fallen] == due
        assert deadlines.first() == min(table.values(), default=None)
        assert len(deadlines) == len(table)
        assert len(deadlines._heap) <= 2 * len(table) + 65
