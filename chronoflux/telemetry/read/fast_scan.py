"""Fast scan of a log: a numba kernel parses regular telemetry lines directly into columns.

A line is *regular* when it is a telemetry record as ChronoFlux writes it: no spaces, each field at most once,
only standard fields, and numbers for which a few exact operations give the nearest float. All other lines,
valid or not, are left to the parser of :mod:`~chronoflux.telemetry.format.records`, which is authoritative.
The kernel may therefore only accept lines that the parser accepts, with the same values; tests verify that.

Floats are exact by W. D. Clinger, *How to read floating point numbers accurately*, PLDI 1990: a mantissa
below 2⁵³ times or divided by a power of ten up to 10²² is rounded once. Longer mantissas (mesh times have 17
digits) are divided as integers, and the remainder determines the last bit.
"""

# mypy: disable-error-code="no-untyped-def, no-any-return, assignment"

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from chronoflux.model.engine import cache_on_disk
from chronoflux.telemetry.format.records import FLOATS, WHOLE

LOGIC = "portal"
_NAMES = (*WHOLE, LOGIC, *FLOATS, "type", "metrics", "peerings")
_PORTAL, _FIRST_FLOAT = len(WHOLE), len(WHOLE) + 1
_TYPE, _METRICS, _PEERINGS = len(_NAMES) - 3, len(_NAMES) - 2, len(_NAMES) - 1
_TOP = np.array(
    [n in ("timestamp", "seq", "tick", "mono", "t", "at", "type", "metrics", "peerings") for n in _NAMES]
)
_LATEST = 253_402_300_799_999  # later times are left to the parser
_LONGEST = 18  # digits of a mantissa; 10¹⁸ is within int64
_TENS = 10.0 ** np.arange(23)
_WHOLE_TENS = 10 ** np.arange(19, dtype=np.int64)


def _packed(name: str) -> int:
    """Pack a name's first seven bytes and its length into one integer."""
    text = name.encode()
    return int.from_bytes(text[:7].ljust(7, b"\0") + bytes([len(text)]), "little", signed=True)


_KEYS = np.array([_packed(name) for name in _NAMES], dtype=np.int64)
_TAILS = np.array([int.from_bytes(name.encode()[7:], "little") for name in _NAMES], dtype=np.int64)
"""Bytes of each name after its first seven."""
_TELEMETRY = np.frombuffer(b'"telemetry"', np.uint8)


class Scanned(NamedTuple):
    """The n lines of a block: ``starts`` (n + 1,), their offsets; ``regular`` (n,), whether they were parsed.

    For regular lines: ``whole`` int64 (7, n), ``portal`` (n,), ``floats`` float64 (8, n; NaN where missing),
    in the order of `WHOLE` and `FLOATS`; ``have`` (n,), bit i set where column i of these has a value; and
    ``peerings`` int64 (2, n), start and end of that field's value (0 where missing).
    """

    starts: NDArray[np.int64]
    regular: NDArray[np.bool_]
    whole: NDArray[np.int64]
    portal: NDArray[np.bool_]
    floats: NDArray[np.float64]
    have: NDArray[np.int64]
    peerings: NDArray[np.int64]

    def missing(self, name: str) -> NDArray[np.bool_]:
        """Return where an integer or boolean column has no value.

        Parameters
        ----------
        name
            Name of the column.

        Returns
        -------
        numpy.ndarray
            bool (n,), for all lines.
        """
        return (self.have >> _NAMES.index(name)) & 1 == 0


def scan(block: bytes) -> Scanned:
    """Scan whole lines, each of which ends with a newline."""
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == 10)
    n = len(ends)
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    found = Scanned(
        starts,
        np.zeros(n, np.bool_),
        np.zeros((len(WHOLE), n), np.int64),
        np.zeros(n, np.bool_),
        np.full((len(FLOATS), n), np.nan),
        np.zeros(n, np.int64),
        np.zeros((2, n), np.int64),
    )
    _lines(data, *found)
    return found


@cache_on_disk
@njit(nogil=True)
def _lines(data, starts, regular, whole, portal, floats, have, peerings):
    follows = np.arange(1, len(_KEYS) + 1) % len(_KEYS)  # the field that followed each field last time
    for row in range(len(regular)):
        got = _line(data, starts[row], row, whole, portal, floats, peerings, follows)
        regular[row] = got >= 0
        have[row] = max(got, 0)


@njit(nogil=True, inline="always")
def _line(data, p, row, whole, portal, floats, peerings, follows):
    """Parse the line at `p`. Return a bit mask of columns that have a value, or −1 when it is not regular.

    A line ends with a newline, which no value may contain, so nothing beyond it is read.
    """
    if data[p] != ord("{"):
        return -1
    named = got = 0
    inner = False  # inside the metrics object
    last = _PEERINGS
    p += 1
    while True:
        field, p = _key(data, p, follows[last])
        if field < 0 or (named >> field) & 1 or _TOP[field] == inner:
            return -1
        named |= 1 << field
        follows[last] = field
        last = field
        if field == _METRICS and data[p] == ord("{"):
            inner = True
            p += 1
            if data[p] == ord("}"):  # an empty metrics object: rare
                return -1
            continue
        if field == _TYPE:
            for i in range(len(_TELEMETRY)):
                if data[p + i] != _TELEMETRY[i]:
                    return -1
            p += len(_TELEMETRY)
        elif data[p] == ord("n"):
            p = _word(data, p)
        elif field == _PEERINGS:
            start, p = p, _pairs(data, p)
            peerings[0, row], peerings[1, row] = start, p
        elif field == _PORTAL:
            portal[row] = data[p] == ord("t")
            p = _word(data, p)
            got |= 1 << field
        elif field < _PORTAL:
            p, whole[field, row] = _whole(data, p)
            got |= 1 << field
        elif field != _METRICS:
            p, floats[field - _FIRST_FLOAT, row] = _float(data, p)
            got |= 1 << field
        else:
            return -1
        if p < 0:
            return -1
        while inner and data[p] == ord("}"):
            inner = False
            p += 1
        if data[p] == ord(","):
            p += 1
        elif data[p] == ord("}") and data[p + 1] == ord("\n"):
            break
        else:
            return -1
    sound = (named >> _TYPE) & 1 and got & 1 and 0 <= whole[0, row] <= _LATEST
    return got if sound and not inner else -1


@njit(nogil=True, inline="always")
def _key(data, p, guess):
    """Return the field whose name and colon are at `p` and the start of its value; −1 for any other."""
    if data[p] != ord('"'):
        return -1, p
    p += 1
    length, key, tail = 0, np.int64(0), np.int64(0)
    while data[p] != ord('"'):
        if data[p] < 32 or length == 9:
            return -1, p
        if length < 7:
            key |= np.int64(data[p]) << (8 * length)
        else:
            tail |= np.int64(data[p]) << (8 * (length - 7))
        length += 1
        p += 1
    if data[p + 1] != ord(":"):
        return -1, p
    key |= np.int64(length) << 56
    if key == _KEYS[guess] and tail == _TAILS[guess]:
        return guess, p + 2
    for field in range(len(_KEYS)):
        if key == _KEYS[field] and tail == _TAILS[field]:
            return field, p + 2
    return -1, p


@njit(nogil=True)
def _word(data, p):
    """Return the position after ``null``, ``true`` or ``false`` at `p`, or −1."""
    if data[p] == ord("n"):
        sound = data[p + 1] == ord("u") and data[p + 2] == ord("l") and data[p + 3] == ord("l")
        return p + 4 if sound else -1
    if data[p] == ord("t"):
        sound = data[p + 1] == ord("r") and data[p + 2] == ord("u") and data[p + 3] == ord("e")
        return p + 4 if sound else -1
    if data[p] == ord("f"):
        sound = data[p + 1] == ord("a") and data[p + 2] == ord("l") and data[p + 3] == ord("s")
        return p + 5 if sound and data[p + 4] == ord("e") else -1
    return -1


@njit(nogil=True, inline="always")
def _number(data, p):
    """Parse a JSON number at `p`: end (−1: not regular), mantissa, power of ten, sign, whether an integer."""
    minus = data[p] == ord("-")
    if minus:
        p += 1
    mantissa, digits, power = np.int64(0), 0, 0
    first = p
    while ord("0") <= data[p] <= ord("9"):
        mantissa = mantissa * 10 + np.int64(data[p] - ord("0"))
        digits += 1
        p += 1
        if digits > _LONGEST:
            return -1, mantissa, 0, minus, False
    if digits == 0 or (digits > 1 and data[first] == ord("0")):
        return -1, mantissa, 0, minus, False
    is_whole = True
    if data[p] == ord("."):
        is_whole = False
        p += 1
        while ord("0") <= data[p] <= ord("9"):
            mantissa = mantissa * 10 + np.int64(data[p] - ord("0"))
            digits += 1
            power -= 1
            p += 1
            if digits > _LONGEST:
                return -1, mantissa, 0, minus, False
        if power == 0:
            return -1, mantissa, 0, minus, False
    if data[p] == ord("e") or data[p] == ord("E"):
        is_whole = False
        p += 1
        down = data[p] == ord("-")
        if down or data[p] == ord("+"):
            p += 1
        exponent, length = 0, 0
        while ord("0") <= data[p] <= ord("9"):
            exponent = exponent * 10 + np.int64(data[p] - ord("0"))
            length += 1
            p += 1
            if length > 3:
                return -1, mantissa, 0, minus, False
        if length == 0:
            return -1, mantissa, 0, minus, False
        power += -exponent if down else exponent
    return p, mantissa, power, minus, is_whole


@njit(nogil=True, inline="always")
def _whole(data, p):
    end, mantissa, _, minus, is_whole = _number(data, p)
    if not is_whole:
        return -1, np.int64(0)
    return end, -mantissa if minus else mantissa


@njit(nogil=True, inline="always")
def _float(data, p):
    end, m, power, minus, is_whole = _number(data, p)
    if end < 0 or (is_whole and minus and m == 0):
        return -1, 0.0
    if power == 0:
        value = float(m)
    elif m <= 1 << 53 and 0 < power <= 22:
        value = m * _TENS[power]
    elif m <= 1 << 53 and -22 <= power < 0:
        value = m / _TENS[-power]
    elif -_LONGEST <= power < 0:
        value = _divided(m, _WHOLE_TENS[-power])
        if value < 0:
            return -1, 0.0
    else:
        return -1, 0.0
    return end, -value if minus else value


@njit(nogil=True)
def _divided(m, d):
    """Return the float nearest to m / d, ties to even; −1 when that exceeds 64-bit integers."""
    units, rest = m // d, m % d
    _, bits = math.frexp(float(units))  # exact when below 2⁵³; larger values are refused below
    shift = 53 - bits
    if units == 0 or shift < 0 or float(rest) * 2.0**shift >= 2.0**62:
        return -1.0
    rest <<= shift
    significand, left = (units << shift) + rest // d, rest % d
    if 2 * left > d or (2 * left == d and significand & 1):
        significand += 1
    return math.ldexp(float(significand), -shift)


@njit(nogil=True)
def _pairs(data, p):
    """Return the position after an array of flat objects at `p`, or −1. Strings must be plain ASCII."""
    if data[p] != ord("["):
        return -1
    p += 1
    if data[p] == ord("]"):
        return p + 1
    while True:
        if data[p] != ord("{"):
            return -1
        while True:  # one member of the object per pass
            p = _string(data, p + 1)
            if p < 0 or data[p] != ord(":"):
                return -1
            p += 1
            if data[p] == ord('"'):
                p = _string(data, p)
            elif data[p] == ord("-") or ord("0") <= data[p] <= ord("9"):
                p = _some_number(data, p)
            else:
                p = _word(data, p)
            if p < 0:
                return -1
            if data[p] != ord(","):
                break
        if data[p] != ord("}"):
            return -1
        p += 1
        if data[p] == ord("]"):
            return p + 1
        if data[p] != ord(","):
            return -1
        p += 1


@njit(nogil=True)
def _string(data, p):
    if data[p] != ord('"'):
        return -1
    p += 1
    while data[p] != ord('"'):
        if data[p] < 32 or data[p] > 126 or data[p] == ord("\\"):
            return -1
        p += 1
    return p + 1


@njit(nogil=True)
def _some_number(data, p):
    """Return the position after a JSON number at `p`, with any number of decimals; −1 for any other."""
    if data[p] == ord("-"):
        p += 1
    first = p
    while ord("0") <= data[p] <= ord("9"):
        p += 1
    if p == first or (p > first + 1 and data[first] == ord("0")) or p > first + _LONGEST:
        return -1
    if data[p] == ord("."):
        p += 1
        first = p
        while ord("0") <= data[p] <= ord("9"):
            p += 1
        if p == first:
            return -1
    if data[p] == ord("e") or data[p] == ord("E"):
        p += 1
        if data[p] == ord("-") or data[p] == ord("+"):
            p += 1
        first = p
        while ord("0") <= data[p] <= ord("9"):
            p += 1
        if p == first or p > first + 2:
            return -1
    return p
