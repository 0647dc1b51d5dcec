"""How long after a window's end its counts are committed, live: `python -m bench.latency --rate 5000 --minutes 4`.

Clicks are sent at an even rate, each at its own event time; a `read_committed` reader notes when each count becomes
visible. The windows are recounted before the figures are shown and written to latency.json. Times are wall-clock
seconds on this machine; broker, cluster and sender share it, with the settings of `clickproof up`.
"""

import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from kafka import KafkaConsumer
from rich.table import Table

from bench.results import RESULTS, write
from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.console import Json, console, errors
from local.deployment import Deployment, deployment
from local.generator import generate
from local.processes import await_until
from local.published import await_committed, decided_clicks, published_windows, recount_topics
from local.stack import PARTITIONS, temporary_stack
from local.traffic import MINUTE, Traffic

PATIENCE = 120.0
POLL_MS = 50


class Arrivals:
    """Notes, in a thread of its own, when each count became visible: (its window's end, now), epoch milliseconds."""

    def __init__(self, connection: dict[str, Any], topic: str) -> None:
        self.seen: list[tuple[int, float]] = []
        self._consumer = KafkaConsumer(
            topic,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            **connection,
        )
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="arrivals")

    def __enter__(self) -> "Arrivals":
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._left.set()
        self._thread.join()
        self._consumer.close()

    def latencies(self, until: int) -> list[float]:
        """Return the seconds from the window's end to the count, for windows that ended by then (epoch ms)."""
        return [(seen - end) / 1000 for end, seen in self.seen if end <= until]

    def _watch(self) -> None:
        while not self._left.is_set():
            for batch in self._consumer.poll(POLL_MS).values():
                now = time.time() * 1000
                self.seen += [(json.loads(record.value)["window_end"], now) for record in batch]


def main(
    rate: Annotated[list[int], typer.Option(min=1, help="Clicks per second; once for each rate.")] = [5_000],  # noqa: B006
    minutes: Annotated[int, typer.Option(min=1, help="Windows to measure.")] = 4,
    out: Annotated[Path, typer.Option(help="Directory of latency.json.")] = RESULTS,
    as_json: Json = False,
) -> None:
    """Measure the latency from a window's end to its committed counts, at each rate on a stack of its own."""
    rows = [_measure(each, minutes) for each in rate]
    write(rows, out / "latency.json")
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        table = Table(*rows[0], title="From a window's end to its committed counts")
        for row in rows:
            table.add_row(*(str(cell) for cell in row.values()))
        console.print(table)
    raise typer.Exit(0 if all(row["exact"] for row in rows) else 1)


def _measure(rate: int, minutes: int) -> dict[str, object]:
    """Return the figures of a live run, and whether its counts were those of the recount."""
    with (
        errors.status("Starting Kafka and Flink") as spinner,
        temporary_stack() as stack,
        deployment(stack, "latency", PARTITIONS, []) as job,
    ):
        stack.cluster.await_running(job.submit())
        with Arrivals(job.connection, job.topics.counts) as arrivals:
            end = _send_live(job, rate, minutes, stack.home / "live.jsonl", spinner.update)
        spinner.update("Recounting every click")
        await_committed(job.connection, job.topics)
        published, problems = recount_topics(job.connection, job.topics)
    latencies = arrivals.latencies(end)
    cuts = statistics.quantiles(latencies, n=100)
    figures: dict[str, object] = {
        "rate": rate,
        "minutes": minutes,
        "counts": len(latencies),
        "p50_s": round(cuts[49], 2),
    }
    figures |= {"p99_s": round(cuts[98], 2), "max_s": round(max(latencies), 2), "exact": not problems}
    return figures | published.terms


def _send_live(job: Deployment, rate: int, minutes: int, file: Path, on_step: Callable[[str], None]) -> int:
    """Send one minute more than is measured, each click when it happens; return the end of the last one measured.

    Returns when all windows are published: the last one is closed by heartbeats, and does not count.
    """
    clicks = rate * 60 * (minutes + 1)
    lead = 20_000 + clicks // 50  # milliseconds, to generate them in
    start = (int(time.time() * 1000) + lead) // MINUTE * MINUTE + MINUTE
    end = start + minutes * MINUTE
    on_step(f"Generating {clicks:,} clicks")
    generate(Traffic(clicks, minutes=minutes + 1, start=start), file)
    on_step("Waiting for the first minute")
    await_until(lambda: time.time() * 1000 >= start, "Waiting for the first minute", PATIENCE + lead / 1000)
    on_step(f"Sending {rate:,} clicks/s for {minutes + 1} minutes")
    send_lines(file, job.topics.clicks, job.connection, rate)
    await_until(
        lambda: decided_clicks(job.connection, job.topics.ledger) >= clicks, "Deciding the last clicks", PATIENCE
    )
    KafkaTopic(job.topics.clicks, job.connection).send(range(PARTITIONS), end + 2 * MINUTE)
    await_until(
        lambda: end in published_windows(job.connection, job.topics.top), "Publishing the last window", PATIENCE
    )
    return end


if __name__ == "__main__":
    typer.run(main)
