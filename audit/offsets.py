"""Which records of a span Kafka has, or had: what an archive of it must hold."""

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from audit.proof import Expected, Gap
from local.processes import LocalError


def offsets_between(connection: dict[str, Any], topic: str, since: int, until: int) -> Expected:
    """Return the offsets of the records that Kafka still has, with timestamps in [since, until), epoch ms."""
    consumer = _consumer(connection)
    try:
        partitions = _partitions(consumer, topic)
        ends = consumer.end_offsets(partitions)
        first = consumer.offsets_for_times(dict.fromkeys(partitions, since))
        after = consumer.offsets_for_times(dict.fromkeys(partitions, until))
        return {
            (topic, partition.partition): (
                first[partition].offset if first[partition] else ends[partition],
                after[partition].offset if after[partition] else ends[partition],
            )
            for partition in partitions
        }
    finally:
        consumer.close()


def expired(connection: dict[str, Any], topic: str, since: int) -> list[Gap]:
    """Return the records that Kafka has deleted already, if some of them may be younger than `since` (epoch ms)."""
    consumer = _consumer(connection)
    try:
        partitions = _partitions(consumer, topic)
        beginnings = consumer.beginning_offsets(partitions)
        first = consumer.offsets_for_times(dict.fromkeys(partitions, since))
        return [
            Gap(topic, partition.partition, 0, beginnings[partition] - 1)
            for partition in partitions
            if beginnings[partition] and (not first[partition] or first[partition].offset == beginnings[partition])
        ]
    finally:
        consumer.close()


def _consumer(connection: dict[str, Any]) -> KafkaConsumer:
    try:
        return KafkaConsumer(enable_auto_commit=False, **connection)
    except KafkaError as error:
        raise LocalError(f"No Kafka broker answers at {connection['bootstrap_servers']}: clickproof up.") from error


def _partitions(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise LocalError(f"There is no topic {topic}: clickproof up creates it.")
    return [TopicPartition(topic, number) for number in sorted(numbers)]
