"""Logs as they lie about: copied, packed, thrown away, half restored, and beside what is no log."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chronoflux.errors import LogError
from chronoflux.telemetry import load, load_peerings
from chronoflux.telemetry.format.layout import LOG
from chronoflux.telemetry.format.records import to_json
from chronoflux.telemetry.format.segment_encode import TELEMETRY
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.write.rotation import publish, trim_log

START = 1_800_000_000_000


def record(seq: int, **more: Any) -> dict[str, Any]:
    """A line as a node writes it, with one peer."""
    peer = {"id": "p", "R": 0.5, "dpsi": 0.1}
    found = {"timestamp": START + 1000 * seq, "t": float(seq), "type": "telemetry", "tick": 60 * seq}
    found |= {"metrics": {"H": seq / 8}, "peerings": [peer], "seq": seq, "mono": 10**9 * seq}
    return found | more


def jsonl(*records: dict[str, Any]) -> bytes:
    return b"".join(to_json(one) + b"\n" for one in records)


def make_run(folder: Path, seqs: range = range(8), node: str = "n1") -> Path:
    folder.mkdir(parents=True)
    start = "2027-01-15T08:00:00.000+00:00"
    facts = {"schema": 1, "run": f"room1-{node}-x", "room": "room1", "node": node, "start": start}
    (folder / "run.json").write_text(json.dumps(facts | {"status": "interrupted"}))
    (folder / LOG).write_bytes(jsonl(*map(record, seqs)))
    return folder


def quietly(source: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load(source)


def faults(frame: pd.DataFrame) -> dict[str, Any]:
    plain = {"runs", "files", "records", "examples", "copies", "superseded", "missing"}
    return {name: value for name, value in frame.attrs["report"].items() if value and name not in plain}


SYSTEM = (
    ".Trash-1000/files",
    ".snapshot/daily",
    ".ipynb_checkpoints",
    "@eaDir",
    "lost+found",
    "$RECYCLE.BIN",
)


@pytest.mark.parametrize("name", SYSTEM)
def test_hidden_and_system_folders_are_left_out(name: str, tmp_path: Path) -> None:
    """What a trash, snapshots or thumbnails hold is not read, unless it is named itself."""
    make_run(tmp_path / "run")
    make_run(tmp_path / name / "other", node="n2")
    assert set(load(tmp_path).node) == {"n1"}
    assert set(load(str(tmp_path / "**" / LOG)).node) == {"n1"}
    assert set(load(str(tmp_path / "*")).node) == {"n1"}
    assert set(load(tmp_path / name / "other").node) == {"n2"}


def copied(run: Path) -> Path:
    return Path(shutil.copytree(run, run.with_name("run (copy)")))


def without_manifest(run: Path) -> Path:
    copy = copied(run)
    (copy / "run.json").unlink()
    return copy


def line_file(run: Path) -> Path:
    return Path(shutil.copy(run / LOG, run.with_name("backup.jsonl")))


def packed_file(run: Path) -> Path:
    path = run.with_name("backup.jsonl.gz")
    path.write_bytes(gzip.compress((run / LOG).read_bytes()))
    return path


def packed_beside(run: Path) -> Path:
    path = run / (LOG + ".gz")
    path.write_bytes(gzip.compress((run / LOG).read_bytes()))
    return path


def closed(run: Path) -> Path:
    copy = copied(run)
    publish(copy, TELEMETRY)
    trim_log(copy, LOG)
    return copy


def half(run: Path) -> Path:
    copy = copied(run)
    (copy / LOG).write_bytes(jsonl(*map(record, range(5))) + b'{"timest')
    return copy


def rsynced(run: Path) -> Path:
    copy = half(run)
    (copy / f".{LOG}.AbC123").write_bytes((run / LOG).read_bytes())
    return copy


COPIES = (copied, without_manifest, line_file, packed_file, packed_beside, closed, half, rsynced)


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.__name__)
def test_a_copy_is_read_once_and_named(copy: Any, tmp_path: Path) -> None:
    """A run that lies there twice, also packed, closed or in part, has its records once."""
    run = make_run(tmp_path / "run")
    make_run(tmp_path / "another", node="n2")
    path = copy(run)
    frame = load(tmp_path)
    assert len(frame) == 16
    assert frame[frame.node == "n1"].seq.tolist() == list(range(8))
    assert set(frame.node) == {"n1", "n2"}
    assert frame.attrs["report"]["runs"] == 2
    (told,) = frame.attrs["report"]["copies"]
    assert str(path) in told or str(run) in told
    assert len(load_peerings(tmp_path)) == 16
    assert len(load([run, path, str(tmp_path / "*"), run / LOG])) == 16
    load(tmp_path, strict=True)


def test_what_the_fullest_copy_lacks_comes_from_the_others(tmp_path: Path) -> None:
    """Of copies that each lost something all records are read, in their order."""
    run = make_run(tmp_path / "run", range(2, 8))
    other = make_run(tmp_path / "backup" / "run", range(0, 5))
    frame = load(tmp_path)
    assert frame.seq.tolist() == list(range(8))
    assert (frame.seq / 8 == frame.H).all()
    (told,) = frame.attrs["report"]["copies"]
    assert told == f"{other}: is a copy of {run}; 2 of its records were missing there"
    assert len(load_peerings(tmp_path)) == 8


def test_two_records_of_one_seq_are_a_conflict(tmp_path: Path) -> None:
    """Copies that went on apart are named with both places; reading strictly is refused."""
    run = make_run(tmp_path / "run")
    fork = make_run(tmp_path / "fork", range(7))
    changed = [record(seq, tick=999, metrics={"H": 0.125}) if seq > 4 else record(seq) for seq in range(7)]
    (fork / LOG).write_bytes(jsonl(*changed))
    with pytest.warns(
        UserWarning, match="2 seqs whose records differ between copies.*seq 5 is a different record in .*fork"
    ):
        frame = load(tmp_path)
    assert faults(frame) == {"conflicts": 2}
    assert frame.tick.tolist() == [60 * seq for seq in range(8)]
    with pytest.raises(LogError, match=r"telemetry.jsonl:6: seq 5 is a different record in .*:6"):
        load(tmp_path, strict=True)
    assert run.exists()


def test_runs_that_began_alike_are_no_copies(tmp_path: Path) -> None:
    """Nodes of one room, and two runs of one node, are different runs."""
    for node in ("n1", "n2"):
        make_run(tmp_path / node, node=node)
    later = make_run(tmp_path / "later")
    facts = json.loads((later / "run.json").read_text()) | {"start": "2027-01-16T08:00:00.000+00:00"}
    (later / "run.json").write_text(json.dumps(facts))
    frame = load(tmp_path)
    assert len(frame) == 24
    assert not frame.attrs["report"]["copies"]


def test_an_old_export_packed_beside_itself_is_read_once(tmp_path: Path) -> None:
    """`gzip -k` of an export without numbers: its records are known by what they say."""
    records = [
        {"timestamp": START + i, "t": float(i), "type": "telemetry", "metrics": {"H": i / 8}}
        for i in range(4)
    ]
    text = json.dumps(records).encode()
    (tmp_path / "x.json").write_bytes(text)
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(text))
    (tmp_path / "y.json").write_text(json.dumps([one | {"t": 9.0} for one in records]))
    frame = load(tmp_path)
    assert len(frame) == 8
    assert len(frame.attrs["report"]["copies"]) == 1


def test_links_to_runs(tmp_path: Path) -> None:
    """A link to a run, and one that leads back up, add nothing."""
    make_run(tmp_path / "logs" / "run")
    (tmp_path / "logs" / "latest").symlink_to("run")
    (tmp_path / "logs" / "up").symlink_to("..")
    frame = load(tmp_path / "logs")
    assert len(frame) == 8
    assert len(distinct_runs(tmp_path / "logs")) == 1


def test_what_cannot_be_read_does_not_stop_the_rest(tmp_path: Path) -> None:
    """Dangling links, a FIFO, a device, a folder in place of a file: counted, named, refused if strict."""
    make_run(tmp_path / "run")
    (tmp_path / "gone.jsonl").symlink_to("nowhere.jsonl")
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    fifo = make_run(tmp_path / "fifo", node="n2")
    (fifo / LOG).unlink()
    os.mkfifo(fifo / LOG)
    with pytest.warns(UserWarning, match="4 unreadable entries"):
        frame = load(tmp_path)
    assert len(frame) == 8
    told = " ".join(frame.attrs["report"]["examples"])
    for words in ("gone.jsonl: cannot be read (No such file", "it is a FIFO, not", "it is a device, not"):
        assert words in told
    with pytest.raises(LogError, match="cannot be read"):
        load(tmp_path, strict=True)
    for name in ("fifo.jsonl", "zero.jsonl"):
        with pytest.raises(LogError, match=f"{name}: cannot be read .it is a .*, not a regular file"):
            load(tmp_path / name)


def test_every_file_of_a_run_may_be_a_fifo(tmp_path: Path) -> None:
    """Whatever of a run's files is a FIFO, nothing waits for it."""
    from chronoflux.telemetry.maintain.inspect import check_run

    for name in ("run.json", LOG, "inputs.jsonl", "checkpoint.npz", "telemetry-0001.parquet"):
        run = make_run(tmp_path / name / "run")
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        assert any("it is a FIFO" in fault for fault in check_run(distinct_runs(run)[0])), name
        assert name == LOG or len(quietly(run)) == 8


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_does_not_stop_the_rest(tmp_path: Path) -> None:
    """A folder that may not be entered is counted, and the rest is read."""
    make_run(tmp_path / "run")
    closed = make_run(tmp_path / "closed", node="n2")
    closed.chmod(0)
    try:
        with pytest.warns(UserWarning, match="1 unreadable entry.*Permission denied"):
            assert len(load(tmp_path)) == 8
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_bomb_is_not_unpacked(ending: str, tmp_path: Path) -> None:
    """A small file that unpacks to very much is read no further than its ratio allows, and that is said."""
    import pyarrow as pa

    content = jsonl(record(0)) + bytes(100 << 20)
    path = tmp_path / f"bomb.jsonl{ending}"
    if ending == ".gz":
        path.write_bytes(gzip.compress(content))
    else:
        path.write_bytes(pa.compress(content, "zstd", asbytes=True))
    with pytest.warns(UserWarning, match="it unpacks to more than 250 times its size"):
        frame = load(path)
    assert len(frame) == 1


def test_a_line_without_end_is_not_kept(tmp_path: Path) -> None:
    """A sparse file, as a crash leaves one, and a line of many MiB cost no memory to speak of."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(record(0)))
    with open(path, "r+b") as file:
        file.truncate(80 << 20)
        file.seek(0, 2)
        file.write(b"\n" + jsonl(record(1)))
    with pytest.warns(UserWarning, match="1 bad line.*a line of more than 32 MiB"):
        frame = load(path)
    assert frame.seq.tolist() == [0, 1]


def test_a_record_behind_nuls_is_read(tmp_path: Path) -> None:
    """After a power loss a line may begin with NULs: what stands behind them is a record."""
    path = tmp_path / "x.jsonl"
    lines = [to_json(record(seq)) for seq in range(4)]
    path.write_bytes(lines[0] + b"\n" + bytes(500) + lines[1] + b"\n" + lines[2][:30] + bytes(9) + lines[3])
    frame = quietly(path)
    assert frame.seq.tolist() == [0, 1, 3]
    assert frame.attrs["report"]["torn"] == 3  # twice NULs, and the record that was cut
    assert "x.jsonl:2: 500 NUL bytes" in frame.attrs["report"]["examples"][0]


@pytest.mark.parametrize("cut", [0.3, 0.7])
def test_a_torn_gzip_member_gives_what_it_has(cut: float, tmp_path: Path) -> None:
    """Of a member that is cut, or damaged, what comes before is read, and so is the member after it."""
    first, second = (gzip.compress(jsonl(*map(record, seqs))) for seqs in (range(40), range(40, 60)))
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(first[: int(len(first) * cut)] + second)
    seqs = quietly(path).seq.dropna().tolist()
    assert seqs[-20:] == list(range(40, 60))
    assert len(seqs) > 20 + 10 * cut
    damaged = bytearray(first)
    damaged[int(len(first) * cut)] ^= 0x40
    path.write_bytes(damaged)
    assert len(quietly(path)) > 10 * cut


UNITS = {"seconds": 1e-3, "microseconds": 1e3, "nanoseconds": 1e6}


@pytest.mark.parametrize("unit", UNITS)
def test_times_in_other_units(unit: str, tmp_path: Path) -> None:
    """Beside mesh time the unit is plain, and the time is right; without it the record is refused."""
    path = tmp_path / "x.jsonl"
    stamp = round(START * UNITS[unit])
    path.write_bytes(
        jsonl(record(0), record(1, timestamp=stamp, at=float(START)), record(2, timestamp=stamp))
    )
    with pytest.warns(UserWarning, match="dated before"):
        frame = load(path)
    assert frame.seq.tolist() == [0, 1]
    assert frame.time[1] == pd.Timestamp(START, unit="ms", tz="UTC")
    told = " ".join(frame.attrs["report"]["examples"])
    assert f"x.jsonl:2: timestamp in {unit}, as `at` shows" in told
    assert f"x.jsonl:3: not a valid record (timestamp {stamp}: it seems to be in {unit}" in told
    with pytest.raises(LogError, match=r"x\.jsonl:"):
        load(path, strict=True)


def test_a_clock_that_was_never_set_is_told(tmp_path: Path) -> None:
    """A machine that thinks it is 1970 has true records: they are read, and not in silence."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(record(0, timestamp=5000), record(1, timestamp=6000)))
    with pytest.warns(UserWarning, match="2 records dated before 2000 .*was the clock wrong"):
        assert load(path).time.dt.year.tolist() == [1970, 1970]


CAUSES = {
    "NaN": (
        b'{"timestamp": 1800000000000, "type": "x", "t": NaN}\n',
        "it holds NaN, which JSON does not have",
    ),
    "UTF-16": (jsonl(record(0)).decode().encode("utf-16"), "the file is UTF-16, not UTF-8"),
    "UTF-16 without a mark": (jsonl(record(0)).decode().encode("utf-16-be"), "the file is UTF-16"),
    "Latin-1": ('{"timestamp": 1800000000000, "type": "é"}\n'.encode("latin-1"), "it is not UTF-8"),
    "pretty": (json.dumps(record(0), indent=2).encode() + b"\n", "is it a pretty-printed record?"),
    "prefix": (b"2027-01-15 web1 chronoflux: " + jsonl(record(0)), "28 bytes precede the record"),
    "CSV": (b"1800000000000,telemetry,0.5\n", "it looks like CSV"),
    "HTML": (b"<!DOCTYPE html>\n", "it is a web page"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_said_in_words(name: str, tmp_path: Path) -> None:
    """A file that is no log is refused with its cause and with its name as it is."""
    content, words = CAUSES[name]
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    for source in (path, [path]):
        with pytest.raises(LogError) as caught:
            load(source)
        assert words in str(caught.value)
        assert "PosixPath" not in str(caught.value)
        assert str(caught.value).startswith(str(path))
