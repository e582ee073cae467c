"""Measure the live view's frames: ``python -m tests.frame_rates`` (or ``make frames``).

A node alone, in a real JupyterLab, in headless Chromium with software rendering: frames a second on the
screen, the time from sending a frame to its confirmation from there, by a clock in the kernel, and the
processors' time a frame takes in browser, server and kernel, which says more when others use the machine.
Last, how the kernel's memory goes over some thousands of frames.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import click

from tests.browser import lab, notebook_page, open_notebook, run_all
from tests.support import until

AIMS = {220: 28, 2_000: 28, 100_000: 20}
"""Frames a second that are aimed at, by oscillators."""
IN_SPACE = {2_000: 10}
"""Likewise in space."""
VIEWS = {False: ("display_node(node)", ".chronoflux-stage"), True: ("node.view3d()", ".chronoflux-space")}
"""How a picture is made, and where it is on the page: on a page, and in space."""
LAG = 65.0
"""Median ms from sending a frame to its confirmation, at most."""
CELL = """
import asyncio, contextlib, json, os, statistics, time
import chronoflux as cf, psutil
from chronoflux.widget import display_node

# Jupyter remembers the signatures of so many messages: 65,536 take 11 MB, and then no more.
get_ipython().kernel.session.digest_history_size = 1000
node = await cf.join("room1", server=None, params=cf.Params(oscillators={n}), log_dir="logs")
view = {view}
sent, took = {{}}, []
send, confirm = view.flow.sent, view.flow.confirm

def sent_(now):
    number = send(now)
    sent[number] = time.perf_counter()
    return number

def confirm_(client, frame, now):
    if frame in sent:
        took.append(1000 * (time.perf_counter() - sent.pop(frame)))
    confirm(client, frame, now)

view.flow.sent, view.flow.confirm = sent_, confirm_

def spent():
    found = dict(browser=0.0, server=0.0, kernel=time.process_time())
    for process in psutil.Process({pid}).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                found["browser"] += sum(process.cpu_times()[:2])
    found["server"] = sum(psutil.Process().parent().cpu_times()[:2])
    return found

async def frames(count):
    while len(took) < count:
        await asyncio.sleep(0.1)

async def report():
    await frames(60)
    took.clear()
    before, start = spent(), time.perf_counter()
    await asyncio.sleep({seconds})
    after, lags = spent(), sorted(took)
    facts = dict(
        rate=len(lags) / (time.perf_counter() - start),
        lag_ms=statistics.median(lags),
        lag_95_ms=lags[int(0.95 * len(lags))],
        ms_a_frame={{who: 1000 * (after[who] - before[who]) / len(lags) for who in after}},
    )
    memory = []
    for _ in range({frames} // 500):
        took.clear()
        await frames(500)
        memory.append(psutil.Process().memory_info().rss / 2**20)
    facts["memory"], facts["passed"] = memory, time.perf_counter() - start
    open("rates.tmp", "w").write(json.dumps(facts))
    os.replace("rates.tmp", "rates.json")

reporting = asyncio.create_task(report())
view
"""


async def measure(n: int, seconds: float, frames: int, space: bool = False) -> dict[str, Any]:
    """One swarm's frames over `seconds`: ``rate`` (1/s), ``lag_ms`` (median), ``lag_95_ms``, ``ms_a_frame``;
    then ``memory``, the kernel's MiB after each 500 of so many `frames`, and s ``passed`` in all. `space`:
    of the picture in space."""
    view, place = VIEWS[space]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = folder / "rates.json"
        cell = CELL.format(view=view, n=n, seconds=seconds, frames=frames, pid=os.getpid())
        async with lab(folder) as url, notebook_page(folder, [cell]) as page:
            await open_notebook(page, url)
            await run_all(page)
            await page.locator(place).scroll_into_view_if_needed()  # else nothing is drawn
            await until(result.exists, 180 + 10 * seconds + frames, "the measurement")
        facts: dict[str, Any] = json.loads(result.read_text())
    return facts


def line(n: int, facts: dict[str, Any], space: bool = False) -> str:
    """What was measured, beside what was aimed at, and what else the machine had to do."""
    aim = (IN_SPACE if space else AIMS).get(n)
    lag = math.inf if space else LAG
    met = "" if aim is None else " met" if facts["rate"] >= aim and facts["lag_ms"] <= lag else " not met"
    limit = "" if space else f", ≤ {LAG:g} ms"
    aims = "" if aim is None else f" (aimed at ≥ {aim}/s{limit}:{met})"
    spent = ", ".join(f"{who} {ms:.0f}" for who, ms in facts["ms_a_frame"].items())
    return (
        f"{n:>9,} oscillators: {facts['rate']:5.1f} frames/s, {facts['lag_ms']:4.0f} ms, "
        f"95 % below {facts['lag_95_ms']:4.0f}{aims}; ms of processor a frame: {spent}; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def growth(memory: list[float]) -> str:
    """How the kernel's memory went: the slope of a line through its second half, as the first warms up."""
    late = memory[len(memory) // 2 :]
    places = [i - (len(late) - 1) / 2 for i in range(len(late))]
    slope = sum(x * y for x, y in zip(places, late, strict=True)) / sum(x * x for x in places)
    return (
        f"memory of the kernel over {500 * len(memory):,} frames: {memory[0]:.1f} to {memory[-1]:.1f} MiB; "
        f"in the second half {2000 * slope:+.1f} KiB a thousand frames, {200 * slope:+.1f} MiB in 100,000 "
        f"(an hour at 28/s)"
    )


@click.command()
@click.argument("oscillators", nargs=-1, type=int)
@click.option("--seconds", default=10.0, help="How long each swarm is looked at.")
@click.option("--frames", default=4000, help="Frames over which memory is looked at; 0: not at all.")
@click.option("--space", is_flag=True, help="Of the picture in space (2,000).")
def main(oscillators: tuple[int, ...], seconds: float, frames: int, space: bool) -> None:
    """Measure swarms of so many OSCILLATORS (220, 2,000 and 100,000), and memory with the first of them."""
    for number, n in enumerate(oscillators or tuple(IN_SPACE if space else AIMS)):
        facts = asyncio.run(measure(n, seconds, 0 if number else frames, space))
        click.echo(line(n, facts, space))
        if len(facts["memory"]) > 3:
            click.echo(growth(facts["memory"]))


if __name__ == "__main__":
    main()
