"""The same counts in bytewax: a logic for each identity, tumbling windows, recovery on. A process for each worker.

An event clock is kept for each ad: bytewax has no watermark of a partition, nor of the stream. System time would move
it too, and make clicks late when the machine is slow: here event time alone does.
"""

import json
import socket
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.operators.windowing import EventClock, TumblingWindower, count_window
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from identity import identity
from workers import Progress, Task, run_workers

Click = tuple[str, int]  # ad, click_timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
HORIZON = timedelta(minutes=10)
OUT_OF_ORDERNESS = timedelta(seconds=5)
CHECKPOINTS = timedelta(seconds=10)
BATCH = 250  # clicks of a partition at a time: fewer than by default, so that the partitions are read in step


class FirstOfItsKind(StatefulBatchLogic[Click, Click, datetime]):  # type: ignore[misc]
    """Passes the first click of an identity on, and forgets the identity in the end."""

    def __init__(self, until: datetime | None) -> None:
        """`until`: when it is forgotten, if it is known already."""
        self.until = until

    def on_batch(self, values: list[Click]) -> tuple[Iterable[Click], bool]:
        """Pass on a new one."""
        if self.until:
            return (), StatefulBatchLogic.RETAIN
        self.until = datetime.now(UTC) + HORIZON
        return values[:1], StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[Click], bool]:
        """Forget it."""
        return (), StatefulBatchLogic.DISCARD

    def notify_at(self) -> datetime | None:
        """Return when that is."""
        return self.until

    def snapshot(self) -> datetime:
        """Return the state."""
        return self.until or datetime.now(UTC)


def parse(value: bytes) -> tuple[str, Click]:
    """Return a click by its identity."""
    click = orjson.loads(value)
    return identity(click), (click["ad_id"], click["click_timestamp"])


def publishable(count: tuple[str, tuple[int, int]]) -> KafkaSinkMessage[None, bytes]:
    """Return a count as JSON."""
    ad, (window, clicks) = count
    return KafkaSinkMessage(None, orjson.dumps({"ad_id": ad, "window_start": window * MINUTE, "clicks": clicks}))


def dataflow(task: Task, progress: Progress) -> Dataflow:
    """Return the dataflow of one process."""
    brokers, read = [task["bootstrap_servers"]], 0

    def parsed(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[tuple[str, Click]]:
        nonlocal read
        read += len(messages)
        progress.tell(read)
        return [parse(message.value) for message in messages]

    clock = EventClock(
        lambda click: EPOCH + timedelta(milliseconds=click[1]),
        OUT_OF_ORDERNESS,
        now_getter=lambda: EPOCH,
        to_system_utc=lambda _: None,
    )
    windows = TumblingWindower(timedelta(milliseconds=MINUTE), EPOCH)
    flow = Dataflow("clicks")
    messages = op.input("read", flow, KafkaSource(brokers, [task["topic"]], tail=False, batch_size=BATCH))
    clicks = op.flat_map_batch("parse", messages, parsed)
    unique = op.key_rm("unkey", op.stateful_batch("dedupe", clicks, FirstOfItsKind))
    counts = count_window("count", unique, clock, windows, lambda click: click[0])
    op.output("publish", op.map("write", counts.down, publishable), KafkaSink(brokers, task["counts_topic"]))
    return flow


def work(task: Task, number: int, progress: Progress) -> None:
    """Run one process of the cluster."""
    recovery = RecoveryConfig(recovery_directory(task))
    cluster_main(
        dataflow(task, progress), task["addresses"], number, epoch_interval=CHECKPOINTS, recovery_config=recovery
    )


def free_addresses(processes: int) -> list[str]:
    """Return where the processes meet; one alone needs no other."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(processes)] if processes > 1 else []
    addresses = ["{}:{}".format(*probe.getsockname()) for probe in probes]
    for probe in probes:
        probe.close()
    return addresses


def recovery_directory(task: Task) -> Path:
    """Return where the snapshots are."""
    return Path(task["home"]) / "recovery"


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    task["addresses"] = free_addresses(task["parallelism"])
    recovery_directory(task).mkdir()
    init_db_dir(recovery_directory(task), task["parallelism"])
    run_workers(work, task)
