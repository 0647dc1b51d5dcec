"""Sends heartbeats into quiet partitions, so that their watermarks, and with them the last windows, move on.

A partition that got no record for one whole interval gets one heartbeat (`udfs.heartbeats`) an interval until it gets
records again. Heartbeats go through the partitions themselves: while the broker is away there are none, so nothing
comes out late for an outage. The time in them is this machine's: its clock must be right.
"""

import argparse
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from udfs.heartbeats import HEARTBEAT_KEY

TIMEOUT_MS = 6_000  # of the broker's answers; kafka-python takes whole milliseconds only
log = logging.getLogger("clickproof.heartbeat")


class Topic(Protocol):
    """The topic whose partitions are kept moving; every method raises KafkaError while the broker is away."""

    def end_offsets(self) -> dict[int, int]:
        """Return each partition's next offset."""

    def send(self, partitions: Iterable[int], timestamp: int) -> None:
        """Send one heartbeat of that time (epoch milliseconds) to each; return when they have arrived."""


class Heartbeats:
    """Remembers where each partition ended at the last look, and sends to those that have not moved since."""

    def __init__(self, topic: Topic, clock: Callable[[], int]) -> None:
        """`clock`: epoch milliseconds."""
        self.topic = topic
        self.clock = clock
        self.ends: dict[int, int] = {}  # where a partition still ends if it gets no record but ours

    def look(self) -> list[int]:
        """Send one heartbeat to every partition that got no record since the last look; return those partitions.

        An error makes the next look the first: after an outage the records held up by it come before any heartbeat.
        """
        before, self.ends = self.ends, {}
        now, ends = self.clock(), self.topic.end_offsets()
        quiet = [partition for partition, end in ends.items() if before.get(partition) == end]
        self.topic.send(quiet, now)
        self.ends = ends | {partition: ends[partition] + 1 for partition in quiet}
        return quiet


def keep_beating(heartbeats: Heartbeats, wait: Callable[[], bool]) -> None:
    """Look until `wait`, which lasts an interval, returns true; log one line for each outage and one for its end."""
    away = False
    while not wait():
        try:
            heartbeats.look()
        except KafkaError as error:
            if not away:
                log.warning("No heartbeats: Kafka does not answer (%s).", error)
            away = True
        else:
            if away:
                log.info("Kafka answers again.")
            away = False


class KafkaTopic:
    """A topic of a Kafka cluster; connects when first used."""

    def __init__(self, name: str, connection: dict[str, Any]) -> None:
        """`connection`: kafka-python's `bootstrap_servers` and security options."""
        self.name = name
        timeouts = {"request_timeout_ms": TIMEOUT_MS, "bootstrap_timeout_ms": TIMEOUT_MS}
        self.options = connection | timeouts | {"reconnect_backoff_max_ms": 1000, "allow_auto_create_topics": False}
        self.consumer: KafkaConsumer = None
        self.producer: KafkaProducer = None

    def end_offsets(self) -> dict[int, int]:
        """Return each partition's next offset."""
        self.consumer = self.consumer or KafkaConsumer(**self.options)
        numbers = self.consumer.partitions_for_topic(self.name)
        if not numbers:
            raise UnknownTopicOrPartitionError(f"no topic {self.name}")
        ends = self.consumer.end_offsets([TopicPartition(self.name, number) for number in numbers])
        return {partition.partition: end for partition, end in ends.items()}

    def send(self, partitions: Iterable[int], timestamp: int) -> None:
        """Send one heartbeat to each partition; one that is held up keeps its time, and so can do no harm."""
        self.producer = self.producer or self._connect()
        beat = {"key": HEARTBEAT_KEY, "value": None, "timestamp_ms": timestamp}
        for future in [self.producer.send(self.name, partition=partition, **beat) for partition in partitions]:
            future.get(TIMEOUT_MS / 1000)

    def _connect(self) -> KafkaProducer:
        """A producer without idempotence: a heartbeat may well arrive twice."""
        deadline = {"delivery_timeout_ms": TIMEOUT_MS, "max_block_ms": TIMEOUT_MS}
        options = self.options | deadline | {"request_timeout_ms": TIMEOUT_MS // 2}
        return KafkaProducer(acks="all", enable_idempotence=False, **options)


def main() -> None:
    """Send heartbeats until SIGTERM or SIGINT."""
    options = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    topic = KafkaTopic(options.topic, _connection(options))
    keep_beating(Heartbeats(topic, lambda: time.time_ns() // 1_000_000), lambda: stop.wait(options.interval))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ingest.heartbeat", description=main.__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", default="clicks")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds")
    parser.add_argument("--client-config", type=Path, help="JSON file with kafka-python's security options")
    return parser.parse_args()


def _connection(options: argparse.Namespace) -> dict[str, Any]:
    security = json.loads(options.client_config.read_text()) if options.client_config else {}
    return {"bootstrap_servers": options.bootstrap_servers, **security}


if __name__ == "__main__":
    main()
