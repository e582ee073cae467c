"""The command ``chronoflux``, also ``python -m chronoflux``: each command line is a subcommand of it.

A subcommand's module is imported when it is called, so that help and shell completion are quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import get_completion_class

from chronoflux.cli import run_command
from chronoflux.util.help_page import HelpGroup, HelpPage
from chronoflux.version import VERSION

PROGRAM = "chronoflux"
COMPLETE = "_CHRONOFLUX_COMPLETE"
"""The environment variable by which a shell asks for completions; click's naming."""
SHELLS = ("bash", "zsh", "fish")


class Entry(NamedTuple):
    """One subcommand: the module with its ``main``, and one line of help."""

    module: str
    doc: str


GROUPS: Mapping[str, Mapping[str, Entry]] = {
    "Run": {
        "demo": Entry("demo", "run a server and three nodes on this machine, and analyse their logs"),
        "signal": Entry("signal.__main__", "run the signaling server, where nodes meet"),
        "headless": Entry("headless.__main__", "run a node without a notebook"),
        "app": Entry("app", "serve notebook 02 as a page with a node for each visitor"),
    },
    "Look": {
        "logs": Entry("logs", "list, show, check, repair, follow and export runs"),
        "analyze": Entry("analyze", "summarise the logs of a room, and write a report"),
        "mesh": Entry("mesh.__main__", "check who is in a room and how each is reached"),
    },
    "Set up": {
        "notebooks": Entry("notebooks", "copy the notebooks into a folder"),
        "kernels": Entry("kernels", "compile the kernels now, so that no run waits for it"),
        "bench": Entry("bench.engine", "measure how fast this machine is"),
    },
}
"""The subcommands, as the help lists them. `completion` stands in this file."""

EXAMPLES = {
    "Run": "chronoflux headless room1 200 bot-1 --duration 8h",
    "Look": "chronoflux analyze logs --out report.html",
    "Set up": "chronoflux notebooks my-notebooks",
}
"""One for each group; each command's own help has more."""

COMMANDS: Mapping[str, Entry] = {name: entry for group in GROUPS.values() for name, entry in group.items()}


class Program(HelpGroup):
    """The group of all commands. It imports a subcommand's module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See :meth:`click.Group.list_commands`."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See :meth:`click.Group.get_command`."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(f"chronoflux.{COMMANDS[cmd_name].module}").main
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See :meth:`click.Group.resolve_command`."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See :meth:`click.Group.format_commands`."""
        own = {name: command.get_short_help_str(60) for name, command in self.commands.items()}
        for heading, group in GROUPS.items():
            rows = {name: entry.doc for name, entry in group.items()}
            if heading == "Set up":
                rows |= own
            with formatter.section(heading):
                formatter.write_dl([(f"{name:10}", doc) for name, doc in rows.items()])
                formatter.write(f"\n{'':>{formatter.current_indent}}{EXAMPLES[heading]}\n")


@click.group(cls=Program, invoke_without_command=True)
@click.version_option(VERSION, prog_name="ChronoFlux", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run, watch and study synchronising swarms across machines.

    In a notebook: import chronoflux as cf; node = await cf.join("room1").
    Every command has --help, and runs as python -m chronoflux.COMMAND too.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), color=ctx.color)


@main.command(
    cls=HelpPage,
    short_help="print what makes a shell complete commands and options",
    examples=(
        'eval "$(chronoflux completion bash)"    # in ~/.bashrc',
        'eval "$(chronoflux completion zsh)"     # in ~/.zshrc',
        "chronoflux completion fish > ~/.config/fish/completions/chronoflux.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands and options of `chronoflux`."""
    kind: Any = get_completion_class(shell)
    click.echo(kind(main, {}, PROGRAM, COMPLETE).source())


def run() -> None:
    """Run the command line of this process. The installed script ``chronoflux`` calls this."""
    run_command(main)


if __name__ == "__main__":
    run()
