"""Frames of `load` as Parquet files, for other programs and for reading back: ``logs export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from chronoflux.errors import LogError
from chronoflux.telemetry.format.layout import INPUTS, open_regular
from chronoflux.telemetry.format.records import METRICS, to_json
from chronoflux.telemetry.read.lines import Lines

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

_FIELDS = ("type", "t", "seq", "tick", "mono", "at", "room", "node", "run")
_NEEDED = {"time", "data", *_FIELDS, *METRICS}
_INPUTS = INPUTS.removesuffix(".jsonl")
_BATCH = 1 << 14
REMEDY = "give a segment of a log, or a file that `python -m chronoflux.logs export` wrote"


def write_export(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame of :func:`chronoflux.load`, with ``data`` as JSON. Raises OSError."""
    data = [None if data is None else msgspec.json.encode(data).decode() for data in frame["data"]]
    frame = frame.copy(deep=False)
    frame["data"] = data
    frame.attrs = {}
    frame.to_parquet(path, index=False, compression="zstd", write_page_checksum=True)


def is_export(path: Path) -> bool:
    """Return whether a Parquet file is an exported frame; otherwise it declares itself a segment.

    Raises
    ------
    LogError
        When it is neither, or cannot be read.
    """
    with _refusing(path), open_regular(path) as file:
        parquet = _open(file)
        if facts := (parquet.metadata.metadata or {}).get(b"chronoflux"):
            if msgspec.json.decode(facts, type=dict[str, Any]).get("kind") == _INPUTS:
                raise LogError(path, f"holds inputs of peers, not records: {REMEDY}")
            return False
        if missing := sorted(_NEEDED - set(parquet.schema_arrow.names)):
            raise LogError(path, f"is not a log: it has no column {', '.join(missing[:3])}; {REMEDY}")
    return True


def read_export(path: Path) -> Iterator[Lines]:
    """Yield the rows of a frame as the lines of a log, numbered from 1. Raises LogError on damage."""
    number = 1
    with _refusing(path), open_regular(path) as file:
        for batch in _open(file).iter_batches(_BATCH):
            lines = _lines(batch)
            yield Lines(lines, range(number, number + len(lines)))
            number += len(lines)


def _open(file: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file, page_checksum_verification=True)


def _lines(batch: pa.RecordBatch) -> list[bytes]:
    import pyarrow as pa

    times = batch.column("time").cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()
    measured = [name for name in batch.schema.names if name not in ("time", "data", *_FIELDS)]
    fields = {name: batch.column(name).to_pylist() for name in (*_FIELDS, *measured)}
    lines = []
    for row, (time, text) in enumerate(zip(times, batch.column("data").to_pylist(), strict=True)):
        record = {"timestamp": time} | {name: fields[name][row] for name in _FIELDS}
        record["metrics"] = {name: fields[name][row] for name in measured}
        if text is not None:
            record["data"] = msgspec.Raw(text.encode())
        lines.append(to_json(record))
    return lines


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Convert Arrow's errors about unsuitable files to LogError."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise LogError(path, f"cannot be read ({error.strerror})") from error
        # Arrow's own errors are among these types; a column of an unexpected type causes the others.
        raise LogError(path, f"is damaged, or not a log in Parquet format ({error}); {REMEDY}") from error
