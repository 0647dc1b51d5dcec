"""Events of partitions that state their own progress, in tumbling windows: `EventIngestor`.

    ingestor = EventIngestor(["a", "b"], window_size=60)
    ingestor.ingest("a", 0, "first")
    ingestor.advance_watermark("a", 60)
    ingestor.advance_watermark("b", 75)
    ingestor.emit_events()  # [Window(start=0, end=60, events=(Event(partition='a', timestamp=0, data='first'),))]

Timestamps are whole numbers in the unit of `window_size`. Each behaviour is said in docs/partition-windows.md.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from udfs.partition_windows_progress import NEVER, Partition, Progress, UnknownPartitionError

__all__ = ["Event", "EventIngestor", "Reason", "Refused", "UnknownPartitionError", "Window"]

MOST_EMPTY_WINDOWS = 10_000
"""So many windows without events come out of one `emit_events` at most: a watermark may jump over any number."""


class Reason(StrEnum):
    """Why an event was refused; the first two make it late."""

    BEHIND_WATERMARK = "behind_watermark"
    """Its own partition had stated that it comes no more."""
    WINDOW_CLOSED = "window_closed"
    """The global watermark has passed its window, without this partition: it was not yet added, or idle."""
    UNKNOWN_PARTITION = "unknown_partition"
    """Its partition was never added, or is retired."""
    BUFFER_FULL = "buffer_full"
    """Its partition has `max_pending` events that are not emitted; it may be offered again."""

    @property
    def late(self) -> bool:
        """Whether the event came too late."""
        return self in (Reason.BEHIND_WATERMARK, Reason.WINDOW_CLOSED)


class Event(NamedTuple):
    """What a partition delivered."""

    partition: Partition
    timestamp: int
    data: Any


class Refused(NamedTuple):
    """An event handed back, and why."""

    event: Event
    reason: Reason


class Window(NamedTuple):
    """The events with `start` <= timestamp < `end`: by timestamp, of equal ones by arrival."""

    start: int
    end: int
    events: tuple[Event, ...]


class EventIngestor:
    """Takes events in any order, and emits them window by window as the global watermark passes.

    `partitions`: those there are at the start, by name, or their number for 0, 1, 2 and so on. `empty_windows`: emit
    the windows without events, too, from the first one with events on. `max_pending`: how many events of one partition
    may wait to be emitted. `idle_timeout`: see `Progress`; in seconds of `clock`.

    An event costs O(log n) at most: it is appended to its window, and sorted there once, when the window is emitted.
    What is held is what is not emitted.
    """

    def __init__(
        self,
        partitions: Iterable[Partition] | int,
        window_size: int = 60,
        *,
        empty_windows: bool = False,
        max_pending: int | None = None,
        idle_timeout: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = _positive(window_size, "window_size")
        self._max_pending = None if max_pending is None else _positive(max_pending, "max_pending")
        self._progress = Progress(idle_timeout, clock)
        self._empty_windows = empty_windows
        self._windows: dict[int, list[Event]] = {}  # by start
        self._starts: list[int] = []  # the same, as a heap
        self._pending: Counter[Partition] = Counter()
        self._emitted_to: int | None = None  # where the last window ended
        for partition in range(partitions) if isinstance(partitions, int) else partitions:
            self.add_partition(partition)

    @property
    def global_watermark(self) -> int | None:
        """The highest that the least watermark of all partitions ever was; None before each has stated one."""
        self._progress.expire()
        watermark = self._progress.global_watermark
        return None if watermark == NEVER else int(watermark)

    @property
    def pending(self) -> int:
        """How many events wait to be emitted."""
        return self._pending.total()

    def add_partition(self, partition: Partition) -> bool:
        """Let a partition take part from now on, and hold windows back; returns False when it does already."""
        self._progress.expire()
        return self._progress.add(partition)

    def retire_partition(self, partition: Partition) -> None:
        """Let a partition hold nothing back any more; its events that wait are still emitted.

        Raises `UnknownPartitionError`.
        """
        self._progress.expire()
        self._progress.retire(partition)

    def ingest(self, partition: Partition, timestamp: int, data: Any) -> Refused | None:
        """Take an event; returns it with the reason when it is refused, else None."""
        start = _whole(timestamp) // self._size * self._size
        event = Event(partition, timestamp, data)
        reason = self._objection(event, start)
        if reason is not None:
            return Refused(event, reason)
        self._pending[partition] += 1
        window = self._windows.get(start)
        if window is None:
            self._windows[start] = [event]
            heapq.heappush(self._starts, start)
        else:
            window.append(event)
        return None

    def advance_watermark(self, partition: Partition, timestamp: int) -> bool:
        """State that no event of the partition below `timestamp` comes any more.

        A watermark never goes back: one that is not higher than the last is ignored, and gives False. Raises
        `UnknownPartitionError`.
        """
        self._progress.expire()
        return self._progress.advance(partition, _whole(timestamp))

    def emit_events(self) -> list[Window]:
        """Return the windows that the global watermark has passed since the last call, in the order of time."""
        self._progress.expire()
        return list(self._passed())

    def _objection(self, event: Event, start: int) -> Reason | None:
        progress, partition = self._progress, event.partition
        progress.expire()
        if partition not in progress:
            return Reason.UNKNOWN_PARTITION
        if event.timestamp < progress.watermark(partition):
            return Reason.BEHIND_WATERMARK
        if start + self._size <= progress.global_watermark:
            return Reason.WINDOW_CLOSED
        if self._max_pending is not None and self._pending[partition] >= self._max_pending:
            return Reason.BUFFER_FULL
        return None

    def _passed(self) -> Iterator[Window]:
        empty = 0
        while (start := self._next_start()) is not None and start + self._size <= self._progress.global_watermark:
            empty += start not in self._windows
            if empty > MOST_EMPTY_WINDOWS:
                return
            yield self._emit(start)

    def _next_start(self) -> int | None:
        if self._empty_windows and self._emitted_to is not None:
            return self._emitted_to
        return self._starts[0] if self._starts else None

    def _emit(self, start: int) -> Window:
        events = self._windows.pop(start, [])
        if events:
            heapq.heappop(self._starts)  # it is the first
            events.sort(key=attrgetter("timestamp"))
            self._release(events)
        self._emitted_to = start + self._size
        return Window(start, self._emitted_to, tuple(events))

    def _release(self, events: list[Event]) -> None:
        for partition, emitted in Counter(event.partition for event in events).items():
            self._pending[partition] -= emitted
            if not self._pending[partition]:
                del self._pending[partition]


def _whole(timestamp: int) -> int:
    if type(timestamp) is not int:
        raise TypeError(f"a timestamp is an int, not {timestamp!r}: choose a unit in which it is whole")
    return timestamp


def _positive(number: int, name: str) -> int:
    if type(number) is not int or number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {number!r}")
    return number
