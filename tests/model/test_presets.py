"""Presets: named parameters that can be looked up, added to and refused by name."""

from __future__ import annotations

import pytest

import chronoflux as cf
from chronoflux.errors import ParameterError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.presets import PRESETS


def test_classic_is_the_defaults_and_the_others_are_not() -> None:
    """`cf.presets` is the registry; `classic` comes first and is `Params()`, the rest differ from it."""
    assert cf.presets is PRESETS
    assert next(iter(cf.presets)) == "classic"
    assert cf.presets["classic"] == Params()
    others = [params for name, params in cf.presets.items() if name != "classic"]
    assert len(others) == len(set(others)) >= 4
    assert Params() not in others


def test_presets_can_be_added_and_taken_out() -> None:
    """A registered preset is found with what it is about, until it is unregistered."""
    calm = PRESETS.register("calm", Params(kappa=0.1), "hardly anything")
    try:
        assert PRESETS["calm"] is calm
        assert PRESETS.about("calm") == "hardly anything"
        assert "calm" in repr(PRESETS)
    finally:
        PRESETS.unregister("calm")
    assert "calm" not in PRESETS


def test_wrong_presets_are_refused() -> None:
    """Unknown names, names that cannot be shown and what is no `Params` are refused by name."""
    with pytest.raises(ParameterError, match="classic"):
        PRESETS["nothing"]
    with pytest.raises(UsageError, match="printable"):
        PRESETS.register("\n", Params(), "")
    with pytest.raises(UsageError, match="Params"):
        PRESETS.register("x", {"kappa": 1}, "")
