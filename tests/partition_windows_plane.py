"""The same operations for the library and for what runs in the job: two topics, read at any speed."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from udfs.partition_windows import EventIngestor

WINDOW = 4
"""Milliseconds: few enough that events, watermarks and boundaries meet."""
Operation = tuple[str, str, int]
"""(ingest | advance | add | retire, partition, timestamp)."""


@dataclass
class Result:
    """What came out: for each partition its windows, in order, and how often each event was refused for a reason."""

    windows: dict[str, list[tuple[int, list[int]]]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)

    @property
    def refused_events(self) -> list[int]:
        return sorted(event for event, _ in self.refused.elements())

    def add_window(self, value: bytes) -> None:
        window = json.loads(value)
        assert window["window_end"] == window["window_start"] + WINDOW
        self.windows[window["partition"]].append((window["window_start"], [e["data"] for e in window["events"]]))

    def add_refused(self, value: bytes, reason: str) -> None:
        self.refused[json.loads(value)["data"], reason] += 1


@dataclass
class Topics:
    """What the sources send, keys and values: events, whose offsets are their places, and statements."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    statements: list[tuple[bytes, bytes]] = field(default_factory=list)


def topics(operations: list[Operation]) -> Topics:
    """The events' data are their offsets: the events of all partitions lie in one partition of the topic."""
    sent, last = Topics(), {}
    for op, name, timestamp in operations:
        statement = {
            "op": op,
            "partition": name,
            "timestamp": timestamp,
            "after": {"partition": 0, "offset": last.get(name, -1)},
        }
        if op == "ingest":
            last[name] = len(sent.events)
            event = {"partition": name, "timestamp": timestamp, "data": last[name]}
            sent.events.append((name.encode(), json.dumps(event).encode()))
        else:
            sent.statements.append((name.encode(), json.dumps(statement).encode()))
    return sent


def of_library(operations: list[Operation]) -> Result:
    """What the library does with them."""
    ingestor, result, events = EventIngestor([], WINDOW), Result(), 0
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
        by_partition = defaultdict(list)
        for event in window.events:
            by_partition[event.partition].append(event.data)
        for name, data in by_partition.items():
            result.windows[name].append((window.start, data))
    return result
