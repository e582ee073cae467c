"""Spell characters in ASCII where the encoding of standard output lacks them.

A pipe on Windows uses cp1252 or cp437, an old terminal ASCII. Python would raise UnicodeEncodeError there.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata

_ERRORS = "chronoflux.spelled"
_SPELLINGS = {
    **dict.fromkeys("‐‑‒–—−─", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’‚′", "'"),
    **dict.fromkeys("├└│┌┐┘", "+"),
    **{"…": "...", "→": "->", "←": "<-", "↔": "<->", "⇒": "=>", "↑": "^", "↓": "v"},
    **{"×": "x", "·": "*", "⋅": "*", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+-", "√": "sqrt"},
    **{
        "∞": "inf",
        "∂": "d",
        "∇": "grad",
        "∈": "in",
        "∝": "~",
        "⁄": "/",
        "⟨": "<",
        "⟩": ">",
        "⚠": "!",
        "°": " deg",
        "█": "#",
        "•": "*",
        "●": "*",
        "✓": "ok",
        "ß": "ss",
    },
}


def spelled(character: str) -> str:
    """Spell a character in ASCII.

    A Greek letter becomes its name (``psi``), an accented letter its base (``a``), an arrow ``->``. A
    character without a spelling becomes its escape sequence as Python writes it.

    >>> "".join(map(spelled, "Δψ → ±0.5²"))
    'Deltapsi -> +-0.52'
    """
    if character.isascii():
        return character
    if character in _SPELLINGS:
        return _SPELLINGS[character]
    words = unicodedata.name(character, "").split()
    if words[:1] == ["GREEK"] and "LETTER" in words[:-1]:
        letter = words[words.index("LETTER") + 1]
        return letter.capitalize() if "CAPITAL" in words else letter.lower()
    plain = unicodedata.normalize("NFKD", character)
    if plain != character:
        return "".join(map(spelled, plain))
    if unicodedata.combining(character):
        return ""
    return character.encode("ascii", "backslashreplace").decode()


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(spelled, error.object[error.start : error.end])), error.end


codecs.register_error(_ERRORS, _spell)


def never_fail_to_encode() -> None:
    """Make stdout and stderr spell characters that their encoding lacks. Skip a notebook's streams."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def discard_output() -> None:
    """Redirect stdout to the null device, after its reader (such as ``head``) has closed the pipe."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
