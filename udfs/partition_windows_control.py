"""The control plane of the partition windows: all statements in one order, and what follows for the buckets."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import polars as pl

from udfs.packing import RECORD
from udfs.partition_windows import Reason
from udfs.partition_windows_progress import NEVER, Progress
from udfs.partition_windows_records import ADD, ADVANCE, CLOSED, IDLE, ORDER, RETIRE, bucket_of, packed

Order = tuple[str, str | None, int | None, int | None, int | None]
"""As `ORDER` has it."""


class Rejected(NamedTuple):
    """A record that is no valid event or statement, or an event refused; `record` as `RECORD` has it."""

    record: tuple[Any, ...]
    reason: str


class ControlPlane:
    """Takes statements in the order they were made, and turns them into orders for `buckets` buckets.

    A window's end that the global watermark has passed is told to all buckets, after the statements that made it pass.
    """

    def __init__(self, window: int, buckets: int, progress: Progress) -> None:
        """`window` in milliseconds."""
        self.progress = progress
        self._window = window
        self._buckets = buckets
        self._orders: defaultdict[int, list[Order]] = defaultdict(list)

    def take(self, statements: pl.DataFrame) -> list[Rejected]:
        """Follow a batch of statements (schema `STATEMENT`); returns those that cannot be followed."""
        rows = zip(
            *(statements[name].to_list() for name in ("op", "name", "time", "lane", "after", "reason")), strict=True
        )
        records = zip(*(statements[name].to_list() for name in RECORD), strict=True)
        rejected = []
        for (op, name, time, *place, invalid), record in zip(rows, records, strict=True):
            reason = invalid or self._follow(op, name, time, *place)
            if reason is not None:
                rejected.append(Rejected(record, reason))
        return rejected

    def expire(self) -> None:
        """Find out who has fallen silent."""
        before = self._closed()
        for name in self.progress.expire():
            self._tell(str(name), IDLE)
        self._tell_closed(before)

    def orders(self) -> Iterator[tuple[int, bytes]]:
        """Return what is to be told since the last call: (bucket, packed `ORDER`)."""
        for bucket, orders in self._orders.items():
            yield bucket, packed(pl.DataFrame(orders, schema=ORDER, orient="row"))
        self._orders.clear()

    def _follow(self, op: str, name: str, time: int | None, *place: int | None) -> str | None:
        self.expire()
        before = self._closed()
        if op == ADD:
            if self.progress.add(name):
                self._tell(name, ADD, before, *place)
        elif name not in self.progress:
            return Reason.UNKNOWN_PARTITION
        elif op == ADVANCE and time is not None:
            self.progress.advance(name, time)
            self._tell(name, ADVANCE, time, *place)
        else:
            self.progress.retire(name)
            self._tell(name, RETIRE, None, *place)
        self._tell_closed(before)
        return None

    def _closed(self) -> int | None:
        """Return where the last window ends that the global watermark has passed."""
        watermark = self.progress.global_watermark
        return None if watermark == NEVER else int(watermark) // self._window * self._window

    def _tell(
        self, name: str, op: str, time: int | None = None, lane: int | None = None, after: int | None = None
    ) -> None:
        self._orders[bucket_of(name, self._buckets)].append((op, name, time, lane, after))

    def _tell_closed(self, before: int | None) -> None:
        closed = self._closed()
        if closed != before:
            for bucket in range(self._buckets):
                self._orders[bucket].append((CLOSED, None, closed, None, None))
