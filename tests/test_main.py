"""The command ``chronoflux``: subcommands, version, completion, examples, and answers to misspelt words."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from chronoflux.__main__ import COMMANDS, EXAMPLES, GROUPS, main, run
from chronoflux.util.help_page import HelpPage
from chronoflux.version import VERSION


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process. Return its exit code."""
    monkeypatch.setattr(sys, "argv", ["chronoflux", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_subcommand_gets_its_arguments(tmp_path: Path) -> None:
    """`chronoflux headless r 20 NAME` runs a node of 20 oscillators with that name in that room."""
    options = ["--offline", "--speed", "max", "--duration", "1s", "--log-dir", str(tmp_path)]
    command = [sys.executable, "-m", "chronoflux", "headless", "r", "20", "name", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("r-name-*")
    assert '"oscillators":20' in re.sub(r"\s", "", (folder / "run.json").read_text())


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version, which is the package's."""
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"ChronoFlux {VERSION}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["singal"], "No such command 'singal'. Did you mean 'signal'?"),
        (["headless", "--kapa", "1"], "--kappa"),
        (["headless", "--coupling", "gobal"], "did you mean global?"),
        (["headless", "--preset", "strom"], "did you mean storm?"),
        (["signal", "--topology", "rnig"], "did you mean ring?"),
        (["logs", "repiar", "x"], "Did you mean 'repair'?"),
    ],
)
def test_the_nearest_is_named(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt command, option or value ends with code 2 and one line that names the nearest."""
    assert call(monkeypatch, *given) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


def test_help_loads_no_command() -> None:
    """The list of commands is printed without loading numpy, numba or a command's module."""
    code = (
        "import sys, click.testing; from chronoflux.__main__ import main;"
        "print(click.testing.CliRunner().invoke(main, ['--help']).exit_code);"
        "print([name for name in ('numpy', 'numba', 'chronoflux.headless') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["0", "[]"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """A shell's script names the command; commands, options and values are completed."""
    assert "chronoflux" in CliRunner().invoke(main, ["completion", shell]).output
    asked = {"COMP_WORDS": "chronoflux si", "COMP_CWORD": "si" if shell == "fish" else "1"}
    code = "import sys; sys.argv[0] = 'chronoflux'; from chronoflux.__main__ import main; main()"
    environment = os.environ | {"_CHRONOFLUX_COMPLETE": f"{shell}_complete", **asked}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "signal" in done.stdout
    assert "headless" not in done.stdout


def examples() -> list[str]:
    """Every command line that a help page shows, except Jupyter's own."""
    pages = [main.get_command(click.Context(main), name) for name in main.list_commands(click.Context(main))]
    own = [example for page in pages if isinstance(page, HelpPage) for example in page.examples]
    return [line for line in (*own, *EXAMPLES.values()) if line.startswith("chronoflux ")]


def test_every_command_has_an_example() -> None:
    """The help of each subcommand ends with an example of it, and each group of commands has one."""
    for name in COMMANDS:
        page = main.get_command(click.Context(main), name)
        assert isinstance(page, HelpPage)
        assert any(f"chronoflux {name}" in example for example in page.examples), name
        assert "Examples:\n" in CliRunner().invoke(page, ["--help"]).output
    assert EXAMPLES.keys() == GROUPS.keys()


@pytest.mark.parametrize("example", examples())
def test_examples_parse(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example is a command line that its command accepts."""
    monkeypatch.chdir(tmp_path)
    Path("token.txt").write_text("secret")
    words = shlex.split(example, comments=True)
    words = words[1 : words.index(">")] if ">" in words else words[1:]
    command: click.Command = main
    while isinstance(command, click.Group):
        context = click.Context(command)
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    command.make_context("chronoflux", words)


def test_headings_are_bold_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is in colour where the output is a terminal that wants it, and plain elsewhere."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mRun:" in CliRunner().invoke(main, ["--help"], color=True).output
    assert "\x1b" not in CliRunner().invoke(main, ["--help"]).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in CliRunner().invoke(main, ["--help"], color=True).output
