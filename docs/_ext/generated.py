"""The parts of the reference that are made from the code: parameters, presets, commands, limits, events.

Each function returns Markdown, which a page includes from ``docs/_generated``; so the pages cannot say
anything else than the code does.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import click

PICTURES = Path(__file__).parents[1] / "pictures"


def table(header: list[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def sentence(text: str) -> str:
    """`text` with a full stop and, unless it begins with a symbol such as k or σ_f, with a capital."""
    first = text.split(maxsplit=1)[0]
    symbol = first.endswith(",") and (len(first) < 4 or "_" in first)
    return (text if symbol else text[:1].upper() + text[1:]).rstrip(".") + "."


def plain_roles(text: str) -> str:
    """Docstring markup as Markdown: double backticks and roles become code."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def parameters() -> str:
    """Every parameter: default, unit, what is accepted, the range of its slider, and what it does."""
    from chronoflux.model.params import SPECS, Params

    parts = []
    defaults = Params()
    for name, spec in SPECS.items():
        lines = [f"(param-{name})=", f"## `{name}`", "", sentence(spec.doc), ""]
        default = getattr(defaults, name)
        facts = [f"default: `{default!r}`"]
        if spec.unit:
            facts.append(f"unit: {spec.unit}")
        facts.append(f"accepted: {spec.allowed}")
        if spec.slider:
            facts.append(f"slider: {spec.slider[0]:g} to {spec.slider[1]:g}")
        facts.append("a change starts the swarm anew" if spec.reset else "can change while a swarm runs")
        lines += [f"- {fact}" for fact in facts]
        if (PICTURES / "parameters" / f"{name}.png").exists():
            lines += ["", f"![Swarms that differ in {name}](../pictures/parameters/{name}.png)"]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def presets() -> str:
    """Every preset: what it shows, and what it changes of the defaults."""
    from chronoflux.model.params import Params
    from chronoflux.model.presets import PRESETS

    def rows() -> Iterator[list[str]]:
        for name in PRESETS:
            changes = Params().changes(PRESETS[name])
            told = ", ".join(f"`{key}={value!r}`" for key, value in changes.items())
            yield [f"`{name}`", sentence(PRESETS.about(name)), told or "nothing"]

    return table(["preset", "what it shows", "what it changes of the defaults"], rows())


def limits() -> str:
    """Every limit of the signaling server, with its option and default."""
    from chronoflux.signal.limits import Limits

    rows = [
        [
            f"`--max-{entry.name.replace('_', '-')}`",
            entry.metadata["doc"],
            f"{entry.default:,g}" if isinstance(entry.default, float) else f"{entry.default:,}",
            f"{entry.metadata['low']:g}",
        ]
        for entry in fields(Limits)
    ]
    return table(["option", "limit", "default", "least"], rows)


def events() -> str:
    """Every event: its data with bounds, its message on the wire, and its effect."""
    from chronoflux.model.events import EVENTS

    def rows() -> Iterator[list[str]]:
        for kind in EVENTS:
            data = list(inspect.signature(kind.effect).parameters.values())[2:]
            told = ", ".join(
                f"`{entry.name}`" + ("" if entry.default is entry.empty else f" = {entry.default!r}")
                for entry in data
            )
            doc = (inspect.getdoc(kind.effect) or "").splitlines()[0]
            yield [f"`{kind.name}`", f"`{kind.wire}`", told or "–", doc]

    return table(["event", "type on the wire", "data", "effect"], rows())


def options() -> str:
    """Every option of `join`, with its default and meaning."""
    from chronoflux.node.options import OPTIONS

    rows = [
        [
            f"`{name}`",
            "" if entry.default is MISSING else f"`{entry.default!r}`",
            plain_roles(entry.metadata["doc"]),
        ]
        for name, entry in OPTIONS.items()
    ]
    return table(["option", "default", "meaning"], rows)


def helps(name: str, command: click.Command, parent: click.Context) -> Iterator[tuple[str, str]]:
    """The help of a command and of its commands: title and text, 88 characters wide."""
    width = {"terminal_width": 88, "max_content_width": 88}
    context = command.context_class(command, info_name=name, parent=parent, **width)
    yield context.command_path, click.unstyle(command.get_help(context))
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from helps(sub, found, context)


def commands() -> str:
    """The help of every command line, as it prints it."""
    from chronoflux.__main__ import PROGRAM, main

    parts = []
    top = main.context_class(main, info_name=PROGRAM)
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        assert command is not None
        for title, text in helps(name, command, top):
            level = "##" if title.count(" ") == 1 else "###"
            label = "cmd-" + title.removeprefix(f"{PROGRAM} ").replace(" ", "-")
            parts.append(f"({label})=\n{level} `{title}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def measures() -> str:
    """Every measure of `chronoflux.analysis` with the first sentence of its docstring, by topic."""
    from chronoflux import analysis

    api = (Path(__file__).parents[1] / "reference" / "api.md").read_text("utf-8")
    parts = []
    text = api.partition("## Analyse")[2].partition("## Extend")[0]
    for topic in text.split("\n### ")[1:]:
        title, names = topic.partition("\n")[0], re.findall(r"^   (\w+)$", topic, re.MULTILINE)
        rows = [
            [f"[`{name}`](api/chronoflux.analysis.{name}.rst)", first_sentence(getattr(analysis, name))]
            for name in names
        ]
        parts.append(f"### {title}\n\n" + table(["measure", "what it gives"], rows))
    return "\n".join(parts)


def first_sentence(value: object) -> str:
    """The first sentence of a docstring, as Markdown."""
    paragraph = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    return plain_roles(paragraph)


def wire(*structs: type) -> str:
    """A table of messages: type, fields and meaning."""
    import msgspec

    def rows() -> Iterator[list[str]]:
        for struct in structs:
            info = msgspec.inspect.type_info(struct)
            assert isinstance(info, msgspec.inspect.StructType)
            told = ", ".join(
                f"`{entry.encode_name}`" + ("" if entry.required else "?") for entry in info.fields
            )
            yield [f"`{info.tag}`", told or "–", first_sentence(struct)]

    return table(["type", "fields (? optional)", "meaning"], rows())


def wire_client() -> str:
    from chronoflux.signal import protocol as p

    return wire(
        p.JoinRoom, p.LeaveRoom, p.SendSignal, p.SendBroadcast, p.SendTelemetry, p.SendRelay, p.SendWho
    )


def wire_server() -> str:
    from chronoflux.signal import protocol as p

    kinds = (p.Welcome, p.RoomPeers, p.PeerJoinedRoom, p.PeerLeft, p.Signal, p.Broadcast, p.Telemetry)
    return wire(*kinds, p.Relay, p.Roster, p.Who, p.Unlink, p.IceServers, p.ErrorMessage)


def wire_channel() -> str:
    from chronoflux.mesh import messages as m

    return wire(m.Hello, m.Greeting, m.Telemetry, m.Field, m.Probe, m.ProbeReply, m.Bye, m.ByeAck, m.Refused)


PARTS: dict[str, Callable[[], str]] = {
    "parameters": parameters,
    "presets": presets,
    "limits": limits,
    "events": events,
    "options": options,
    "commands": commands,
    "measures": measures,
    "wire-client": wire_client,
    "wire-server": wire_server,
    "wire-channel": wire_channel,
}


def write(folder: Path) -> None:
    """Write every part into `folder`, where it has changed."""
    folder.mkdir(exist_ok=True)
    for name, make in PARTS.items():
        target, text = folder / f"{name}.md", make()
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")
