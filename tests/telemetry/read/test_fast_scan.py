"""The quick way through a log against the parser, which has the last word."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chronoflux.telemetry import load, load_peerings
from chronoflux.telemetry.read import prefetch
from chronoflux.telemetry.read.fast_scan import FLOATS, WHOLE, scan

START = 1_800_000_000_000


def record(seq: int, rng: random.Random) -> dict[str, Any]:
    """A telemetry record as a node writes it, with some of its fields missing now and then."""
    metrics = {name: round(rng.uniform(-9, 9), 6) for name in FLOATS[2:]} | {
        "tau": round(rng.random() / 1e4, 6)
    }
    metrics |= {"nodes": 220, "intents": rng.randrange(9), "portal": rng.random() < 0.5, "peers": 1}
    if rng.random() < 0.2:
        metrics["omega"] = None
    pair = {"id": "peer", "R": rng.random(), "dpsi": -rng.random(), "rtt_ms": None, "via": "direct"}
    peerings = [{"peerings": [pair]}, {"peerings": [pair, pair]}, {"peerings": []}, {}]
    return {
        "timestamp": START + 1000 * seq,
        "t": round(0.016 * seq, 9),
        "type": "telemetry",
        "metrics": metrics,
        "tick": seq,
        "at": START + 1000 * rng.random() * seq,
        **rng.choice(peerings),
        "seq": seq,
        "mono": 10**12 + rng.randrange(10**12),
    }


def text_of(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def both(content: bytes, read: Any = load) -> tuple[Any, Any]:
    """What is read of a file with the kernel and without it; a frame, or the error."""
    found = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "run.json").write_text('{"room": "room1", "node": "n1"}')
        (Path(folder) / "telemetry.jsonl").write_bytes(content)
        for least in (0, 1 << 60):
            patch.setattr(prefetch, "LARGE", least)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                try:
                    found.append(read(folder))
                except Exception as error:  # noqa: BLE001 - compared with the other's
                    found.append(repr(error))
    return found[0], found[1]


def assert_equal(content: bytes) -> None:
    quick, slow = both(content)
    if isinstance(slow, str):
        assert quick == slow
        return
    for report in (quick.attrs["report"], slow.attrs["report"]):
        report[
            "examples"
        ].sort()  # large files are read ahead: their end may be told of before what precedes it
    assert quick.attrs == slow.attrs
    pd.testing.assert_frame_equal(quick, slow, check_exact=True)


VALUES = st.sampled_from(
    b"1|0|-0|-0.0|01|1.|.5|1.5|1e3|1E-07|2.5e-310|1e999|null|nul|true|false|tru|NaN|-|--1|+1| 1|1 |{}|[]|"
    b"9007199254740993|123456789012345678901|9223372036854775808|1800000000000.7751|0.1234567890123456789|"
    b'"x"|"\xff"'.split(b"|")
)
NAMES = st.sampled_from(
    b"timestamp t type metrics seq tick mono at peerings "
    b"H psi portal nodes H_local my data room timestomp".split()
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=2)), max_size=4),
    st.booleans(),
)
@example(1, [(b"H", b"1e999"), (b"type", b'"x"')], [], True)
def test_the_kernel_reads_what_the_parser_reads(
    seed: int, swaps: list[tuple[bytes, bytes]], damage: list[tuple[int, bytes]], newline: bool
) -> None:
    """Whatever stands in a log, mixed, odd, damaged or torn: with the kernel the same frame and report."""
    rng = random.Random(seed)
    lines = [text_of(record(seq, rng)) for seq in range(12)]
    lines[3] = text_of(record(3, rng) | {"type": "intent", "data": {"x": 1}})
    lines[5:5] = [b"", b"   "]
    for name, value in swaps:
        line = rng.randrange(len(lines))
        before, found, after = lines[line].partition(b'"' + name + b'":')
        rest = after[min((after + b",}").find(b","), (after + b"}").find(b"}")) :]
        lines[line] = (
            before + found + value + rest if found else b'{"' + name + b'":' + value + b"," + lines[line][1:]
        )
    content = b"\n".join(lines) + b"\n" * newline
    for place, junk in damage:
        cut = place % len(content)
        content = content[:cut] + junk + content[cut + 1 :]
    assert_equal(content)


def test_every_byte_of_a_name_counts() -> None:
    """A field whose name is off by one byte, wherever, is not taken for the one it resembles."""
    line = text_of(record(1, random.Random(1)))
    inside = range(line.index(b"["), line.index(b"]"))  # names there are checked by who reads the pairs
    names = [found.span(1) for found in re.finditer(rb'"(\w+)":', line) if found.start() not in inside]
    places = [place for span in names for place in range(*span)]
    assert len(places) > 60
    changed = [line[:place] + b"~" + line[place + 1 :] + b"\n" for place in places]
    assert not scan(b"".join(changed)).regular.any()
    assert_equal(b"".join(changed))


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**18), st.integers(0, 18))
def test_floats_are_the_nearest(value: float, mantissa: int, places: int) -> None:
    """A float that is taken is the one nearest to its digits, as Python reads them."""
    digits = str(mantissa).rjust(places + 1, "0")
    point = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}" if places else digits
    for text in (repr(value), point, f"-{point}", f"{value:.6f}", f"{START + abs(value) % 1e6!r}"):
        found = scan(b'{"timestamp":1,"type":"telemetry","t":' + text.encode() + b"}\n")
        if found.regular[0]:
            assert np.float64(found.floats[0, 0]).tobytes() == np.float64(float(text)).tobytes()


def test_usual_lines_are_regular() -> None:
    """What a node writes every second is taken by the kernel, with or without peers."""
    rng = random.Random(1)
    records = [record(seq, rng) for seq in range(1000)]
    found = scan(b"".join(text_of(one) + b"\n" for one in records))
    assert found.regular.mean() > 0.99  # some numbers have more digits than it takes
    rows = np.flatnonzero(found.regular)
    for name in ("seq", "mono"):
        assert found.whole[WHOLE.index(name), rows].tolist() == [records[row][name] for row in rows]
    assert found.floats[1, rows].tolist() == [records[row]["at"] for row in rows]


def test_peerings_through_the_kernel() -> None:
    """Pairwise rows are the same with the kernel."""
    rng = random.Random(2)
    content = b"".join(text_of(record(seq, rng)) + b"\n" for seq in range(50))
    quick, slow = both(content, load_peerings)
    assert len(slow)
    pd.testing.assert_frame_equal(quick, slow, check_exact=True)


@pytest.mark.parametrize("cut", [1, 100, 200])
def test_large_files_in_several_blocks(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks join without a seam, and a last line cut anywhere costs one record."""
    monkeypatch.setattr("chronoflux.telemetry.read.lines.CHUNK", 1000)
    rng = random.Random(3)
    content = b"".join(text_of(record(seq, rng)) + b"\n" for seq in range(60))[:-cut]
    assert_equal(content)


_WHETHER_SCANNED = """
import sys
from chronoflux.telemetry.read import prefetch as filling; from chronoflux.telemetry import load
filling.LARGE = int(sys.argv[2])
load(sys.argv[1])
print("chronoflux.telemetry.read.fast_scan" in sys.modules)
"""


@pytest.mark.parametrize(
    ("files", "part", "scanned"), [(10, 0.9, "True"), (1, 0.9, "False"), (10, 1.5, "False")]
)
def test_many_large_files_are_worth_the_kernel(tmp_path: Path, files: int, part: float, scanned: str) -> None:
    """It is loaded for large files that are worth it together; not for a single one, nor for small ones."""
    rng = random.Random(3)
    for number in range(files):
        folder = tmp_path / f"n{number}"
        folder.mkdir()
        (folder / "run.json").write_text('{"room": "room1", "node": "n"}')
        content = b"".join(text_of(record(seq, rng)) + b"\n" for seq in range(50))
        (folder / "telemetry.jsonl").write_bytes(content)
    least = min(file.stat().st_size for file in tmp_path.glob("*/telemetry.jsonl"))
    command = [sys.executable, "-c", _WHETHER_SCANNED, str(tmp_path), str(int(part * least))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == scanned
