"""All errors that ChronoFlux raises on purpose.

::

    ChronofluxError
    ├── ParameterError      a value the physics or an interface does not allow (also a ValueError)
    ├── UsageError          a room, URL, token or path that cannot be used (also a ValueError)
    ├── SignalingError      the signaling server is unreachable or refused the node
    ├── LinkError           a peer-to-peer link could not be made or broke
    ├── ProtocolError       a message from a remote was refused
    └── LogError            a run folder or log file cannot be read or written

Details are attributes, so that a program can act on them; ``str(error)`` is one line that names the
object, the value and the remedy.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any


def plain(text: object) -> str:
    """Return `text` as one line that is safe to print in a terminal.

    Control characters (which begin escape sequences) and invisible ones (which reverse the writing direction)
    are escaped, as in ``\\x1b``.

    >>> plain("a\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    found = str(text)
    return found if found.isprintable() else "".join(map(_shown, found))


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


class ChronofluxError(Exception):
    """Base class of all errors raised on purpose.

    The message is one line that says what to do. It is safe to print in a terminal, even if it contains
    untrusted names.

    Examples
    --------
    >>> import chronoflux as cf
    >>> try:
    ...     cf.Params(kappa=1000)
    ... except cf.ChronofluxError as error:
    ...     print(error)
    kappa = 1000 is not allowed: from -100 to 100 (rad/s)
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(plain(message))

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with the message alone, which the classes with attributes do not take:
        # an error of a worker process would then not come back.
        return _restored, (type(self), str(self), self.__dict__)


class ParameterError(ChronofluxError, ValueError):
    """A value that is not allowed.

    Attributes: ``name`` of the parameter, the ``value`` given, and what is ``allowed`` in words.
    """

    name: str
    value: object
    allowed: str

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.name, self.value, self.allowed = name, value, allowed
        super().__init__(f"{name} = {shorten(value)} is not allowed: {allowed}")


class UsageError(ChronofluxError, ValueError):
    """A room name, URL, token, path or command that cannot be used as given."""


class SignalingError(ChronofluxError):
    """The signaling server cannot be reached, or refused the node.

    Attributes: ``url``; ``code`` from the server, or ``"unreachable"``, ``"proxy"``, ``"certificate"`` or
    ``"not-chronoflux"``; ``fatal``, whether a retry cannot help; ``retry_after``, the seconds to wait before
    a retry, if the server named them.
    """

    url: str
    code: str
    fatal: bool
    retry_after: float

    def __init__(
        self, url: str, code: str, message: str, *, fatal: bool = False, retry_after: float = 0.0
    ) -> None:
        self.url, self.code, self.fatal, self.retry_after = url, code, fatal, retry_after
        super().__init__(message)


class LinkError(ChronofluxError):
    """A peer-to-peer link failed; the message gives the reason."""


class ProtocolError(ChronofluxError):
    """A message from a remote was refused.

    Attributes: ``kind``, the message's type if it could be read, and ``reason``.
    """

    kind: str
    reason: str

    def __init__(self, kind: str, reason: str) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(f"{kind}: {reason}")


class LogError(ChronofluxError):
    """A run folder or log file cannot be read or written.

    Attributes: ``path``; ``line`` (from 1) if it is known; ``reason``, the message without these.
    """

    path: Path
    line: int | None
    reason: str

    def __init__(self, path: str | Path, message: str, *, line: int | None = None) -> None:
        self.path, self.line, self.reason = Path(path), line, plain(message)
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")


def _restored(kind: type[ChronofluxError], message: str, facts: dict[str, Any]) -> ChronofluxError:
    """Make an error again from its parts."""
    error = kind.__new__(kind, message)
    error.__dict__.update(facts)
    return error


def shorten(value: object, limit: int = 60) -> str:
    """Return ``repr(value)``, cut to `limit` characters, for use in a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
