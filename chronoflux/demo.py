"""``chronoflux demo``: run a server, two headless nodes and a notebook, and analyse their logs.

Everything runs as it would for a user: the server and the nodes in separate processes, notebook 01 in a
kernel, logs on disk. The results printed at the end are read back from those logs. Where what runs a notebook
is not installed, a third headless node takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from chronoflux.analysis.synchrony import phase_locking
from chronoflux.cli import run_command, run_face
from chronoflux.errors import ChronofluxError
from chronoflux.model.metrics import null_order
from chronoflux.model.params import Params
from chronoflux.node.warm_up import warm_up
from chronoflux.notebooks import TUTORIAL, find_notebook
from chronoflux.util.help_page import HelpPage

if TYPE_CHECKING:
    import pandas as pd

ROOM = "demo"
BOTS = ("bot-1", "bot-2")
FREQUENCIES = {  # Hz; in portal mode
    "notebook": (1.20, 0.90),
    "bot-1": (1.19, 0.89),
    "bot-2": (1.21, 0.91),
    "bot-3": (1.20, 0.90),  # in place of the notebook
}
SEEDS = {"bot-1": 11, "bot-2": 12, "notebook": 13, "bot-3": 13}
COLOURS = ("#0072b2", "#d55e00", "#009e73")  # colour-blind-safe palette
NODES = 3
NEEDED = ("nbconvert", "nbclient", "ipykernel")
"""What runs the notebook; the extra `lab` has them."""
SCHEDULE = (
    ("intent", 0.25),
    ("intent", 0.4),
    ("lion_gate", 0.55),
    ("lion_gate", 0.7),
    ("pacemaker_flip", 0.8),
)
"""The notebook's events, and when it fires them as shares of its time; bot-3 does the same."""
MARKERS = {"intent": "o", "lion_gate": "s", "pacemaker_flip": "v"}
PATIENCE = 60.0  # s that a process may take to start
MARGIN = 1_000.0  # ms before the first node leaves; events fired later may still be in transit


@click.command(cls=HelpPage, examples=("chronoflux demo", "chronoflux demo --seconds 60 --log-dir my-logs"))
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path),
    default=Path("logs/demo"),
    show_default=True,
    help="where the runs, the report and its picture are written",
)
@click.option(
    "--seconds", type=click.IntRange(10, 600), default=30, show_default=True, help="how long they run"
)
@click.option("--debug", is_flag=True, help="show tracebacks")
def main(log_dir: Path, seconds: int, debug: bool) -> None:
    """Run a room of three nodes on this machine, and report what happened from their logs."""
    run_face(lambda: _demo(_emptied(log_dir), seconds), debug=debug)


def _emptied(log_dir: Path) -> Path:
    """Create the log folder, or remove the runs of an earlier demo from it. Return its absolute path."""
    for run in log_dir.glob(f"{ROOM}-*-*Z*"):
        shutil.rmtree(run)
    log_dir.mkdir(parents=True, exist_ok=True)
    return log_dir.resolve()


async def _demo(log_dir: Path, seconds: int) -> None:
    click.echo("kernels: loading, or compiling once on this machine (up to a minute)")
    await asyncio.to_thread(warm_up, Params())
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(running_server())
        click.echo(f"signaling server at {url}")
        for name in BOTS:
            await stack.enter_async_context(running_bot(name, url, log_dir))
            click.echo(f"{name}: 100 oscillators at {FREQUENCIES[name][0]} Hz, in a separate process")
        if all(map(find_spec, NEEDED)):
            click.echo(
                f"notebook {TUTORIAL}: 220 oscillators at {FREQUENCIES['notebook'][0]} Hz, in a kernel"
            )
            await _notebook(url, log_dir, seconds)
        else:
            click.echo(
                f"bot-3: 100 oscillators at {FREQUENCIES['bot-3'][0]} Hz, in place of notebook {TUTORIAL}; "
                'to run the notebook: pip install "chronoflux[lab]"'
            )
            await _third_bot(url, log_dir, seconds)
    report(log_dir)


@contextlib.asynccontextmanager
async def _process(*arguments: str, ready: str) -> AsyncIterator[str]:
    """Run a module as a process. Yield the line that says it is ready; at the end stop it cleanly."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        start_new_session=True,  # Ctrl-C reaches only this process, which then stops the others in order
    )
    assert process.stdout is not None
    said: list[str] = []
    drain: asyncio.Task[bytes] | None = None
    try:
        try:
            async with asyncio.timeout(PATIENCE):
                while not said or ready not in said[-1]:
                    line = await process.stdout.readline()
                    if not line:
                        raise ChronofluxError(f"{arguments[0]} ended: {' / '.join(said) or 'without a word'}")
                    said.append(line.decode().strip())
        except TimeoutError:
            raise ChronofluxError(f"{arguments[0]} was not ready after {PATIENCE:g} s: {said}") from None
        drain = asyncio.create_task(process.stdout.read())
        yield said[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        if drain is not None:
            rest = (await drain).decode().strip()
        code = await process.wait()
    if code != 0:
        raise ChronofluxError(f"{arguments[0]} ended with code {code}: {rest}")


@contextlib.asynccontextmanager
async def running_server() -> AsyncIterator[str]:
    async with _process("chronoflux.signal", "--port", "0", ready="ws://") as line:
        start = line.index("ws://")
        yield line[start:].split()[0].rstrip("'\"),.")


@contextlib.asynccontextmanager
async def running_bot(name: str, url: str, log_dir: Path, *more: str) -> AsyncIterator[None]:
    frequency, portal = FREQUENCIES[name]
    numbers = ["--seed", str(SEEDS[name]), "--frequency", str(frequency), "--portal-frequency", str(portal)]
    place = ["--server", url, "--log-dir", str(log_dir)]
    async with _process(
        "chronoflux.headless", ROOM, "100", name, *place, *numbers, *more, ready=f"{name} in {ROOM}"
    ):
        yield


def settings(url: str, log_dir: Path, seconds: int) -> dict[str, Any]:
    """Return the values that replace the notebook's parameters."""
    frequency, portal = FREQUENCIES["notebook"]
    return {
        "ROOM": ROOM,
        "SERVER": url,
        "LOG_DIR": str(log_dir),
        "NODE_ID": "notebook",
        "SEED": SEEDS["notebook"],
        "FREQUENCY": frequency,
        "PORTAL_FREQUENCY": portal,
        "PEERS": 2,
        "SECONDS": seconds,
        "STAY": False,
    }


def schedule(seconds: int) -> str:
    """Return the schedule of bot-3: the notebook's events within so many seconds, as TOML."""
    entries = [f'[[entry]]\nat = {share * seconds:g}\nevent = "{event}"' for event, share in SCHEDULE]
    entries[3] += "\non = false"
    return "\n\n".join(entries) + "\n"


async def _third_bot(url: str, log_dir: Path, seconds: int) -> None:
    """Run bot-3 for so many seconds."""
    path = log_dir / "bot-3.toml"
    path.write_text(schedule(seconds), encoding="utf-8")
    async with running_bot("bot-3", url, log_dir, "--schedule", str(path)):
        progress = asyncio.create_task(_progress(log_dir, "bot-3", seconds))
        try:
            await asyncio.sleep(seconds)
        finally:
            progress.cancel()
            await asyncio.wait([progress])


async def _notebook(url: str, log_dir: Path, seconds: int) -> None:
    """Execute the notebook with the demo's settings, and write it as HTML beside the logs.

    It runs in a separate process that Ctrl-C does not reach; on SIGTERM that process ends its kernel.
    """
    import nbformat

    notebook = nbformat.read(find_notebook(TUTORIAL), as_version=4)  # type: ignore[no-untyped-call]
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    injected = "\n".join(f"{name} = {value!r}" for name, value in settings(url, log_dir, seconds).items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(injected))  # type: ignore[no-untyped-call]
    path = log_dir / "notebook.ipynb"
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    # Without widget state the page shows their static pictures, which need no JavaScript from the network.
    options = ("--to", "html", "--execute", "--ExecutePreprocessor.store_widget_state=False")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nbconvert", *options, str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )
    progress = asyncio.create_task(_progress(log_dir, "notebook", seconds))
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        progress.cancel()
        await asyncio.wait([progress])
    if process.returncode:
        raise ChronofluxError(f"{TUTORIAL}: {said.decode().strip().splitlines()[-1]}")


async def _progress(log_dir: Path, node: str, seconds: int) -> None:
    """Show the latest values of a node's log, once per second."""
    with tqdm(total=seconds, bar_format="{bar:30} {n:.0f}/{total:.0f} s{postfix}") as bar:
        bar.set_postfix_str(f"{node} starts")
        while True:
            for line in _last_lines(log_dir, node):
                metrics = line["metrics"]
                bar.n = min(seconds, round(line["t"]))
                bar.set_postfix_str(
                    f"H {metrics['H']:.2f}, H_mesh {metrics.get('H_mesh', 0):.2f}, {metrics['peers']} peers"
                )
            bar.refresh()
            await asyncio.sleep(1)


def _last_lines(log_dir: Path, node: str) -> list[dict[str, Any]]:
    """Return the latest telemetry record of a node's run, or nothing if there is none yet."""
    for path in log_dir.glob(f"{ROOM}-{node}-*/telemetry.jsonl"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().split(b"\n")[1:-1]
        for line in reversed(lines):
            record: dict[str, Any] = json.loads(line)
            if record["type"] == "telemetry":
                return [record]
    return []


# -- the report ------------------------------------------------------------------------------------------


def report(log_dir: Path) -> None:
    """Print tables from the logs, draw them, and raise ChronofluxError when a link or an event is missing."""
    from chronoflux.telemetry import load

    frame = load(log_dir)
    names = {_manifest(path)["peer_id"]: _manifest(path)["node"] for path in log_dir.glob(f"{ROOM}-*-*Z*")}
    if len(names) != NODES:
        raise ChronofluxError(
            f"{NODES} nodes ran, but there are logs of {', '.join(names.values()) or 'none'}"
        )
    click.echo()
    click.echo(node_table(frame).to_string())
    click.echo()
    click.echo(pair_table(log_dir, names).to_string())
    mean, high = null_order(100)
    click.echo(f"\n(100 unrelated phases have H = {mean:.2f} on average, below {high:.2f} in 19 of 20 cases)")
    picture = draw(frame, log_dir / "room.png")
    click.echo(f"\npicture {picture}")
    if "notebook" in names.values():
        click.echo(f"notebook {log_dir / 'notebook.html'}")
    click.echo(f"logs {log_dir}")
    problems = missing_links(frame, names) + lost_events(frame, names.values())
    if problems:
        raise ChronofluxError("; ".join(problems))
    click.echo("\nevery node linked to every other; no event fired while all three were there was lost")


def _manifest(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return manifest


def node_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per node: records, mean order, events sent and received, peers."""
    import pandas as pd

    rows = {}
    for node, records in frame.groupby("node"):
        seconds = records[records["type"] == "telemetry"]
        rows[node] = {
            "records": len(records),
            **{name: round(seconds[name].mean(), 3) for name in ("H", "H_local", "H_mesh")},
            "events sent": int(own_events(records).sum()),
            "events received": int(records["type"].str.startswith("remote_").sum()),
            "peers": int(seconds["peers"].max()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def pair_table(log_dir: Path, names: dict[str, str]) -> pd.DataFrame:
    """Return one row per pair: phase-locking value and mean phase difference, as the first node saw it."""
    import pandas as pd

    from chronoflux.telemetry import load_peerings

    peerings = load_peerings(log_dir)
    peerings["other"] = peerings["peer"].map(names)
    rows = {}
    for (node, other), pair in peerings.groupby(["node", "other"]):
        if str(node) < str(other):
            locking = phase_locking(pair["dpsi"])
            rows[f"{node} – {other}"] = {
                "Δf [Hz]": round(abs(FREQUENCIES[str(node)][0] - FREQUENCIES[str(other)][0]), 3),
                "phase-locking value": round(locking.plv, 3),
                "mean difference [rad]": round(locking.difference, 3),
                "seconds": locking.n,
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def own_events(records: pd.DataFrame) -> pd.Series[bool]:
    """Return a mask of the records that are events fired by the node itself."""
    from chronoflux.model.events import EVENTS

    return records["type"].isin([kind.name for kind in EVENTS])


def missing_links(frame: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """Return one message for each pair that never had a data channel."""
    linked = set()
    for record in _rows(frame[frame["type"] == "peer"]):
        if record["data"]["change"] == "linked":
            linked.add((record["node"], names.get(record["data"]["id"])))
    wanted = [(a, b) for a in names.values() for b in names.values() if a != b]
    return [f"{a} never linked to {b}" for a, b in wanted if (a, b) not in linked]


def lost_events(frame: pd.DataFrame, nodes: Iterable[str]) -> list[str]:
    """Return one message for each event that a node did not record, fired while all three were present."""
    telemetry = frame[frame["type"] == "telemetry"]
    complete = telemetry[telemetry["peers"] >= NODES - 1].groupby("node")["at"]
    if complete.ngroups < NODES:
        return ["the three were never together"]
    start, end = complete.min().max(), frame[frame["type"] == "end"]["at"].min() - MARGIN
    heard = {(record["node"], (record["data"] or {}).get("id")) for record in _rows(frame)}
    fired = _rows(frame[own_events(frame) & frame["at"].between(start, end)])
    return [
        f"the {event['type']} that {event['node']} fired at t = {event['t']:.1f} s never reached {node}"
        for event in fired
        for node in nodes
        if (node, event["data"]["id"]) not in heard
    ]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]
    return rows


def draw(frame: pd.DataFrame, path: Path) -> Path:
    """Plot the three `H(t)`, and above them the events in the colour of the node that fired them."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    frame = frame.assign(seconds=(frame["at"] - frame["at"].min()) / 1000)
    telemetry = frame[frame["type"] == "telemetry"]
    figure, (events, axes) = plt.subplots(
        2, 1, figsize=(9, 4.6), layout="constrained", sharex=True, height_ratios=(1, 4)
    )
    nodes = [node for node in ("notebook", *BOTS, "bot-3") if (frame["node"] == node).any()]
    for row, (node, colour) in enumerate(zip(nodes, COLOURS, strict=True)):
        own = telemetry[telemetry["node"] == node]
        label = f"{node}, {FREQUENCIES[node][0]:.2f} Hz"
        axes.plot(own["seconds"], own["H"], color=colour, lw=1.8, label=label)
        for kind, marker in MARKERS.items():
            fired = frame[(frame["node"] == node) & (frame["type"] == kind)]["seconds"]
            events.plot(fired, [row] * len(fired), marker, color=colour, ms=7, ls="none")
    room = telemetry[~telemetry["node"].isin(BOTS)]
    axes.plot(room["seconds"], room["H_mesh"], color="0.2", lw=1.2, ls="--", label="whole room, H_mesh")
    axes.axhspan(0, null_order(100)[1], color="0.9", zorder=0, label="100 unrelated phases, 95 %")
    axes.set(xlabel="time [s]", ylabel="order parameter H", ylim=(0, 1.03), xlim=(0, None))
    axes.legend(loc="lower right", fontsize=8)
    for kind, marker in MARKERS.items():
        events.plot([], [], marker, color="0.3", ls="none", label=kind.replace("_", " "))
    events.legend(loc="center left", fontsize=8)
    events.set(yticks=range(len(nodes)), yticklabels=nodes, ylim=(-0.6, len(COLOURS) - 0.4))
    events.set_title("events fired, and the order of each swarm", fontsize=10, loc="left")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


if __name__ == "__main__":
    run_command(main)
