"""The global watermark: the least of what partitions have stated of their own progress.

A watermark `t` of a partition says that no event of it with a timestamp below `t` comes any more.
"""

import heapq
import math
import time
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from typing import Any

Partition = Hashable
NEVER = -math.inf
"""The watermark of a partition that has stated nothing."""


class UnknownPartitionError(ValueError):
    """A statement about a partition that was never added, or is retired."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(f"unknown partition {partition!r}: add it first")
        self.partition = partition


class _Stated:
    """What one partition has stated; `counts`: it holds the others back, `queued`: it is in the heap."""

    __slots__ = ("counts", "queued", "watermark")

    def __init__(self, watermark: float) -> None:
        self.watermark = watermark
        self.counts = True
        self.queued = False


class Progress:
    """Partitions, their watermarks, and the global one, which never goes back.

    A partition that has stated nothing for `idle_timeout` seconds of `clock` is idle, and holds the others back no
    more, until it states something again. Without partitions that count, the global watermark stays where it is.

    The heap has one entry for each partition: a lower bound of its watermark, put right when it comes to the top. So a
    statement costs O(log partitions), and memory does not grow with statements.
    """

    def __init__(self, idle_timeout: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        if idle_timeout is not None and idle_timeout <= 0:
            raise ValueError("idle_timeout must be longer than nothing")
        self.global_watermark: float = NEVER
        self._idle_timeout = idle_timeout
        self._clock = clock
        self._partitions: dict[Partition, _Stated] = {}
        self._heap: list[tuple[float, int, _Stated]] = []
        self._numbers = count()
        self._heard: dict[Partition, float] = {}  # the longest silent first; only those that count

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._partitions

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._partitions)

    def watermark(self, partition: Partition) -> float:
        """Return what the partition has stated, `NEVER` if nothing; raises `UnknownPartitionError`."""
        return self._stated(partition).watermark

    def add(self, partition: Partition) -> bool:
        """Let a partition take part from now on; returns False when it does already."""
        if partition in self._partitions:
            return False
        self._count(partition, self._partitions.setdefault(partition, _Stated(NEVER)))
        return True

    def retire(self, partition: Partition) -> None:
        """Let a partition hold nothing back any more, and forget it; raises `UnknownPartitionError`."""
        self._stated(partition).counts = False
        del self._partitions[partition]
        self._heard.pop(partition, None)
        if len(self._heap) > 2 * len(self._partitions) + 16:  # what is retired behind a slow one
            self._heap = [entry for entry in self._heap if entry[2].counts]
            heapq.heapify(self._heap)
        self._settle()

    def advance(self, partition: Partition, watermark: int) -> bool:
        """Take a partition's statement; one that is not higher is ignored, save as a sign of life, and gives False."""
        stated = self._stated(partition)
        risen = watermark > stated.watermark
        if risen:
            stated.watermark = watermark
        if not stated.counts or self._idle_timeout is not None:
            self._count(partition, stated)
        if self._heap[0][2] is stated:
            self._settle()
        return risen

    def expire(self) -> list[Partition]:
        """Find the partitions that have become idle by now, the longest silent first."""
        idle: list[Partition] = []
        if self._idle_timeout is None:
            return idle
        heard_by = self._clock() - self._idle_timeout
        while (silent := next(iter(self._heard), None)) is not None and self._heard[silent] <= heard_by:
            del self._heard[silent]
            self._partitions[silent].counts = False
            self._settle()
            idle.append(silent)
        return idle

    def state(self) -> dict[str, Any]:
        """Return what `restored` takes: the watermarks (None: never) of the partitions that count, and of idle ones."""
        watermarks: dict[bool, dict[Partition, float | None]] = {True: {}, False: {}}
        for partition, stated in self._partitions.items():
            watermarks[stated.counts][partition] = _finite(stated.watermark)
        return {"global": _finite(self.global_watermark), "counting": watermarks[True], "idle": watermarks[False]}

    @classmethod
    def restored(
        cls, state: dict[str, Any], idle_timeout: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> "Progress":
        """Return the progress with that state; a partition's silence begins anew."""
        progress = cls(idle_timeout, clock)
        progress.global_watermark = _or_never(state["global"])
        for partition, watermark in state["counting"].items():
            progress._count(partition, progress._partitions.setdefault(partition, _Stated(_or_never(watermark))))
        for partition, watermark in state["idle"].items():
            progress._partitions[partition] = idle = _Stated(_or_never(watermark))
            idle.counts = False
        return progress

    def _stated(self, partition: Partition) -> _Stated:
        stated = self._partitions.get(partition)
        if stated is None:
            raise UnknownPartitionError(partition)
        return stated

    def _count(self, partition: Partition, stated: _Stated) -> None:
        """Let it hold the others back, and note when it was heard."""
        stated.counts = True
        if not stated.queued:
            stated.queued = True
            heapq.heappush(self._heap, (stated.watermark, next(self._numbers), stated))
        if self._idle_timeout is not None:
            self._heard.pop(partition, None)
            self._heard[partition] = self._clock()

    def _settle(self) -> None:
        """Bring the partition that holds the others back to the top, and the global watermark up to it."""
        heap = self._heap
        while heap:
            bound, number, stated = heap[0]
            if not stated.counts:
                heapq.heappop(heap)
                stated.queued = False
            elif bound < stated.watermark:
                heapq.heapreplace(heap, (stated.watermark, number, stated))
            else:
                self.global_watermark = max(self.global_watermark, bound)
                return


def _finite(watermark: float) -> float | None:
    return None if watermark == NEVER else watermark


def _or_never(watermark: float | None) -> float:
    return NEVER if watermark is None else watermark
