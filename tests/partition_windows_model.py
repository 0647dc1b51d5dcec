"""What `EventIngestor` must do, in the plainest words: a sorted list, and a minimum taken anew at each statement."""

from bisect import insort
from collections.abc import Hashable, Iterable
from itertools import count, groupby
from math import inf
from typing import Any


class SortedListModel:
    def __init__(self, partitions: Iterable[Hashable], size: int = 60) -> None:
        self.marks, self.size, self.passed = dict.fromkeys(partitions, -inf), size, -inf
        self.events: list[tuple[int, int, Hashable, Any]] = []
        self.arrivals = count()

    def end(self, timestamp: int) -> int:
        return timestamp // self.size * self.size + self.size

    def ingest(self, partition: Hashable, timestamp: int, data: Any) -> bool:
        if timestamp < self.marks.get(partition, inf) or self.end(timestamp) <= self.passed:
            return False
        insort(self.events, (timestamp, next(self.arrivals), partition, data))
        return True

    def advance(self, partition: Hashable, timestamp: int) -> None:
        self.marks[partition] = max(self.marks[partition], timestamp)
        self.passed = max(self.passed, min(self.marks.values()))

    def add(self, partition: Hashable) -> None:
        self.marks.setdefault(partition, -inf)

    def retire(self, partition: Hashable) -> None:
        del self.marks[partition]
        self.passed = max(self.passed, min(self.marks.values(), default=-inf))

    def emit(self) -> list[tuple[int, list[tuple[Hashable, int, Any]]]]:
        ready = [event for event in self.events if self.end(event[0]) <= self.passed]
        self.events = self.events[len(ready) :]
        return [
            (end - self.size, [(partition, timestamp, data) for timestamp, _, partition, data in events])
            for end, events in groupby(ready, lambda event: self.end(event[0]))
        ]
