"""The same operations for the library and for what runs in the job: two topics, read at any speed."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from udfs.partition_windows import EventIngestor

WINDOW = 4
"""Milliseconds: few enough that events, watermarks and boundaries meet."""
Operation = tuple[str, str, int]
"""(ingest | advance | add | retire, partition, timestamp)."""


@dataclass
class Result:
    """What came out: for each partition its windows, in order, and how often each event was refused for a reason."""

    window: int = WINDOW
    windows: dict[str, list[tuple[int, list[int]]]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)

    @property
    def refused_events(self) -> list[int]:
        return sorted(event for event, _ in self.refused.elements())

    def add_window(self, value: bytes) -> None:
        window = json.loads(value)
        assert window["window_end"] == window["window_start"] + self.window
        self.windows[window["partition"]].append((window["window_start"], [e["data"] for e in window["events"]]))

    def add_refused(self, value: bytes, reason: str) -> None:
        self.refused[json.loads(value)["data"], reason] += 1


@dataclass
class Topics:
    """What the sources send, keys and values: events, whose offsets are their places, and statements."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    statements: list[tuple[bytes, bytes]] = field(default_factory=list)


def lane_of(name: str, lanes: int) -> int:
    return crc32(name.encode()) % lanes


def records(operations: list[Operation], lanes: int = 1) -> Iterator[tuple[bool, int, bytes, bytes]]:
    """What the sources send, in order: (whether it is an event, its Kafka partition, key, value).

    An event's data is its number; `lanes`: the partitions of the events' topic, which nothing else is sent to.
    """
    offsets, last, events = [0] * lanes, {}, 0
    for op, name, timestamp in operations:
        lane = lane_of(name, lanes)
        if op == "ingest":
            fields = {"partition": name, "timestamp": timestamp, "data": events}
            last[name], events = offsets[lane], events + 1
            offsets[lane] += 1
        else:
            after = {"partition": lane, "offset": last.get(name, -1)}
            fields = {"op": op, "partition": name, "timestamp": timestamp, "after": after}
        yield op == "ingest", lane, name.encode(), json.dumps(fields).encode()


def some_operations(seed: int, partitions: int, count: int, step: int) -> list[Operation]:
    """Partitions of very different speed, some events late; now and then all reach a common time."""
    chance = random.Random(seed)
    marks = {f"p{number}": 0 for number in range(partitions)}
    names, operations = list(marks), [("add", name, 0) for name in marks]
    for number in range(1, count + 1):
        name = names[min(int(chance.expovariate(5 / partitions)), partitions - 1)]
        if chance.random() < 0.7:
            operations.append(("ingest", name, marks[name] + chance.randrange(-step, 4 * step)))
        else:
            marks[name] += chance.randrange(step)
            operations.append(("advance", name, marks[name]))
        if number % (count // 4) == 0:
            marks = {name: max(mark, 1_000 * step * number // count) for name, mark in marks.items()}
            operations += [("advance", name, mark) for name, mark in marks.items()]
    return operations


def topics(operations: list[Operation]) -> Topics:
    """The same as two topics, the events of all partitions in one partition of theirs."""
    sent = Topics()
    for is_event, _, key, value in records(operations):
        (sent.events if is_event else sent.statements).append((key, value))
    return sent


def of_library(operations: list[Operation], size: int = WINDOW) -> Result:
    """What the library does with them."""
    ingestor, result, events = EventIngestor([], size), Result(size), 0
    known: set[str] = set()
    for op, name, timestamp in operations:
        if op == "ingest":
            refused = ingestor.ingest(name, timestamp, events)
            result.refused.update([(events, refused.reason.value)] if refused else [])
            events += 1
        elif op == "add":
            ingestor.add_partition(name)
            known.add(name)
        elif name in known and op == "advance":
            ingestor.advance_watermark(name, timestamp)
        elif name in known:
            ingestor.retire_partition(name)
            known.remove(name)
    for window in ingestor.emit_events():
        by_partition: dict[Any, list[int]] = defaultdict(list)
        for event in window.events:
            by_partition[event.partition].append(event.data)
        for name, data in by_partition.items():
            result.windows[name].append((window.start, data))
    return result
