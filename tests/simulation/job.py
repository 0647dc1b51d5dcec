"""The job of the simulation: what is in Kafka, what is in checkpoints, and what dies in a crash."""

from collections import deque
from dataclasses import dataclass, field

from tests.simulation.model import BEFORE_ALL, Record
from tests.simulation.plane import (
    BUCKETS,
    Barrier,
    Keyed,
    Parcel,
    Source,
    Subtask,
    Watermark,
    bucketed,
    copied,
    fresh,
)

PARTITIONS = 3
SOURCES = 2
END_OF_INPUT = 2**63 - 1


@dataclass
class Checkpoint:
    """Offsets and keyed state; complete when every subtask has handed its part in."""

    offsets: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    keys: dict[int, Keyed] = field(default_factory=dict)


class Job:
    """Every method is one step; which comes next is for the caller to choose."""

    def __init__(self) -> None:
        self.log: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.highest = BEFORE_ALL  # watermark that any subtask had, in the life the last checkpoint remembers
        self.completed: deque[tuple[Checkpoint, int]] = deque([(Checkpoint(keys=fresh()), BEFORE_ALL)], maxlen=3)
        self.restore(2, 0)

    def restore(self, subtasks: int, most_in_memory: int) -> None:
        """Forget all but the log and the last checkpoint; go on from it, with so many subtasks, each so bounded."""
        checkpoint, self.highest = self.completed[-1]
        keys = copied(checkpoint.keys)
        self.sources = [
            Source({p: checkpoint.offsets[p] for p in range(PARTITIONS) if p % SOURCES == source})
            for source in range(SOURCES)
        ]
        self.subtasks = [
            Subtask({key: keys[key] for key in range(BUCKETS) if key % subtasks == number}, SOURCES, most_in_memory)
            for number in range(subtasks)
        ]
        self.pending: Checkpoint | None = None

    def append(self, partition: int, time: int, ad: str, identity: bytes | None) -> None:
        """Add a record to the log."""
        self.log[partition].append(Record(partition, len(self.log[partition]), time, ad, identity))

    def read(self, partition: int, most: int) -> None:
        """Have its source read from a partition; one without records becomes idle."""
        source = self.sources[partition % SOURCES]
        at = source.offsets[partition]
        records = self.log[partition][at : at + most]
        source.read(partition, records)
        if not records:
            source.idle.add(partition)

    def hand_on(self, number: int) -> None:
        """Hand on a source's batch, and the watermark that waited for it."""
        source = self.sources[number]
        for parcel in bucketed(source.batch):
            self.subtasks[parcel.bucket % len(self.subtasks)].channels[number].append(parcel)
        source.batch = []
        self._send(number, Watermark(source.watermark))

    def deliver(self, subtask: int, channel: int, most: int) -> None:
        """Let a subtask take what waits in a channel, up to a barrier that is ahead of those of other channels."""
        task = self.subtasks[subtask % len(self.subtasks)]
        queue = task.channels[channel]
        while queue and most and channel not in task.aligned:
            most -= 1
            match queue.popleft():
                case Parcel() as parcel:
                    task.deliver(parcel, self.highest)
                case Watermark(at=at):
                    task.hear(channel, at)
                    self.highest = max(self.highest, task.watermark)
                    task.check_state(self.highest)
                case Barrier():
                    task.aligned.add(channel)
                    self._align(task)

    def trigger(self) -> None:
        """Begin a checkpoint, unless one is under way: each source finishes its batch and sends a barrier."""
        if self.pending is None:
            self.pending = Checkpoint()
            for number, source in enumerate(self.sources):
                self.hand_on(number)
                self.pending.offsets |= source.offsets
                self._send(number, Barrier())

    def settle(self) -> None:
        """Read all and deliver all: a checkpoint under way completes."""
        for partition in range(PARTITIONS):
            self.read(partition, len(self.log[partition]) or 1)
        for number in range(SOURCES):
            self.hand_on(number)
        self._deliver_all()

    def finish(self) -> None:
        """Come to the end of the input."""
        self.settle()
        for number in range(SOURCES):
            self._send(number, Watermark(END_OF_INPUT))
        self._deliver_all()

    def check_end(self) -> None:
        """See that every record was booked once, everything counted was published, and no state is left."""
        keys = [keyed for task in self.subtasks for keyed in task.keys.values()]
        records = [record for partition in self.log for record in partition]
        booked = [term.window for keyed in keys for term in keyed.book.terms]
        assert sorted(booked) == sorted(record.window for record in records)
        for keyed in keys:
            assert keyed.book.open == {}
            assert keyed.slices == {}
            assert keyed.timers == set()
            counted = sum(term.what == "counted" for term in keyed.book.terms)
            assert sum(keyed.book.published.values()) == counted

    def _deliver_all(self) -> None:
        for _ in range(SOURCES):  # a channel may wait for the other's barrier
            for subtask in range(len(self.subtasks)):
                for channel in range(SOURCES):
                    self.deliver(subtask, channel, 10**9)

    def _send(self, source: int, message: Watermark | Barrier) -> None:
        for task in self.subtasks:
            task.channels[source].append(message)

    def _align(self, task: Subtask) -> None:
        """With the barriers of all channels a subtask hands in its state; the last subtask completes the checkpoint."""
        if self.pending is None or len(task.aligned) < SOURCES:
            return
        task.aligned.clear()
        self.pending.keys |= copied(task.keys)
        if len(self.pending.keys) == BUCKETS:
            self.completed.append((self.pending, self.highest))
            self.pending = None
