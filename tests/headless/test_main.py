"""`python -m chronoflux.headless`, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import chronoflux as cf
from chronoflux.headless.__main__ import Duration, main
from chronoflux.model.params import SPECS
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.support import until

QUICK = cf.Params(oscillators=60)


async def run(*arguments: str, timeout: float = 60) -> tuple[int, str, str]:
    """Run a module to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(timeout):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def headless(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a headless node in a process, from its first line on; kill it at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chronoflux.headless", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"oscillators" not in (line := await process.stdout.readline()):
                assert line, "it ended without a word"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


Headless = Callable[..., AbstractAsyncContextManager[asyncio.subprocess.Process]]


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
async def test_two_processes_link_and_end_in_order(
    server: SignalServer, joined: Joiner, tmp_path: Path, stop: signal.Signals
) -> None:
    """A headless process and a node here link and share an event; Ctrl-C or SIGTERM ends the process in
    order."""
    here = await joined(server=server.url, params=QUICK)
    place = ["--server", server.url, "--log-dir", str(tmp_path / "bot"), "--schedule", "none"]
    async with headless("room1", "60", "bot-1", *place, "--frequency", "1.23", "--seed", "5") as process:
        await until(lambda: here.peers["via"].tolist() == ["direct"], timeout=20)
        assert here.peers["name"].tolist() == ["bot-1"]
        key = here.intent()

        def heard() -> bool:
            (log,) = (tmp_path / "bot").glob("*/telemetry.jsonl")
            return all(word in log.read_text() for word in ("remote_intent", key, '"telemetry"'))

        await until(heard)
        process.send_signal(stop)
        async with asyncio.timeout(15):
            out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        assert "mean H" in out.decode()
        await until(lambda: len(here.peers) == 0, timeout=3)
    (manifest,) = (tmp_path / "bot").glob("*/run.json")
    facts = json.loads(manifest.read_text())
    assert (facts["status"], facts["seed"], facts["params"]["frequency"]) == ("ended", 5, 1.23)
    assert cf.load(tmp_path / "bot")["type"].iloc[-1] == "end"


@pytest.mark.slow
async def test_a_duration_offline(tmp_path: Path) -> None:
    """--offline --duration ends with a summary, and the same seed gives the same records."""
    names = ("a", "b")
    options = ("--offline", "--duration", "3s", "--seed", "3", "--log-dir", str(tmp_path), "--noise", "0.1")
    runs = (run("chronoflux.headless", "solo", "50", name, *options) for name in names)
    for code, out, err in await asyncio.gather(*runs):
        assert code == 0, err
        assert "records in" in out
    frame = cf.load(tmp_path)
    telemetry = frame[frame["type"] == "telemetry"]
    a, b = (telemetry.loc[telemetry["node"] == name, ["tick", "H", "psi", "tau"]] for name in names)
    assert len(a) == 3
    assert a.to_numpy().tolist() == b.to_numpy().tolist()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["room1", "0"], 2, "oscillators"),
        pytest.param(["", "10"], 2, "room", marks=pytest.mark.slow),
        (["room1", "10", "--kapa", "1"], 2, "kapa"),
        pytest.param(["room1", "10", "--kappa", "much"], 2, "much", marks=pytest.mark.slow),
        pytest.param(["room1", "10", "--kappa", "nan"], 2, "kappa", marks=pytest.mark.slow),
        pytest.param(["room1", "10", "--duration", "soon"], 2, "90s", marks=pytest.mark.slow),
        (["room1", "10", "--server", "http://nowhere"], 2, "http://nowhere"),
        pytest.param(["room1", "10", "--token-file", "/nowhere"], 2, "/nowhere", marks=pytest.mark.slow),
        pytest.param(["room1", "10", "--speed", "max"], 2, "--offline", marks=pytest.mark.slow),
        pytest.param(["room1", "10", "--speed", "-1"], 2, "--speed", marks=pytest.mark.slow),
        (["room1", "10", "--offline", "--log-dir", "/proc/none"], 1, "/proc/none"),
    ],
)
async def test_wrong_use_is_one_line(arguments: list[str], code: int, words: str) -> None:
    """Wrong use ends with code 2, other errors with 1, and one line on stderr that names the thing."""
    got, out, err = await run("chronoflux.headless", *arguments)
    assert got == code, (out, err)
    assert words in err.strip().splitlines()[-1]
    assert "Traceback" not in err


def test_every_parameter_is_an_option() -> None:
    """--help names every parameter of the model with its unit."""
    text = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name, spec in SPECS.items():
        if name != "oscillators":
            assert f"--{name.replace('_', '-')}" in text
            assert spec.unit in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("2h30m", 9000), ("1d", 86400), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are seconds, or have units such as 2h30m."""
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-3", "0", "h", "5m3", "1e9s "])
def test_bad_durations(text: str) -> None:
    """Anything else is refused, except a bare number after units, which means seconds."""
    if text == "5m3":
        assert Duration().convert(text, None, None) == 303
        return
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_a_night_at_full_speed(tmp_path: Path) -> None:
    """`--speed max` computes the duration that is asked for, to the tick."""
    options = ["--offline", "--speed", "max", "--duration", "3m", "--seed", "3", "--log-dir", str(tmp_path)]
    done = CliRunner().invoke(main, ["room1", "10", "n1", *options])
    assert done.exit_code == 0, done.output
    frame = cf.load(tmp_path)
    assert frame["tick"].iloc[-1] == 11_250
    assert (frame["type"] == "telemetry").sum() == 180


def test_several_nodes_in_one_process(tmp_path: Path) -> None:
    """`--nodes 3` runs three nodes, each with its own name, seed and log; all end in order."""
    options = ["--offline", "--speed", "max", "--duration", "5s", "--seed", "3", "--log-dir", str(tmp_path)]
    done = CliRunner().invoke(main, ["room1", "10", "bot", "--nodes", "3", *options])
    assert done.exit_code == 0, done.output
    facts = [json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")]
    assert sorted((fact["node"], fact["seed"]) for fact in facts) == [
        ("bot-1", 3),
        ("bot-2", 4),
        ("bot-3", 5),
    ]
    assert {(fact["status"], fact["last_tick"]) for fact in facts} == {("ended", 313)}
    assert done.output.count("mean H") == 3
    refused = CliRunner().invoke(main, ["--nodes", "2", "--offline", "--resume", str(tmp_path / "bot-1")])
    assert refused.exit_code == 2
    assert "--nodes" in refused.stderr


def test_what_is_said(tmp_path: Path) -> None:
    """--quiet prints nothing without problems; --log-json prints everything on stderr, one object per
    line."""
    options = ["--offline", "--speed", "max", "--duration", "5s", "--log-dir", str(tmp_path)]
    quiet = CliRunner().invoke(main, ["room1", "10", *options, "--quiet"])
    assert (quiet.exit_code, quiet.output) == (0, "")
    told = CliRunner().invoke(main, ["room1", "10", "n1", *options, "--log-json"])
    assert (told.exit_code, told.stdout) == (0, "")
    lines = [json.loads(line) for line in told.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("n1 in room1: 10 oscillators" in line["message"] for line in lines)


def test_a_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service reports when it is ready, that it is alive within each watchdog period, and when it stops."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        options = ["--offline", "--duration", "1s", "--schedule", "none", "--log-dir", str(tmp_path / "logs")]
        done = CliRunner().invoke(main, ["room1", "10", *options])
        assert done.exit_code == 0, done.output
        told = [manager.recv(100)]
        while told[-1] != b"STOPPING=1":
            told.append(manager.recv(100))
    assert told[0] == b"READY=1"
    assert set(told[1:-1]) == {b"WATCHDOG=1"}
    assert len(told) >= 4


HANGS = """
import time
from chronoflux.headless import __main__ as headless; from chronoflux.node import node
from chronoflux.cli import run_command

async def end(self, reason):
    print("it hangs", flush=True)
    time.sleep(600)

node.Node._end = end
run_command(headless.main)
"""


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    """When the end hangs and the event loop is blocked, a second Ctrl-C ends the process at once; the log is
    complete up to there, and the run can be resumed."""
    arguments = ["room1", "10", "n1", "--offline", "--log-dir", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watch = threading.Timer(120, process.kill)
        watch.start()
        assert process.stdout is not None
        try:
            assert any("t 0:00:0" in line for line in process.stdout), "it says how it is doing"
            process.send_signal(signal.SIGINT)
            assert any("it hangs" in line for line in process.stdout)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=10)
        finally:
            watch.cancel()
            process.kill()
    assert process.returncode == 1
    assert out.strip().endswith("interrupted again: ended at once")
    (run,) = tmp_path.iterdir()
    assert (cf.load(run, strict=True)["type"] == "telemetry").any()
    assert cf.Replay(run).recompute()
    on = ["--offline", "--resume", str(run), "--speed", "max", "--duration", "3s"]
    assert CliRunner().invoke(main, on).exit_code == 0
    assert cf.Replay(run).recompute()


def test_a_run_is_gone_on_with(tmp_path: Path) -> None:
    """`--resume RUN` continues in the same folder, as the same node; a seed is refused."""
    first = ["room1", "30", "n1", "--offline", "--duration", "1.2s", "--log-dir", str(tmp_path)]
    assert CliRunner().invoke(main, first).exit_code == 0
    (folder,) = tmp_path.iterdir()
    again = ["--offline", "--resume", str(folder), "--duration", "1.2s"]
    done = CliRunner().invoke(main, again)
    assert done.exit_code == 0, done.output
    assert "n1 in room1: 30 oscillators" in done.output
    assert list(tmp_path.iterdir()) == [folder]
    assert cf.Replay(folder).recompute()
    refused = CliRunner().invoke(main, [*again, "--seed", "3"])
    assert refused.exit_code == 2
    assert "leave out seed" in refused.stderr


async def test_a_run_in_which_nothing_moves_says_so_once(tmp_path: Path) -> None:
    """After five minutes of constant metrics a warning names a remedy, once, in the terminal and in the
    log."""
    alone = ["--offline", "--speed", "max", "--duration", "8m", "--seed", "3", "--schedule", "none"]
    code, _, err = await run("chronoflux.headless", "r", "40", "n", *alone, "--log-dir", str(tmp_path))
    assert code == 0, err
    assert err.count("nothing has moved since") == 1
    assert "--preset storm --schedule night" in err
    frame = cf.load(tmp_path)
    notes = frame[frame["type"] == "note"]
    assert len(notes) == 1
    assert 300 <= notes["t"].iloc[0] <= 400
    assert "nothing has moved since" in notes["data"].iloc[0]["text"]
