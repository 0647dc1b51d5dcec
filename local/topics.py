"""Reads whole topics, as a transactional reader sees them, and waits until all of one can be read."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

from local.processes import await_until

COMMIT_TIMEOUT = 60.0
POLL_MS = 200  # a poll that brings nothing but markers waits so long


class Record(NamedTuple):
    """A Kafka record and where it stands; `timestamp` in epoch milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def read_topic(connection: dict[str, Any], topic: str, timeout: float = 60.0) -> Iterator[Record]:
    """Yield the committed records from the topic's beginning to where it ends now, in order within a partition.

    `connection`: kafka-python's `bootstrap_servers` and security options. The end is the last stable offset: what an
    open transaction holds back is not waited for. Raises KafkaError: UnknownTopicOrPartitionError without the topic,
    KafkaTimeoutError when nothing comes for `timeout` seconds.
    """
    consumer = KafkaConsumer(isolation_level="read_committed", enable_auto_commit=False, **connection)
    try:
        ends = _assign(consumer, topic)
        positions, moved = _positions(consumer, ends), time.monotonic()
        while any(positions[partition] < end for partition, end in ends.items()):
            yield from _poll(consumer, ends)
            before, positions = positions, _positions(consumer, ends)
            if positions != before:  # transaction markers move it without bringing a record
                moved = time.monotonic()
            elif time.monotonic() > moved + timeout:
                raise KafkaTimeoutError(f"nothing more of {topic} came in {timeout:g} s")
    finally:
        consumer.close()


def await_readable(connection: dict[str, Any], partitions: list[TopicPartition]) -> None:
    """Return when no transaction is open in the partitions: the broker ends them a moment after a job believes it.

    Raises LocalError when one stays open.
    """
    stable = KafkaConsumer(isolation_level="read_committed", **connection)
    written = KafkaConsumer(isolation_level="read_uncommitted", **connection)
    try:
        await_until(
            lambda: stable.end_offsets(partitions) == written.end_offsets(partitions),
            "Committing the results",
            COMMIT_TIMEOUT,
        )
    finally:
        stable.close()
        written.close()


def _assign(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    """Set the consumer to the beginning of all partitions; return their ends."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnknownTopicOrPartitionError(f"there is no topic {topic}")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    return dict(consumer.end_offsets(partitions))


def _positions(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    return {partition: consumer.position(partition) for partition in partitions}


def _poll(consumer: KafkaConsumer, ends: dict[TopicPartition, int]) -> Iterator[Record]:
    """Yield what one fetch brings, up to the ends."""
    for partition, batch in consumer.poll(POLL_MS).items():
        for record in batch:
            if record.offset < ends[partition]:
                place = (partition.partition, record.offset, record.timestamp)
                yield Record(*place, record.key, record.value, dict(record.headers))
