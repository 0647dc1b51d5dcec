"""How fast the job of the partition windows is: `python -m bench.partition_windows_job`.

A bounded run on a real broker and cluster, over events of partitions that keep step. The windows are held against the
library's before the figure is shown. Start-up is included.
"""

import json
import random
from collections.abc import Iterator
from typing import Annotated

import typer
from kafka import KafkaProducer

from local.console import Json, console, errors
from local.stack import Stack, temporary_stack
from local.submission import PROJECT, package_jobs
from local.topics import read_topic
from tests.partition_windows_plane import Operation, Result, of_library, records

WINDOW = 60_000
LANES = 4
TOPICS = {"window-events": LANES, "window-watermarks": 1, "windows": 1, "windows-refused": 1}
JOB = PROJECT / "jobs" / "partition_windows.py"


def main(
    events: Annotated[int, typer.Option(min=1)] = 500_000,
    partitions: Annotated[int, typer.Option(min=1)] = 1_000,
    parallelism: Annotated[int, typer.Option(min=1)] = 2,
    as_json: Json = False,
) -> None:
    """Measure, and print events per second."""
    operations = list(_operations(events, partitions))
    with errors.status("Starting Kafka and Flink") as spinner, temporary_stack(parallelism) as stack:
        stack.broker.create_topics(TOPICS)
        spinner.update(f"Sending {events:,} events")
        _send(stack, operations)
        spinner.update("Running the job")
        seconds = _run(stack, parallelism)
        result = _published(stack)
    exact = result == of_library(operations, WINDOW)
    figures = {"events": events, "partitions": partitions, "seconds": round(seconds, 1), "exact": exact}
    figures["events_per_second"] = round(events / seconds)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        console.print(", ".join(f"{name} {figure:,}" for name, figure in figures.items()))
    raise typer.Exit(0 if exact else 1)


def _operations(events: int, partitions: int) -> Iterator[Operation]:
    """Ten minutes of events, a second apart and up to twenty seconds disordered; progress stated every ten seconds."""
    chance, names = random.Random(0), [f"partition-{number}" for number in range(partitions)]
    yield from (("add", name, 0) for name in names)
    for number in range(events):
        now = number * 600_000 // events
        yield "ingest", names[number % partitions], max(now - chance.randrange(20_000), 0)
        if number % (events // 60 or 1) == 0:
            yield from (("advance", name, now - 20_000) for name in names)
    yield from (("advance", name, 660_000) for name in names)


def _send(stack: Stack, operations: list[Operation]) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.broker.bootstrap_servers, enable_idempotence=True, linger_ms=50)
    for is_event, lane, key, value in records(operations, LANES):
        topic, partition = ("window-events", lane) if is_event else ("window-watermarks", 0)
        producer.send(topic, value, key, partition=partition)
    producer.flush()
    producer.close()


def _run(stack: Stack, parallelism: int) -> float:
    broker = ["--bootstrap-servers", stack.broker.bootstrap_servers]
    arguments = [*broker, "--bounded", "--parallelism", str(parallelism)]
    job_id = stack.cluster.submit(JOB, arguments, package_jobs(stack.home / "windows.zip"))
    stack.cluster.await_job(job_id)
    return stack.cluster.job_seconds(job_id)


def _published(stack: Stack) -> Result:
    connection, result = {"bootstrap_servers": stack.broker.bootstrap_servers}, Result(WINDOW)
    for record in read_topic(connection, "windows"):
        result.add_window(record.value or b"")
    for record in read_topic(connection, "windows-refused"):
        result.add_refused(record.value or b"", record.headers["clickproof.reason"].decode())
    return result


if __name__ == "__main__":
    typer.run(main)
