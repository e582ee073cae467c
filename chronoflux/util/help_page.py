"""What every command's ``--help`` has: options in groups, examples, and headings in bold on a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from chronoflux.util.text import did_you_mean

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class Formatter(click.HelpFormatter):
    """click's formatter, with headings in bold. `click.echo` removes the codes where there is no terminal."""

    def write_heading(self, heading: str) -> None:
        """See :meth:`click.HelpFormatter.write_heading`."""
        self.write(f"{'':>{self.current_indent}}{_bold(heading + ':')}\n")

    def write_examples(self, examples: Iterable[str]) -> None:
        """Write command lines, one per line and unwrapped, so that they can be copied."""
        with self.section("Examples"):
            for example in examples:
                self.write(f"{'':>{self.current_indent}}{example}\n")


class HelpContext(click.Context):
    """A context whose help is written by :class:`Formatter`."""

    formatter_class: type[click.HelpFormatter] = Formatter


class HelpPage(click.Command):
    """A command whose options stand in groups, with examples at the end.

    Parameters
    ----------
    groups
        Heading and names of the parameters below it; those of no group stand under "Other options".
    examples
        Command lines.
    """

    context_class: type[click.Context] = HelpContext

    def __init__(
        self,
        *arguments: Any,
        groups: Mapping[str, Sequence[str]] | None = None,
        examples: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        settings["context_settings"] = HELP_OPTIONS | (settings.get("context_settings") or {})
        super().__init__(*arguments, **settings)
        self.groups: dict[str, list[str]] = {name: list(names) for name, names in (groups or {}).items()}
        self.examples: tuple[str, ...] = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See :meth:`click.Command.format_options`."""
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if not isinstance(parameter, click.Argument)
            and (record := parameter.get_help_record(ctx)) is not None
        }
        for heading, names in self.groups.items():
            if rows := [records.pop(name) for name in names if name in records]:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if records:
            with formatter.section("Other options" if self.groups else "Options"):
                formatter.write_dl(list(records.values()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See :meth:`click.Command.format_epilog`."""
        super().format_epilog(ctx, formatter)
        if self.examples and isinstance(formatter, Formatter):
            formatter.write_examples(self.examples)


class HelpGroup(HelpPage, click.Group):
    """A group of commands with examples at the end of its help."""

    command_class: type[click.Command] | None = HelpPage

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See :meth:`click.Group.format_options`."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class NearestChoice(click.Choice[str]):
    """One of several words; a misspelt one is answered with the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """See :meth:`click.Choice.get_invalid_choice_message`."""
        known = [str(choice) for choice in self.choices]
        return f"{value!r} is none of {', '.join(known)}{did_you_mean(str(value), known)}"


def _bold(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)
