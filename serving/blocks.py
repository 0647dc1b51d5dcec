"""Whole record batches of a topic as one value each, at a seventh of what kafka-python costs for each record.

Fetching, checksums, transactions (`read_committed`) and positions stay those of kafka-python's consumer: only the way
through a batch's records is another. That part of kafka-python 3 is not public; tests/e2e/test_loader.py holds it.
"""

from collections.abc import Collection
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

NEWLINE = b"\n"
LAST = 0x7F  # a varint's byte above it says that another one follows


def record_values(records: bytes, count: int) -> list[bytes]:
    """Return the values of `count` records as they lie in a batch, without those that have none (tombstones).

    A record: length, attributes, timestamp delta, offset delta, key, value, headers; see `kafka.record`.
    """
    values: list[bytes] = []
    position = 0
    for _ in range(count):
        length, start = _length(records, position)
        position = start + 1
        while records[position] > LAST:  # timestamp delta
            position += 1
        position += 1
        while records[position] > LAST:  # offset delta
            position += 1
        key, position = _length(records, position + 1)
        size, position = _length(records, position + key if key > 0 else position)
        if size >= 0:
            values.append(records[position : position + size])
        position = start + length
    return values


def _length(records: bytes, position: int) -> tuple[int, int]:
    """Return the varint there, and where it ends; most are lengths of one or two bytes."""
    first = records[position]
    if first <= LAST:
        return first >> 1 if not first & 1 else -(first >> 1) - 1, position + 1
    second = records[position + 1]
    if second <= LAST and not first & 1:
        return (first & LAST | second << 7) >> 1, position + 2
    value, end = decode_varint(records, position)
    return int(value), int(end)


class _Block(DefaultRecordBatch):  # type: ignore[misc]
    """A batch that is one record: its values as lines, at its last offset. Markers of transactions are none."""

    __slots__ = ("_read",)

    def __init__(self, buffer: Any) -> None:
        super().__init__(buffer)
        self._read = False

    def __next__(self) -> Any:
        if self.is_control_batch:
            return super().__next__()
        if self._read:
            raise StopIteration
        self._read = True
        lines = NEWLINE.join(record_values(bytes(self._buffer[self._pos :]), self.records_count))
        return DefaultRecord(len(lines), self.last_offset, self.max_timestamp, 0, None, lines, [])


class _Blocks(MemoryRecords):  # type: ignore[misc]
    """What a fetch brought, with `_Block` for each batch."""

    __slots__ = ()

    def next_batch(self) -> Any:
        batch = super().next_batch()
        return _Block(batch._buffer) if isinstance(batch, DefaultRecordBatch) else batch


def read_in_blocks(consumer: KafkaConsumer, topics: Collection[str]) -> None:
    """Let a new consumer return the records of these topics as blocks: records whose value is a batch's values.

    The values are JSON on one line each, which none may break. A block whose batch begins before the position that was
    sought holds the earlier values too.
    """

    class Records(Fetcher.PartitionRecords):  # type: ignore[misc]
        def __init__(self, offset: int, partition: TopicPartition, records: MemoryRecords, *rest: Any, **more: Any):
            blocks = _Blocks(records._buffer) if partition.topic in topics else records
            super().__init__(offset, partition, blocks, *rest, **more)

    consumer._fetcher.PartitionRecords = Records
