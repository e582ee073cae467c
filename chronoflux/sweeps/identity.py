"""Fingerprints of functions by their code, so that results of changed code are not reused."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any


def fingerprint(thing: Callable[..., Any]) -> str:
    """Return a name and a hash of a function's or class's code, defaults and enclosed values.

    Functions that it calls are not covered. The hash is valid within one minor version of Python.
    """
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    return f"{name}:{hashlib.sha256(_describe(thing).encode()).hexdigest()[:16]}"


def _describe(thing: Any) -> str:
    if isinstance(thing, functools.partial):
        options = {name: _describe(value) for name, value in sorted(thing.keywords.items())}
        return f"partial({_describe(thing.func)}, {[_describe(value) for value in thing.args]}, {options})"
    if isinstance(thing, FunctionType):
        cells = [_describe(cell.cell_contents) for cell in thing.__closure__ or ()]
        defaults = [_describe(value) for value in thing.__defaults__ or ()]
        named = {name: _describe(value) for name, value in sorted((thing.__kwdefaults__ or {}).items())}
        return f"function({_code(thing.__code__)}, {cells}, {defaults}, {named})"
    if isinstance(thing, staticmethod | classmethod):
        return _describe(thing.__func__)
    if isinstance(thing, property):
        return _describe(thing.fget)
    if isinstance(thing, type):
        own = {name: _describe(value) for name, value in sorted(vars(thing).items()) if not _told(name)}
        return f"class({thing.__module__}.{thing.__qualname__}, {own})"
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return repr(thing)
    if isinstance(thing, tuple | list):
        return f"{type(thing).__name__}({[_describe(value) for value in thing]})"
    where, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    return f"{where}.{name}" if name else f"{type(thing).__module__}.{type(thing).__qualname__}"


def _told(name: str) -> bool:
    """Return whether an attribute of a class describes its definition and not its behaviour."""
    return name in ("__module__", "__qualname__", "__dict__", "__weakref__", "__doc__", "__firstlineno__")


def _code(code: CodeType) -> str:
    inner = [_code(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return f"code({code.co_code.hex()}, {inner}, {code.co_names}, {code.co_varnames})"
