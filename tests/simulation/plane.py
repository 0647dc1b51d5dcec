"""The parts of a job in one process: sources, channels, keyed state and timers around the real `DedupeClicks`.

The one thing left out is the bytes of the parcels: what `udfs.packing` packs and unpacks is handed over as it is.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl

from tests.builders import NOON
from tests.simulation.model import BEFORE_ALL, HORIZON, OUT_OF_ORDERNESS, WINDOW, Book, Cell, Record, Term
from udfs import dedupe
from udfs.dedupe import DedupeClicks, DedupeRules
from udfs.dedupe_outputs import INVALID, LATE
from udfs.identity_table import halves
from udfs.packing import Clicks, Rejects, buckets_of

BUCKETS = 4


@dataclass(frozen=True)
class Parcel:
    """Records of one bucket, on their way."""

    bucket: int
    records: list[Record]


@dataclass(frozen=True)
class Watermark:
    """A channel's watermark; of an idle channel None."""

    at: int | None


@dataclass(frozen=True)
class Barrier:
    """The barrier of the checkpoint under way."""


@dataclass
class Keyed:
    """The keyed state of one bucket, and its book."""

    slices: dict[int, bytes]
    closed: int | None
    timers: set[int]
    book: Book


class Source:
    """Reads some partitions: a batch holds the watermark back until it is handed on."""

    def __init__(self, offsets: dict[int, int]) -> None:
        self.offsets = offsets
        self.batch: list[Record] = []
        self.highest = dict.fromkeys(offsets, BEFORE_ALL)
        self.idle: set[int] = set()

    def read(self, partition: int, records: list[Record]) -> None:
        """Take the partition's next records, if any, into the batch."""
        for record in records:
            self.idle.discard(partition)
            self.offsets[partition] = record.offset + 1
            if record.identity is not None:
                self.highest[partition] = max(self.highest[partition], record.time - OUT_OF_ORDERNESS)
        self.batch += records

    @property
    def watermark(self) -> int | None:
        """The least of its live partitions; None when all are idle."""
        live = [highest for partition, highest in self.highest.items() if partition not in self.idle]
        return min(live, default=None)


class Subtask:
    """One subtask of the dedupe: the operator, its keyed state and its timers, its channels."""

    def __init__(self, keys: dict[int, Keyed], channels: int, most_in_memory: int) -> None:
        self.most_in_memory = most_in_memory
        self.keys = keys
        self.channels: list[deque[Parcel | Watermark | Barrier]] = [deque() for _ in range(channels)]
        self.heard: list[int | None] = [BEFORE_ALL] * channels
        self.aligned: set[int] = set()
        self.watermark = BEFORE_ALL
        self.key = -1
        self.operator = DedupeClicks(DedupeRules(WINDOW, HORIZON, BUCKETS, most_in_memory))
        self.operator.open(self._runtime())

    def _runtime(self) -> Any:
        def kept() -> dict[int, bytes]:
            return self.keys[self.key].slices

        identities = SimpleNamespace(
            get=lambda at: kept()[at],
            put=lambda at, slice_: kept().__setitem__(at, slice_),
            remove=lambda at: kept().pop(at),
            items=lambda: list(kept().items()),
        )
        closed = SimpleNamespace(
            value=lambda: self.keys[self.key].closed, update=lambda at: setattr(self.keys[self.key], "closed", at)
        )
        state = {"get_map_state": lambda _: identities, "get_state": lambda _: closed}
        return SimpleNamespace(**state, get_metrics_group=_NoMetrics)

    def _context(self, key: int) -> Any:
        self.key = key
        timers = SimpleNamespace(
            current_watermark=lambda: self.watermark, register_event_time_timer=self.keys[key].timers.add
        )
        return SimpleNamespace(get_current_key=lambda: key, timer_service=lambda: timers)

    def deliver(self, parcel: Parcel, highest: int) -> None:
        """Have the parcel decided, and hold what comes out against the book; `highest` watermark of all subtasks."""
        with patch.object(dedupe, "unpack", _parts):
            out = list(self.operator.process_element(parcel.records, self._context(parcel.bucket)))
        aside = [each for each in out if isinstance(each, tuple)]
        rejected = {(row[-3], row[-2]): tag for tag, (rows,) in aside for row in rows}
        keyed, clicks = self.keys[parcel.bucket], Counter[Cell]()
        before = keyed.book
        for record in parcel.records:
            tag = rejected.pop((record.partition, record.offset), None)
            assert (tag is INVALID) == (record.identity is None), f"{record} went to {tag}"
            late = tag is LATE
            assert not late or record.window + WINDOW - 1 <= highest, f"{record} cannot be late"
            counted = keyed.book.counted
            keyed.book = keyed.book.decide(record, late)
            if keyed.book.counted != counted:
                clicks[record.window, record.ad] += 1
        assert rejected == {}, f"{rejected} was not in the parcel"
        assert self.operator._held() <= self.most_in_memory
        rows = [row for row in out if not isinstance(row, tuple)]
        _compare(rows, keyed.book.terms[len(before.terms) :], clicks)

    def hear(self, channel: int, watermark: int | None) -> None:
        """Take a channel's watermark; the subtask's is the least of the channels that are not idle."""
        self.heard[channel] = watermark
        live = [at for at in self.heard if at is not None]
        if live and min(live) > self.watermark:
            self.watermark = min(live)
            self._fire()

    def _fire(self) -> None:
        while due := [(at, key) for key, keyed in self.keys.items() for at in keyed.timers if at <= self.watermark]:
            at, key = min(due)
            self.keys[key].timers.discard(at)
            assert list(self.operator.on_timer(at, self._context(key))) == []
        for keyed in self.keys.values():
            keyed.book = keyed.book.advance(self.watermark)

    def check_state(self, highest: int) -> None:
        """See that nothing is held that has expired, and that timers are at ends of windows that come next.

        A bucket has one; a restored one may have another, until the watermark is as far as it was in the subtasks
        whose buckets meet here.
        """
        next_end = (max(highest, 0) + 1) // WINDOW * WINDOW + WINDOW - 1
        for key, keyed in self.keys.items():
            windows = {at // 2**32 * WINDOW for at in keyed.slices}
            assert all(start + HORIZON + WINDOW - 1 > self.watermark for start in windows), f"{windows} has expired"
            ends = [at for at in keyed.timers if self.watermark < at <= next_end and (at + 1) % WINDOW == 0]
            assert len(ends) == len(keyed.timers), f"bucket {key} has timers {keyed.timers}"


def bucketed(records: Iterable[Record]) -> Iterator[Parcel]:
    """The records by bucket, in the order they came; invalid ones by their offset."""
    by_bucket: dict[tuple[bool, int], list[Record]] = {}
    for record in records:
        bucket = int(buckets_of(record.identity, BUCKETS)[0]) if record.identity else record.offset % BUCKETS
        by_bucket.setdefault((record.identity is None, bucket), []).append(record)
    return (Parcel(bucket, some) for (_, bucket), some in by_bucket.items())


def copied(keys: dict[int, Keyed]) -> dict[int, Keyed]:
    """The state as a checkpoint keeps it; books are never changed, so they need no copy."""
    return {key: Keyed(dict(keyed.slices), keyed.closed, set(keyed.timers), keyed.book) for key, keyed in keys.items()}


def fresh() -> dict[int, Keyed]:
    """The state of a new job."""
    return {key: Keyed({}, None, set(), Book()) for key in range(BUCKETS)}


class _NoMetrics:
    """A metric group that keeps nothing."""

    def add_group(self, key: str, value: str) -> "_NoMetrics":
        return self

    def counter(self, name: str) -> Any:
        return SimpleNamespace(inc=lambda number=1: None)

    def gauge(self, name: str, value: Any) -> None:
        pass


class _Rejected(list[Record]):
    """Invalid records, as far as the dedupe looks at their columns."""

    def __getitem__(self, column: Any) -> Any:
        return np.full(len(self), NOON) if column == "timestamp" else pl.Series(["not_json"] * len(self))

    def iter_rows(self) -> Iterator[tuple[object, ...]]:
        return (("not_json", None, b"", record.partition, record.offset, NOON) for record in self)


def _parts(records: list[Record]) -> Iterator[Clicks | Rejects]:
    """What `udfs.packing.unpack` gives for a parcel of these records."""
    if records[0].identity is None:
        yield Rejects(_Rejected(records))  # type: ignore[arg-type]
        return
    for window, same in groupby(records, lambda record: record.window):
        some: Any = list(same)
        identities = halves(b"".join(record.identity for record in some))
        yield Clicks(window, identities, [record.ad for record in some], partial(_raw, some))


def _raw(records: list[Record]) -> Iterator[tuple[object, ...]]:
    return ((None, b"", record.partition, record.offset, NOON) for record in records)


def _compare(rows: list[Any], terms: Iterable[Term], clicks: Counter[Cell]) -> None:
    """Hold the operator's rows against the terms and the clicks that the books say."""
    said: list[tuple[int, str]] = []
    said_clicks: Counter[Cell] = Counter()
    for start, ads, raw, *numbers in rows:
        assert raw == sum(numbers), f"{raw} raw clicks are not {numbers}"
        for what, number in zip(("counted", "duplicate", "late", "invalid"), numbers, strict=True):
            said += [(start, what)] * number
        for ad, number in ads.items():
            said_clicks[start, ad] += number
    assert sorted(said) == sorted(terms), f"booked as {said}, not as {terms}"
    assert said_clicks == clicks, f"counted {said_clicks}, not {clicks}"
