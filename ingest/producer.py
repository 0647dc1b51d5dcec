"""Sends a file's lines to Kafka: the exact bytes, in order within each partition, every acknowledgement checked."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

MAX_LINE_BYTES = 32 * 1024 * 1024
RECORD_OVERHEAD = 1024  # more than Kafka adds to a value
BATCH_BYTES = 256 * 1024
IN_FLIGHT = 20_000  # records sent and not yet known to have arrived
READ_BYTES = 1024 * 1024
PROGRESS_LINES = 10_000


class ProduceError(Exception):
    """The lines could not all be sent; the message says why, and what to do."""


def read_lines(path: Path) -> Iterator[bytes]:
    r"""Yield the lines of a file without their b"\n", the only separator; memory holds one line.

    An empty line is a line; a last one without b"\n" counts too. Raises ProduceError, naming the line, when one is
    over 32 MiB.
    """
    with path.open("rb", buffering=READ_BYTES) as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            content = line.removesuffix(b"\n")
            if len(content) > MAX_LINE_BYTES:
                raise ProduceError(f"Line {number} of {path} is over 32 MiB: Kafka would not take it. Remove it.")
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
        targets = partitions or _partitions(producer, topic, timeout)
        lines = _paced(read_lines(path), rate) if rate else read_lines(path)
        return _send(producer, topic, lines, targets, on_progress or (lambda _: None), timeout)
    except KafkaError as error:
        raise ProduceError(
            f"Sending {path} to {topic} failed ({error}): see the broker's log, then try again."
        ) from error
    finally:
        producer.close(timeout=5)


def _connect(connection: dict[str, Any], timeout: float) -> KafkaProducer:
    """An idempotent producer, which keeps the order in each partition through retries."""
    try:
        return KafkaProducer(
            acks="all",
            enable_idempotence=True,
            batch_size=BATCH_BYTES,
            linger_ms=20,
            max_request_size=MAX_LINE_BYTES + RECORD_OVERHEAD,
            bootstrap_timeout_ms=timeout * 1000,
            max_block_ms=timeout * 1000,
            delivery_timeout_ms=timeout * 1000,
            request_timeout_ms=min(timeout, 30) * 900,
            metrics_enabled=False,
            **connection,
        )
    except KafkaError as error:
        servers = connection["bootstrap_servers"]
        raise ProduceError(f"No Kafka broker answers at {servers}: start it, or check the address.") from error


def _partitions(producer: KafkaProducer, topic: str, timeout: float) -> list[int]:
    """The topic's partitions in order."""
    try:
        return sorted(producer.partitions_for(topic))
    except KafkaTimeoutError as error:
        raise ProduceError(f"Topic {topic} was not found in {timeout:g} s: create it, or check its name.") from error


def _paced(lines: Iterable[bytes], rate: float) -> Iterator[bytes]:
    """The lines, at most `rate` of them a second on average."""
    start = time.monotonic()
    for number, line in enumerate(lines):
        ahead = start + number / rate - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
        yield line


def _send(
    producer: KafkaProducer,
    topic: str,
    lines: Iterable[bytes],
    targets: Sequence[int],
    on_progress: Callable[[int], None],
    timeout: float,
) -> int:
    """Send every line and wait until all have arrived; a failed one raises its KafkaError."""
    unconfirmed: deque[Any] = deque()
    sent = 0
    for sent, line in enumerate(lines, start=1):
        unconfirmed.append(producer.send(topic, line, partition=targets[(sent - 1) % len(targets)]))
        if len(unconfirmed) >= IN_FLIGHT:
            unconfirmed.popleft().get(timeout)
        if sent % PROGRESS_LINES == 0:
            on_progress(sent)
    producer.flush(timeout)
    for future in unconfirmed:
        future.get(timeout)
    on_progress(sent)
    return sent
