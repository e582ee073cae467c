"""Adding a run's parts to a `Builder`: segments and large files are decoded ahead, on other threads."""

from __future__ import annotations

import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.read.builder import Builder
from chronoflux.telemetry.read.discovery import RunFiles
from chronoflux.telemetry.read.lines import Block, Lines

if TYPE_CHECKING:
    from chronoflux.telemetry.format.segments import Segment
    from chronoflux.telemetry.read.fast_scan import Scanned
    from chronoflux.telemetry.read.parts import Part
    from chronoflux.telemetry.read.segment_decode import Unpacked

LARGE = 8 << 20
"""Size in bytes from which a file is scanned by a compiled kernel.

Loading the kernel takes about a second: it is loaded when such files add up to 8 times as much.
"""
_TOGETHER = 16  # segments held in memory, as files, to know their numbers of rows
_AHEAD = 3  # blocks scanned or segments decoded in advance
_WORKERS = min(_AHEAD + 1, max(2, os.cpu_count() or 2))

T = TypeVar("T")
R = TypeVar("R")


def add_parts(builder: Builder, parts: Iterable[tuple[Path, Part]], report: Report) -> None:
    """Add the content of a log, file by file: segments, and lines, which are scanned in large files."""
    for path, group in itertools.groupby(parts, key=lambda part: part[0] if _is_text(part[1]) else None):
        if path is None:
            add_segments(builder, (part for _, part in group if not isinstance(part, Block | Lines)), report)
            continue
        builder.files.append((len(builder), path))
        blocks = (part for _, part in group if isinstance(part, Block | Lines))
        if _is_large(path):
            add_blocks(builder, path, blocks, report)
        else:
            for block in blocks:
                builder.add(path, block.split() if isinstance(block, Block) else block, report)


def _is_text(part: Part) -> bool:
    return isinstance(part, Block | Lines)


def make_ready(runs: Iterable[RunFiles]) -> None:
    """Load the scan kernel if the large files of these runs add up to enough; otherwise none is scanned."""
    sizes = [_size(path) for run in runs for path in run.files if path.suffix != ".parquet"]
    if sum(size for size in sizes if size >= LARGE) >= 8 * LARGE:
        import chronoflux.telemetry.read.fast_scan  # noqa: F401


def _is_large(path: Path) -> bool:
    return "chronoflux.telemetry.read.fast_scan" in sys.modules and _size(path) >= LARGE


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed meanwhile
        return 0


def add_segments(builder: Builder, segments: Iterable[Segment], report: Report) -> None:
    """Add closed segments; they are decoded on other threads, directly into their rows of the table.

    The place of a segment's rows depends on the number of records before it. That is known, except for
    segments with unchanged lines, which may not be records.
    """
    from chronoflux.telemetry.read.segment_decode import unpack  # imports Arrow only for segments

    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="unpack") as pool:

        def start(one: tuple[Segment, dict[str, Any] | None]) -> Future[Unpacked]:
            return pool.submit(unpack, *one, peerings=builder.keep_peerings)

        numbered = enumerate(segments)
        for (_, plain), group in itertools.groupby(numbered, lambda one: (one[0] // _TOGETHER, one[1].plain)):
            some = [segment for _, segment in group]
            spaces = builder.spaces([segment.facts.rows for segment in some]) if plain else [None] * len(some)
            for (segment, _), found in _ahead(zip(some, spaces, strict=True), start):
                builder.files.append((len(builder), segment.path))
                builder.add_segment(segment.path, found.result(), report)


def add_blocks(builder: Builder, path: Path, blocks: Iterable[Block | Lines], report: Report) -> None:
    """Add a large file; its blocks are scanned on other threads, a few in advance."""
    from chronoflux.telemetry.read.fast_scan import (
        scan,  # imports numba only where it saves more time than loading takes
    )

    with ThreadPoolExecutor(2, thread_name_prefix="scan") as pool:

        def start(block: Block | Lines) -> Future[Scanned] | None:
            return pool.submit(scan, block.content) if isinstance(block, Block) else None

        for block, scanned in _ahead(blocks, start):
            if isinstance(block, Lines):
                builder.add(path, block, report)
            else:
                assert scanned is not None
                builder.add_scanned(path, block, scanned.result(), report)


def _ahead(items: Iterable[T], start: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Yield each item with its started work, which begins some items in advance."""
    waiting: deque[tuple[T, R]] = deque()
    for item in items:
        waiting.append((item, start(item)))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting
