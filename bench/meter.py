"""Measures a system while it runs: how many clicks it has read, and what CPU time its processes have taken."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

EVERY = 1.0  # seconds
WARM, END = 0.4, 0.95  # of the clicks: between them the rate is steady


@dataclass(frozen=True)
class Sample:
    """At `time` (seconds) so many `records` had been read, and `cpu` seconds taken; `python` bytes were resident then.

    The bytes are those of the Python processes alone.
    """

    time: float
    records: int
    cpu: float
    python: int


@dataclass
class Meter:
    """The samples of one run."""

    samples: list[Sample] = field(default_factory=list)

    def steady(self, clicks: int) -> tuple[float, float] | None:
        """Return clicks per second and CPU seconds per million clicks, warm-up and end left out.

        Of a run that was cut off: from the time on when half of what it read had been read.
        """
        most = min(clicks, max((sample.records for sample in self.samples), default=0))
        begin, end = (WARM, END) if most >= clicks * END else (0.5, 1.0)
        chosen = [sample for sample in self.samples if begin * most <= sample.records <= end * most]
        moved = (
            [chosen[0]] + [now for before, now in pairwise(chosen) if now.records > before.records] if chosen else []
        )
        if len(moved) < 2:
            return None
        first, last = moved[0], moved[-1]
        records = last.records - first.records
        return records / (last.time - first.time), (last.cpu - first.cpu) / records * 1e6


@contextmanager
def metered(pid: int, records: Callable[[], int]) -> Iterator[Meter]:
    """Sample what a process and its children take, and what `records` returns, until the context ends."""
    meter, left, known = Meter(), threading.Event(), {}

    def taken() -> tuple[float, int]:
        """The CPU time of all processes there were, and the memory of the Python ones there are."""
        root, python = psutil.Process(pid), 0
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                known[process.pid] = times.user + times.system
                python += process.memory_info().rss if process.name().startswith("python") else 0
        return sum(known.values()), python

    def watch() -> None:
        while not left.wait(EVERY):
            with suppress(psutil.NoSuchProcess):
                meter.samples.append(Sample(time.monotonic(), records(), *taken()))

    watcher = threading.Thread(target=watch, name="meter")
    watcher.start()
    try:
        yield meter
    finally:
        left.set()
        watcher.join()
