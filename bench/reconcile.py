"""How long a reconciliation takes, and how much memory: `python -m bench.reconcile --clicks 20000000`.

Clicks of a day lie in an archive; the stream is taken to have counted all of them. Beside it Polars, in memory, does
the recount alone: parse, the first copy of each identity, clicks per ad and minute; it misses the few clicks that name
a field twice. What was reconciled is held against what was generated.

`--no-peer`: where Polars has not the memory; nothing is taken to have been published then.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Annotated

import polars as pl
import psutil
import typer
from rich.table import Table

from audit.reconciliation import Reconciliation, reconcile_files
from audit.report import write_counts
from ingest.producer import read_lines
from local.console import Json, console, errors
from local.generator import generate
from local.stack import PARTITIONS, temporary_stack
from local.traffic import MINUTE, START, Traffic

ARRIVAL = ("timestamp", "offset", "partition")
ROWS = 500_000  # of a file of the archive
CLICK = pl.Struct(dict.fromkeys(("ad_id", "user_id", "ip", "click_id"), pl.String) | {"click_timestamp": pl.Int64})


def main(
    clicks: Annotated[int, typer.Option(help="Raw clicks.")] = 20_000_000,
    peer: Annotated[bool, typer.Option(help="Recount with Polars, too.")] = True,
    as_json: Json = False,
) -> None:
    """Reconcile an archive of so many clicks; show wall time, peak memory and the peer's."""
    with tempfile.TemporaryDirectory() as name, errors.status("Generating") as spinner:
        home = Path(name)
        truth = archive(Traffic(clicks, minutes=1440, invalid=0, future=0), home)
        spinner.update("Recounting with Polars")
        of_peer = recount_with_polars(home) if peer else nothing_published(home)
        spinner.update("Reconciling")
        result = {"clicks": clicks} | reconcile(home, truth) | of_peer
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    table = Table("", "")
    for row, figure in result.items():
        table.add_row(row, f"{figure:,}")
    console.print(table)


def archive(traffic: Traffic, home: Path) -> dict[int, int]:
    """Write an archive as a replay leaves it; return the unique clicks of each window."""
    truth = generate(traffic, home / "clicks.jsonl")
    (home / "archive").mkdir()
    lines = read_lines(home / "clicks.jsonl")
    for number, start in enumerate(range(0, traffic.clicks, ROWS)):
        _rows(list(islice(lines, ROWS)), start).write_parquet(home / "archive" / f"{number:05}.parquet")
    (home / "clicks.jsonl").unlink()
    windows: dict[str, int] = truth["unique_per_window"]  # type: ignore[assignment]
    return {int(window): unique for window, unique in windows.items()}


def _rows(values: list[bytes], start: int) -> pl.DataFrame:
    """Line n stands at offset n // PARTITIONS of partition n % PARTITIONS; a day brings them all."""
    line = pl.int_range(start, start + len(values), eager=True)
    return pl.DataFrame(
        {
            "key": pl.Series([None] * len(values), dtype=pl.Binary),
            "value": values,
            "topic": ["clicks"] * len(values),
            "partition": (line % PARTITIONS).cast(pl.Int32),
            "offset": line // PARTITIONS,
            "timestamp": line // 100 + START + 1440 * MINUTE,
        }
    )


def recount_with_polars(home: Path) -> dict[str, float]:
    """Write the peer's counts.csv; return its seconds and its peak of memory in GB."""
    with _watched(os.getpid()) as peak:
        began = time.monotonic()
        window = pl.col("click_timestamp") // MINUTE * MINUTE
        click = pl.col("value").cast(pl.String).str.json_decode(CLICK)
        synthetic = pl.concat_str("click_timestamp", "user_id", "ad_id", "ip", separator="\0")
        counts = (
            pl.scan_parquet(home / "archive" / "*.parquet")
            .select(*ARRIVAL, click=click)
            .unnest("click")
            .select("ad_id", *ARRIVAL, identity=pl.coalesce("click_id", synthetic), window_start=window)
            .drop_nulls()
            .group_by("identity")
            .agg(pl.col("ad_id", "window_start").sort_by(ARRIVAL).first())
            .group_by("window_start", "ad_id")
            .len("exact")
            .collect(engine="streaming")
        )
        seconds = time.monotonic() - began
    write_counts(counts, home / "counts.csv")
    return {"Polars: seconds": round(seconds, 1), "Polars: peak GB": peak[0]}


def nothing_published(home: Path) -> dict[str, float]:
    """Write a counts.csv without counts."""
    write_counts(
        pl.DataFrame(schema={"window_start": pl.Int64, "ad_id": pl.String, "exact": pl.Int64}), home / "counts.csv"
    )
    return {}


def reconcile(home: Path, truth: dict[int, int]) -> dict[str, float]:
    """Return the seconds and the peaks of memory of a reconciliation, and what it found."""
    (home / "late.jsonl").touch()
    with (
        temporary_stack(slots=2) as stack,
        _watched(stack.cluster.taskmanager.pid or 0) as cluster,
        _watched(os.getpid()) as command,
    ):
        began = time.monotonic()
        found = reconcile_files(
            home / "archive", home / "counts.csv", home / "late.jsonl", stack, lambda doing, done: None
        )
        seconds = time.monotonic() - began
    return {
        "seconds": round(seconds, 1),
        "peak GB, TaskManager with its workers": cluster[0],
        "peak GB, command": command[0],
        "windows that are not as generated": _wrong_windows(found, truth),
        "counts": len(found.places),
        "counts that differ from what was published": found.report.differences,
    }


def _wrong_windows(found: Reconciliation, truth: dict[int, int]) -> int:
    exact = dict(found.places.group_by("window_start").agg(pl.col("exact").sum()).iter_rows())
    return sum(exact.get(window, 0) != truth.get(window, 0) for window in exact.keys() | truth.keys())


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Yield a list whose only element is, in the end, the peak in GB of the memory of a process and its workers."""
    peak, left = [0.0], threading.Event()

    def watch() -> None:
        while not left.wait(0.5):
            peak[0] = max(peak[0], round(_resident(psutil.Process(pid)) / 1e9, 2))

    watcher = threading.Thread(target=watch, name="memory")
    watcher.start()
    try:
        yield peak
    finally:
        left.set()
        watcher.join()


def _resident(process: psutil.Process) -> int:
    """Return its bytes, and those of its Python workers; a page that several have counts once."""
    total = process.memory_full_info().pss
    for member in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += member.memory_full_info().pss if member.name().startswith("python") else 0
    return int(total)


if __name__ == "__main__":
    typer.run(main)
