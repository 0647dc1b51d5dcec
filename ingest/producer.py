"""Sends a file's lines to Kafka: the exact bytes, in order within each partition, every acknowledgement checked."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from ingest.record_batches import abandon, send_batch
from ingest.refusals import why_not_connected

MAX_RECORD_BYTES = 32 * 1024 * 1024  # the local broker's limit
MAX_LINE_BYTES = MAX_RECORD_BYTES - 1024  # less than what Kafka adds
GROUP_LINES = 8_000
GROUP_BYTES = 512 * 1024  # half of what a broker takes as a batch by default
BYTES_ON_WAY = 16 * 1024 * 1024
GRACE = 10.0  # seconds: the producer's own timeout, with its better message, comes first
READ_BYTES = 1024 * 1024


class ProduceError(Exception):
    """The lines could not all be sent; the message says why, and what to do."""


def read_lines(path: Path) -> Iterator[bytes]:
    r"""Yield the lines of a file without their b"\n", the only separator; memory holds one line.

    An empty line is a line; a last one without b"\n" counts too. Raises ProduceError, naming the line, when one is
    larger than a record may be.
    """
    with path.open("rb", buffering=READ_BYTES) as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            content = line.removesuffix(b"\n")
            if len(content) > MAX_LINE_BYTES:
                raise ProduceError(
                    f"Line {number} of {path} is too long for Kafka (32 MiB with its overhead): remove it."
                )
            yield content


def send_lines(
    path: Path,
    topic: str,
    connection: dict[str, Any],
    rate: float | None = None,
    on_progress: Callable[[int], None] | None = None,
    partitions: Sequence[int] | None = None,
    timeout: float = 60.0,
) -> int:
    """Send the file's lines to the topic's partitions in turn (to `partitions` only, if given); return their number.

    `connection`: kafka-python's `bootstrap_servers` and security options. `rate`: lines per second at most.
    `on_progress` gets the number of lines sent so far. A broker that is away is waited for, `timeout` seconds at
    most. Raises ProduceError; lines sent before it stay in the topic.
    """
    producer = _connect(connection, timeout)
    try:
        sending = _Sending(producer, topic, _partitions(producer, topic, partitions, timeout), timeout)
        for group in _groups(path, rate):
            sending.send(group)
            if on_progress:
                on_progress(sending.lines)
        sending.confirm(0)
        return sending.lines
    except KafkaError as error:
        raise ProduceError(
            f"Sending {path} to {topic} failed ({error}): see the broker's log, then try again."
        ) from error
    finally:
        abandon(producer)


def _connect(connection: dict[str, Any], timeout: float) -> KafkaProducer:
    """An idempotent producer, which keeps the order in each partition through retries."""
    milliseconds = int(timeout * 1000)
    try:
        return KafkaProducer(
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_RECORD_BYTES,
            bootstrap_timeout_ms=milliseconds,
            max_block_ms=milliseconds,
            delivery_timeout_ms=milliseconds,
            request_timeout_ms=min(milliseconds * 9 // 10, 30_000),
            reconnect_backoff_max_ms=1000,
            metrics_enabled=False,
            allow_auto_create_topics=False,
            **connection,
        )
    except KafkaError as error:
        raise ProduceError(why_not_connected(connection)) from error


def _partitions(producer: KafkaProducer, topic: str, wanted: Sequence[int] | None, timeout: float) -> list[int]:
    """The partitions to send to, in order."""
    try:
        present = producer.partitions_for(topic)
    except KafkaTimeoutError as error:
        raise ProduceError(f"Topic {topic} was not found in {timeout:g} s: create it, or check its name.") from error
    if missing := set(wanted or ()) - present:
        raise ProduceError(f"Topic {topic} has no partition {min(missing)}: it has {len(present)}, counted from 0.")
    return sorted(wanted or present)


def _groups(path: Path, rate: float | None) -> Iterator[list[bytes]]:
    """The file's lines in groups to be sent at once: large ones, or some twenty a second at a given rate."""
    if rate is None:
        return _grouped(read_lines(path), GROUP_LINES)
    return _paced(_grouped(read_lines(path), max(1, min(GROUP_LINES, int(rate / 20)))), rate)


def _grouped(lines: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """The lines in groups of `most` lines, or GROUP_BYTES, or one longer line."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and (len(group) == most or size + len(line) > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield group


def _paced(groups: Iterable[list[bytes]], rate: float) -> Iterator[list[bytes]]:
    """The groups, at most `rate` lines a second on average."""
    start, lines = time.monotonic(), 0
    for group in groups:
        time.sleep(max(start + lines / rate - time.monotonic(), 0))
        yield group
        lines += len(group)


class _Sending:
    """What is on its way: a bounded number of bytes, every batch's acknowledgement waited for."""

    def __init__(self, producer: KafkaProducer, topic: str, partitions: Sequence[int], timeout: float) -> None:
        self.producer = producer
        self.topic = topic
        self.partitions = partitions
        self.timeout = timeout
        self.lines = 0
        self.bytes_on_way = 0
        self.unconfirmed: deque[tuple[Any, int]] = deque()  # (future, bytes)

    def send(self, group: Sequence[bytes]) -> None:
        """Deal the lines out to the partitions, going on where the last group ended; all with one record timestamp.

        So the lines' order is that of timestamp, offset and partition.
        """
        width, now = len(self.partitions), int(time.time() * 1000)
        for place in range(min(width, len(group))):
            share = group[place::width]
            partition = self.partitions[(self.lines + place) % width]
            future = send_batch(self.producer, self.topic, partition, share, now)
            size = sum(map(len, share))
            self.unconfirmed.append((future, size))
            self.bytes_on_way += size
        self.lines += len(group)
        self.confirm(BYTES_ON_WAY)

    def confirm(self, allowed: int) -> None:
        """Wait until fewer bytes than `allowed`, or none, are on their way; raise a failed batch's KafkaError."""
        while self.unconfirmed and self.bytes_on_way >= allowed:
            future, size = self.unconfirmed.popleft()
            future.get(self.timeout + GRACE)
            self.bytes_on_way -= size
