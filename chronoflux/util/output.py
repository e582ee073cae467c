"""Standard output in encodings that lack some of our characters: they are spelled in ASCII.

A pipe on Windows has cp1252 or cp437, an old terminal ASCII. There Python would raise UnicodeEncodeError.
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
    """A character in ASCII: ``psi`` for a Greek letter, ``a`` for one with an accent, ``->`` for an arrow;
    where nothing like it exists, its number as Python writes it.

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
    """Have stdout and stderr spell what their encoding lacks; a notebook's streams are left alone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def discard_output() -> None:
    """Have what is still to be written to stdout go nowhere: who read it has ended, as ``head`` does."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
