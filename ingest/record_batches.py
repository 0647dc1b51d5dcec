"""Whole lists of values as Kafka record batches, at a fortieth of what `KafkaProducer.send()` costs a record.

Retries, idempotence, order and acknowledgement stay those of kafka-python's producer: a batch made here goes into its
accumulator as if `send()` had filled it. That part of kafka-python 3 is not public; tests/e2e/test_ingest.py holds it.
"""

from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import encode_varint

MAGIC = 2  # the record batch format since Kafka 0.11
NO_COMPRESSION = 0


class _Varints(dict[int, bytes]):
    """Integers as zigzag varints, each encoded once."""

    def __missing__(self, number: int) -> bytes:
        encoded = bytearray()
        encode_varint(number, encoded.append)
        self[number] = bytes(encoded)
        return self[number]


_VARINT = _Varints()


def encode_records(values: Sequence[bytes]) -> bytes:
    """The body of a record batch: for each value length, attributes, timestamp delta, offset delta, no key, value."""
    parts: list[bytes] = []
    for offset, value in enumerate(values):
        head = b"\0\0" + _VARINT[offset] + b"\x01" + _VARINT[len(value)]
        parts += (_VARINT[len(head) + len(value) + 1], head, value, b"\0")
    return b"".join(parts)


def _records(values: Sequence[bytes], timestamp: int) -> MemoryRecordsBuilder:
    """The values as one batch's records, filled as kafka-python would have filled it."""
    records = MemoryRecordsBuilder(MAGIC, NO_COMPRESSION, batch_size=0)  # size 0: full, so it is sent at once
    batch = records._builder
    batch._buffer += encode_records(values)
    batch._first_timestamp = batch._max_timestamp = timestamp
    batch._last_offset = len(values) - 1
    batch._num_records = records._next_offset = len(values)
    return records


def send_batch(producer: KafkaProducer, topic: str, partition: int, values: Sequence[bytes], timestamp: int) -> Any:
    """Hand the values (at least one) to the producer as a batch, its record timestamp in epoch milliseconds.

    Returns the future of its acknowledgement, whose `get(timeout)` raises KafkaError.
    """
    target = TopicPartition(topic, partition)
    batch = ProducerBatch(target, _records(values, timestamp))
    accumulator = producer._accumulator
    with accumulator._tp_lock(target):
        accumulator._batches[target].append(batch)
        accumulator._incomplete.add(batch)
    producer._sender.wakeup()
    return FutureRecordMetadata(batch.produce_future, 0, timestamp, None, -1, -1, -1)


def abandon(producer: KafkaProducer) -> None:
    """Close the producer without sending what is left, for which `close()` would wait and then raise."""
    producer._sender.force_close()
    producer._sender.join()
    producer.close()
