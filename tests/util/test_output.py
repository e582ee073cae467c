"""What commands print where the encoding lacks some of it: no traceback, and still readable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chronoflux.__main__ import COMMANDS
from chronoflux.util.output import spelled
from tests.processes import ROOT
from tests.runs import make_run

ENCODINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},  # a pipe on Windows
    "cp437": {"PYTHONIOENCODING": "cp437"},  # the same with the code page of its console
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
}
NAME = "κύμα → ψ²"
PRINTED = {
    "cp1252": "kappaupsilonmualpha -> psi²".encode("cp1252"),
    "cp437": "kappaupsilonmuα -> psi²".encode("cp437"),
    "ascii": NAME.encode(),  # click takes ASCII for a mistake, and writes UTF-8
    "C": NAME.encode(),
}
RUN_ALL = """
import json, runpy, sys, traceback
for module, *arguments in json.loads(sys.argv[1]):
    sys.argv = [module, *arguments]
    print("#", module, *arguments, flush=True)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print("# ended with", end.code, flush=True)
"""
SUB = {"chronoflux.mesh": ["check"], "chronoflux.logs": ["ls", "show", "check", "repair", "export", "tail"]}


def environment(encoding: str) -> dict[str, str]:
    """A process's environment in which output has not all characters."""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return without | {"PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)} | ENCODINGS[encoding]


def run(encoding: str, *commands: list[str]) -> bytes:
    """Run commands one after another in one process, and give what they said; none may fail."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
        env=environment(encoding),
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done
    assert b"Traceback" not in done.stderr, done
    assert b"unexpected" not in done.stderr, done
    assert done.stdout.count(b"# ended with 0") == len(commands), done
    return done.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_of_every_command(encoding: str) -> None:
    """`--help` is readable in every encoding."""
    commands = [[face, "--help"] for face in ("chronoflux", *(f"chronoflux.{name}" for name in COMMANDS))]
    commands += [[face, sub, "--help"] for face, subs in SUB.items() for sub in subs]
    assert run(encoding, ["chronoflux"], *commands).count(b"Usage:") == len(commands) + 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_commands_say(encoding: str, tmp_path: Path) -> None:
    """Runs with names in Greek and arrows; a schedule; a node; they are shown, checked and followed."""
    path = str(make_run(tmp_path, node=NAME))
    offline = ["--offline", "--speed", "max", "--duration", "2s", "--log-dir", str(tmp_path / "logs")]
    said = run(
        encoding,
        *[["chronoflux.logs", name, path] for name in ("ls", "show", "check", "repair")],
        ["chronoflux.logs", "tail", "--once", path],
        ["chronoflux.headless", "room1", "20", NAME, "--dry-run", "--duration", "60s"],
        ["chronoflux.headless", "room1", "20", NAME, *offline],
    )
    assert said.count(PRINTED[encoding]) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_reading_of_logs(encoding: str, tmp_path: Path) -> None:
    """`analyze`, whose report is full of the field's letters."""
    for number in range(2):
        make_run(tmp_path, node=f"{NAME}{number}", seed=number, seconds=60)
    said = run(encoding, ["chronoflux.analyze", str(tmp_path), "--surrogates", "19", "--ksg", "0"])
    assert PRINTED[encoding] in said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_server_and_its_token(encoding: str, tmp_path: Path) -> None:
    """The line that others paste has an ellipsis for the token."""
    (tmp_path / "token").write_text("secret")
    command = [sys.executable, "-m", "chronoflux.signal", "--port", "0"]
    command += ["--token-file", str(tmp_path / "token")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(encoding), **pipes) as server:
        lines = [server.stdout.readline() for _ in range(3)]
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 0, errors
    assert b"token=" in b"".join(lines)
    assert b"Traceback" not in errors


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    """Bytes of an argument that are no UTF-8 are refused, without a traceback."""
    options = [b"--offline", b"--duration", b"1s", b"--speed", b"max", b"--log-dir", bytes(tmp_path)]
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"chronoflux.headless", b"r\xe4um", b"20", *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 2, done
    assert b"Traceback" not in done.stderr
    assert b"unexpected" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_has_ended(tmp_path: Path) -> None:
    """`… | head -1`: the command ends without a word."""
    path = make_run(tmp_path, seconds=200)
    command = [sys.executable, "-m", "chronoflux.logs", "tail", "--once", "-n", "5000", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.close()
        assert tail.stderr.read() == b""
    assert tail.returncode == 1


@pytest.mark.parametrize(
    ("text", "ascii_"),
    [
        ("H = 0.52 ± 0.01", "H = 0.52 +- 0.01"),
        ("Δψ → 2π/3, ω²", "Deltapsi -> 2pi/3, omega2"),
        ("Zürich … “ok”", 'Zurich ... "ok"'),
        ("½ of ⟨R⟩", "1/2 of <R>"),
        ("\udce4 中", "\\udce4 \\u4e2d"),
    ],
)
def test_spelling(text: str, ascii_: str) -> None:
    """Greek letters by their names, arrows and dashes as in ASCII, the rest by number."""
    assert "".join(map(spelled, text)) == ascii_
