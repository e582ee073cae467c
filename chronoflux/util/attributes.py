"""Refuse attributes that an object does not have, so that a slip such as ``node.kappa = 2`` is not silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chronoflux.errors import shorten
from chronoflux.util.text import did_you_mean


class FixedAttributes:
    """An object that takes values only for the attributes that its class declares.

    Declared is what the class or a base defines or annotates. Names that begin with an underscore are free.
    """

    if not TYPE_CHECKING:  # a type checker would allow every assignment

        def __setattr__(self, name: str, value: object) -> None:
            if not name.startswith("_") and not _declares(type(self), name):
                raise AttributeError(
                    f"{type(self).__name__} has no attribute {name}{_remedy(self, name, value)}"
                )
            super().__setattr__(name, value)


def _declares(kind: type, name: str) -> bool:
    return hasattr(kind, name) or any(name in _annotated(base) for base in kind.__mro__)


def _annotated(kind: type) -> dict[str, object]:
    found: dict[str, object] = vars(kind).get("__annotations__", {})
    return found


def _remedy(found: FixedAttributes, name: str, value: object) -> str:
    """What to do instead: for a parameter, replace the parameters; else the nearest attribute, if any."""
    kind = type(found)
    if name in getattr(getattr(found, "params", None), "__dataclass_fields__", {}):
        me = kind.__name__.lower()
        return f"; parameters change by {me}.params = {me}.params.replace({name}={shorten(value)})"
    known = {
        public for base in kind.__mro__ for public in (*vars(base), *_annotated(base)) if public[0] != "_"
    }
    return did_you_mean(name, sorted(known))
