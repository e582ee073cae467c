"""Measure the live view's frames in a real JupyterLab: ``python -m tests.frame_rates [OSCILLATORS …]``.

Frames a second, and the time from sending a frame to its confirmation from the screen, in headless Chromium
with software rendering, by a clock in the kernel; and the processors' time a frame takes in browser, server
and kernel, which says more when others use the machine. A swarm that moves, without a network.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.browser import lab, notebook_page, open_notebook, run_all
from tests.support import until

SECONDS = 10
CELL = """
import asyncio, contextlib, json, statistics, time
import psutil
from chronoflux.model.params import Params
from chronoflux.widget import display_node
from tests.sources import SwarmSource

source = SwarmSource(Params(oscillators={n})).start()
view = display_node(source)
sent, took, shown = {{}}, [], []

def wrap(flow):
    send, confirm = flow.sent, flow.confirm
    def sent_(now):
        number = send(now)
        sent[number] = time.perf_counter()
        return number
    def confirm_(client, frame, now):
        if frame in sent:
            took.append(time.perf_counter() - sent.pop(frame))
            shown.append(time.perf_counter())
        confirm(client, frame, now)
    flow.sent, flow.confirm = sent_, confirm_

def spent():
    found = dict(browser=0.0, server=0.0, kernel=time.process_time())
    for process in psutil.Process({pid}).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                found["browser"] += sum(process.cpu_times()[:2])
    found["server"] = sum(psutil.Process().parent().cpu_times()[:2])
    return found

async def report():
    while len(shown) < 20:
        await asyncio.sleep(0.1)
    shown.clear(), took.clear()
    before, start = spent(), time.perf_counter()
    await asyncio.sleep({seconds})
    after = spent()
    lags = sorted(1000 * lag for lag in took)
    facts = dict(
        n={n},
        rate=round(len(shown) / (time.perf_counter() - start), 1),
        lag_ms=round(statistics.median(lags), 1),
        lag_95_ms=round(lags[int(0.95 * len(lags))], 1),
        ms_a_frame={{who: round(1000 * (after[who] - before[who]) / len(shown), 1) for who in after}},
    )
    open("rates.json", "w").write(json.dumps(facts))

wrap(view.flow)
reporting = asyncio.create_task(report())
view
"""


async def measure(n: int) -> dict[str, Any]:
    """One swarm's frames: ``rate`` (1/s), ``lag_ms`` (median), ``lag_95_ms``, ``ms_a_frame``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = folder / "rates.json"
        cell = CELL.format(n=n, seconds=SECONDS, pid=os.getpid())
        async with lab(folder) as url, notebook_page(folder, [cell]) as page:
            await open_notebook(page, url)
            await run_all(page)
            await until(result.exists, 120, "the measurement")
        facts: dict[str, Any] = json.loads(result.read_text())
    return facts | {"load": round(os.getloadavg()[0], 1)}


async def main(sizes: list[int]) -> None:
    """Measure and print one line for each size."""
    for n in sizes:
        print(json.dumps(await measure(n)), flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(size) for size in sys.argv[1:]] or [220, 2_000, 100_000]))
