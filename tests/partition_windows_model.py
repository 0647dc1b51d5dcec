"""What `EventIngestor` must do, in the plainest words: a sorted list, and a minimum taken anew at each statement."""

from bisect import insort
from itertools import count, groupby
from math import inf


class SortedListModel:
    def __init__(self, partitions, size=60):
        self.marks, self.size, self.passed = dict.fromkeys(partitions, -inf), size, -inf
        self.events, self.arrivals = [], count()

    def end(self, timestamp):
        return timestamp // self.size * self.size + self.size

    def ingest(self, partition, timestamp, data):
        if timestamp < self.marks.get(partition, inf) or self.end(timestamp) <= self.passed:
            return False
        insort(self.events, (timestamp, next(self.arrivals), partition, data))
        return True

    def advance(self, partition, timestamp):
        self.marks[partition] = max(self.marks[partition], timestamp)
        self.passed = max(self.passed, min(self.marks.values()))

    def add(self, partition):
        self.marks.setdefault(partition, -inf)

    def retire(self, partition):
        del self.marks[partition]
        self.passed = max(self.passed, min(self.marks.values(), default=-inf))

    def emit(self):
        ready = [event for event in self.events if self.end(event[0]) <= self.passed]
        self.events = self.events[len(ready) :]
        return [
            (end - self.size, [(partition, timestamp, data) for timestamp, _, partition, data in events])
            for end, events in groupby(ready, lambda event: self.end(event[0]))
        ]
