"""What measures ask of their input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.analysis import checks
from chronoflux.errors import ParameterError, UsageError


@given(st.lists(st.sampled_from([0.5, 1.5, np.nan, np.inf, -np.inf]), min_size=1, max_size=40))
def test_incomplete_rows_are_left_out_and_counted(values: list[float]) -> None:
    """What is kept is finite in every array, and kept and counted together are all."""
    x = np.array(values)
    y = np.stack([np.arange(len(x)), x[::-1]], axis=1)
    finite = np.isfinite(x) & np.isfinite(x[::-1])
    (kept, other), masked = checks.complete("rows", x, y, least=0)
    assert np.array_equal(kept, x[finite])
    assert np.array_equal(other, y[finite])
    assert masked == np.count_nonzero(~finite)
    if masked:
        with pytest.raises(ParameterError, match=f"{masked} left out"):
            checks.complete("rows", x, y, least=len(x))


def test_constant_is_judged_by_size() -> None:
    """Rounding about a large value is no variation; a small one about 0 is."""
    with pytest.raises(ParameterError, match="constant"):
        checks.series("x", [1e9, 1e9 + 1e-6, 1e9])
    assert len(checks.series("x", [0, 1e-9, 0])) == 3


def test_a_missing_library_names_the_extra() -> None:
    """Without a library of the extra the error says what needs it and how to install it."""
    with pytest.raises(UsageError, match=r"the spectrum needs nothing_here: .*chronoflux\[analysis\]"):
        checks.library("nothing_here.at_all", "the spectrum")
