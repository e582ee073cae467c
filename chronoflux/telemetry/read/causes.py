"""Likely causes why a line or file is not a log, in words: frequent ones, then the parser's message."""

from __future__ import annotations

import codecs
import re

_WIDE = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_NO_NUMBER = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)\b")
_FRAGMENT = re.compile(rb'[\]}{\[],?|"[^"]*"\s*:\s*(?:[\[{]|[^{}]*),?')
_MARKUP = re.compile(rb"<(?:!doctype|html|\?xml)", re.IGNORECASE)


def wide_encoding(head: bytes) -> str | None:
    """Return the name of a text encoding with two or four bytes per character; None for any other."""
    for mark, name in _WIDE:
        if head.startswith(mark):
            return name
    pairs = head[: len(head) // 2 * 2]
    if len(pairs) < 4 or pairs.strip(b"\0") == b"":
        return None
    zeros = [not any(pairs[start::2]) for start in (0, 1)]
    return "UTF-16" if any(zeros) else None


def cause(line: bytes, error: Exception) -> str:
    """Return why a line is not a record; `error` is the parser's exception."""
    text = line.strip()
    if found := _NO_NUMBER.search(text):
        return f"it holds {found[1].decode()}, which JSON does not have: write null"
    if _MARKUP.match(text):
        return "it is a web page, not a log"
    if _FRAGMENT.fullmatch(text):
        return (
            "is it a pretty-printed record? Each record needs its own line: `jq -c . FILE` converts the file"
        )
    start = text.find(b'{"')
    if start > 0 and text.endswith(b"}") and text[:1] not in b"{[":
        return f"{start} bytes precede the record: did a log shipper add a prefix?"
    if start < 0 and text[:1].isdigit() and b"," in text:
        return "it looks like CSV: only JSON Lines, JSON arrays and Parquet are read"
    if isinstance(error, UnicodeDecodeError) or not _is_utf8(text):
        return "it is not UTF-8: does the file have another encoding?"
    return str(error)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
