"""How fast `EventIngestor` is, next to a sorted list and bytewax: `python -m bench.partition_windows`.

One process, the same events, and rounds that alternate between the systems, so that a slow moment of the machine meets
all of them. The numbers of windows must agree. bytewax (`uv sync --group bench`) guesses its watermark from the events:
a peer in putting them into windows; without it, its row is left out.
"""

import importlib.util
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, NamedTuple

import typer
from rich.table import Table

from local.console import Json, console, errors
from tests.partition_windows_model import SortedListModel
from udfs.partition_windows import EventIngestor

WINDOW = 60
SPREAD = 30
"""An event is at most so far behind the latest of its partition: less than a window."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Event(NamedTuple):
    """An event, and what its partition can state after it."""

    partition: int
    timestamp: int
    data: int
    watermark: int | None


def main(
    events: Annotated[int, typer.Option(min=1, help="In each round.")] = 200_000,
    partitions: Annotated[int, typer.Option(min=1)] = 100,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    as_json: Json = False,
) -> None:
    """Measure, and print events per second as the median of the rounds."""
    traffic = list(_traffic(events, partitions))
    systems: dict[str, Callable[[], int]] = {
        "EventIngestor": partial(_library, traffic, partitions),
        "sorted list": partial(_sorted_list, traffic, partitions),
    }
    if importlib.util.find_spec("bytewax"):
        systems["bytewax"] = partial(_bytewax, traffic)
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(rounds):
        errors.print(f"Round {number + 1} of {rounds}", style="dim")
        if len(windows := {_timed(run, seconds[name]) for name, run in systems.items()}) != 1:
            raise SystemExit(f"The systems made different numbers of windows: {sorted(windows)}.")
    _show({name: events / statistics.median(taken) for name, taken in seconds.items()}, as_json)


def _timed(run: Callable[[], int], seconds: list[float]) -> int:
    start = time.perf_counter()
    windows = run()
    seconds.append(time.perf_counter() - start)
    return windows


def _traffic(count: int, partitions: int) -> Iterator[Event]:
    """Yield events of partitions that keep step; each states its progress every tenth event, all at the end."""
    chance = random.Random(0)
    for number in range(count):
        latest = number // 100  # a hundred events to a unit of time
        timestamp, states = latest - chance.randrange(min(SPREAD, latest + 1)), (number // partitions) % 10 == 0
        yield Event(number % partitions, timestamp, number, latest - SPREAD if states else None)


def _library(traffic: list[Event], partitions: int) -> int:
    ingestor, windows = EventIngestor(partitions, WINDOW), 0
    for partition, timestamp, data, watermark in traffic:
        ingestor.ingest(partition, timestamp, data)
        if watermark is not None:
            ingestor.advance_watermark(partition, watermark)
            windows += len(ingestor.emit_events())
    for partition in range(partitions):
        ingestor.advance_watermark(partition, len(traffic))
    return windows + len(ingestor.emit_events())


def _sorted_list(traffic: list[Event], partitions: int) -> int:
    model, windows = SortedListModel(range(partitions), WINDOW), 0
    for partition, timestamp, data, watermark in traffic:
        model.ingest(partition, timestamp, data)
        if watermark is not None:
            model.advance(partition, watermark)
            windows += len(model.emit())
    for partition in range(partitions):
        model.advance(partition, len(traffic))
    return windows + len(model.emit())


def _bytewax(traffic: list[Event]) -> int:
    import bytewax.operators as op
    import bytewax.operators.windowing as win
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    out: list[object] = []
    flow = Dataflow("windows")
    clock = win.EventClock(
        lambda event: EPOCH + timedelta(seconds=event.timestamp), wait_for_system_duration=timedelta(seconds=SPREAD)
    )
    windower = win.TumblingWindower(length=timedelta(seconds=WINDOW), align_to=EPOCH)
    keyed = op.key_on("key", op.input("in", flow, TestingSource(traffic, batch_size=1000)), lambda _: "all")
    op.output("out", win.collect_window("window", keyed, clock, windower).down, TestingSink(out))
    run_main(flow)
    return len(out)


def _show(rates: dict[str, float], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: round(rate) for name, rate in rates.items()}))
        return
    table = Table("system", "events/s", "EventIngestor is", title="Tumbling windows by stated watermarks, one process")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rates['EventIngestor'] / rate:.2f} times as fast")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
