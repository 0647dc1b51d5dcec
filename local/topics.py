"""Reads whole topics, as a transactional reader sees them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError


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
        while unfinished := [partition for partition, end in ends.items() if consumer.position(partition) < end]:
            yield from _poll(consumer, unfinished, ends, timeout)
    finally:
        consumer.close()


def _assign(consumer: KafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    """Set the consumer to the beginning of all partitions; return their ends."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnknownTopicOrPartitionError(f"there is no topic {topic}")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    return dict(consumer.end_offsets(partitions))


def _poll(
    consumer: KafkaConsumer, unfinished: list[TopicPartition], ends: dict[TopicPartition, int], timeout: float
) -> Iterator[Record]:
    """Yield what one fetch brings; transaction markers move the position without bringing a record."""
    before = [consumer.position(partition) for partition in unfinished]
    records = consumer.poll(timeout_ms=int(timeout * 1000))
    if not records and before == [consumer.position(partition) for partition in unfinished]:
        raise KafkaTimeoutError(f"Nothing more of {unfinished[0].topic} came in {timeout:g} s")
    for partition, batch in records.items():
        for record in batch:
            if record.offset < ends[partition]:
                headers = dict(record.headers)
                yield Record(partition.partition, record.offset, record.timestamp, record.key, record.value, headers)
