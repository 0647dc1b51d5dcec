"""One bucket of partitions: holds their events until the global watermark has passed, and publishes them in order."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import polars as pl

from udfs.packing import RECORD
from udfs.partition_windows import Reason
from udfs.partition_windows_book import Book, WindowRules
from udfs.partition_windows_control import Rejected
from udfs.partition_windows_members import RETIRED, Member
from udfs.partition_windows_progress import NEVER
from udfs.partition_windows_records import ADD, ADVANCE, CLOSED, EVENT, IDLE, packed, unpacked

_WAIT = "wait"
"""The verdict on an event whose partition may still be added, for the first time or again after it was retired: the two
topics are read at different speed."""
_DEADLINES = 4
"""So many fall into one `unknown_timeout`, however many events wait."""


class Published(NamedTuple):
    """A partition's events in one window, as JSON."""

    name: str
    value: bytes


class Slices(Protocol):
    """Where events lie: a map from numbers to packed frames, such as Flink's."""

    def get(self, key: int) -> bytes: ...  # noqa: D102

    def put(self, key: int, value: bytes) -> None: ...  # noqa: D102

    def remove(self, key: int) -> None: ...  # noqa: D102


class Bucket:
    """Takes the orders of the control plane and the events of its partitions; returns what is published or refused.

    Memory holds the book; events are read back a window at a time.
    """

    def __init__(self, rules: WindowRules, book: Book, slices: Slices) -> None:
        self._rules = rules
        self.book = book
        self._slices = slices
        self._added = False  # since the events that wait for that were judged

    def follow(self, orders: pl.DataFrame) -> Iterator[Published | Rejected]:
        """Follow the control plane (schema `ORDER`), in its order."""
        for op, name, time, lane, after in orders.iter_rows():
            if op == CLOSED:
                self.book.passed = time
                yield from self._publish()
            elif op == ADD:
                self._added = True
                member = self.book.members.setdefault(name, Member())
                member.add(lane, after, NEVER if time is None else time)
            else:
                member = self.book.members[name]
                member.idle = op == IDLE
                if op != IDLE:
                    member.advance(lane, after, time if op == ADVANCE else RETIRED)
        yield from self._publish()

    def take(self, events: pl.DataFrame, now: int) -> Iterator[Published | Rejected]:
        """Take events (schema `EVENT`), and refuse records that are none; `now` in epoch ms."""
        yield from self._judge(events, now)
        yield from self._publish()

    def wait_anew(self, now: int) -> None:
        """Give what waits its whole time again: while the job was down, no statement was read; `now` in epoch ms."""
        self.book.waiting = dict.fromkeys(self.book.waiting, self._deadline(now))

    def give_up(self, now: int) -> Iterator[Rejected]:
        """Refuse the events whose partition was not added in time; `now` in epoch ms."""
        for slice_ in [number for number, deadline in self.book.waiting.items() if deadline <= now]:
            events = self._drop_waiting(slice_)
            reasons = [reason or Reason.UNKNOWN_PARTITION for reason in self._objections(events)]
            yield from _rejected(events.with_columns(pl.Series("reason", reasons, pl.String)))

    def _judge(self, events: pl.DataFrame, now: int) -> Iterator[Rejected]:
        names = ("reason", "name", "event_time", "partition", "offset", "value")
        verdicts = [*map(self._verdict, *(events[name].to_list() for name in names))]
        judged = events.with_columns(pl.Series("reason", verdicts, pl.String))
        taken = judged.filter(pl.col("reason").is_null())
        self._keep(taken)
        if len(taken) < len(judged):
            self._let_wait(judged.filter(pl.col("reason") == _WAIT), now)
            yield from _rejected(judged.filter(pl.col("reason") != _WAIT))

    def _verdict(
        self, invalid: str | None, name: str, timestamp: int, lane: int, offset: int, value: bytes
    ) -> str | None:
        """Judge an event by what is known now, and count it where it is taken."""
        book, member = self.book, self.book.members.get(name)
        book.positions[lane] = max(book.positions.get(lane, -1), offset)
        if member is not None:
            member.read = max(member.read, offset)
        if invalid is not None:
            return invalid
        size = len(value)
        if member is None or member.retired_before(offset):
            return self._wait(size, Reason.BUFFER_FULL)
        if member.before(offset) is None:
            return Reason.UNKNOWN_PARTITION
        reason = member.objection(timestamp, offset)
        if timestamp < book.closed:
            reason = reason or Reason.WINDOW_CLOSED
        elif reason == Reason.BEHIND_WATERMARK and member.may_begin_again_before(offset):
            return self._wait(size, reason)
        if reason is None and book.pending[name] + size > self._rules.max_pending_bytes:
            reason = Reason.BUFFER_FULL
        if reason is None:
            book.pending[name] += size
        return reason

    def _wait(self, size: int, otherwise: Reason) -> str:
        """Let an event of so many bytes wait, if there is room."""
        if self.book.waiting_bytes + size > self._rules.max_pending_bytes:
            return otherwise
        self.book.waiting_bytes += size
        return _WAIT

    def _keep(self, events: pl.DataFrame) -> None:
        """Lay events down by window, in the order they came."""
        window = self._rules.window
        starts = events.with_columns(start=pl.col("event_time") // window * window)
        for same in starts.partition_by("start", maintain_order=True):
            self.book.windows.setdefault(same["start"][0], []).append(self._slice(same.drop("start")))

    def _let_wait(self, events: pl.DataFrame, now: int) -> None:
        if len(events):
            self.book.waiting[self._slice(events)] = self._deadline(now)

    def _deadline(self, now: int) -> int:
        timeout = self._rules.unknown_timeout
        step = max(timeout // _DEADLINES, 1)
        return -(-(now + timeout) // step) * step

    def _judge_waiting(self) -> Iterator[Rejected]:
        """Judge the events again that wait for a partition to be added; some wait on as they did."""
        self._added = False
        for slice_, deadline in [*self.book.waiting.items()]:
            events = self._drop_waiting(slice_).with_columns(reason=pl.lit(None, pl.String))
            yield from self._judge(events, deadline - self._rules.unknown_timeout)

    def _drop_waiting(self, slice_: int) -> pl.DataFrame:
        events = self._unslice(slice_)
        del self.book.waiting[slice_]
        self.book.waiting_bytes -= int(events["value"].bin.size().sum())
        return events

    def _publish(self) -> Iterator[Published | Rejected]:
        """Publish the windows that the global watermark has passed, and all events here allow for."""
        if self._added:
            yield from self._judge_waiting()
        book, window = self.book, self._rules.window
        reached = min([member.watermark(book.positions) for member in book.members.values()], default=RETIRED)
        closed = min(book.passed, reached if reached in (NEVER, RETIRED) else reached // window * window)
        if closed <= book.closed:
            return
        book.closed = closed
        for start in sorted(start for start in book.windows if start + window <= closed):
            yield from self._publish_window(start)
        yield from self._judge_waiting()
        for name, member in [*book.members.items()]:
            waits = name in book.pending
            member.forget(book.positions, closed, window, waits)
            if member.is_gone(book.positions) and not waits:
                del book.members[name]

    def _publish_window(self, start: int) -> Iterator[Published | Rejected]:
        """Judge events again, by statements read since, and publish the others by partition, in order."""
        events = pl.concat([self._unslice(slice_) for slice_ in self.book.windows.pop(start)])
        judged = events.with_columns(pl.Series("reason", self._objections(events), pl.String))
        in_order = judged.sort("name", "event_time", maintain_order=True)
        rows = zip(*(in_order[name].to_list() for name in ("name", "reason", "value")), strict=True)
        for name, same in groupby(rows, itemgetter(0)):
            judgements = [(reason, value) for _, reason, value in same]
            self._release(name, sum(len(value) for _, value in judgements))
            values = [value for reason, value in judgements if reason is None]
            if values:
                yield Published(name, _window_value(name, start, start + self._rules.window, values))
        yield from _rejected(judged.filter(pl.col("reason").is_not_null()))

    def _objections(self, events: pl.DataFrame) -> list[str | None]:
        """Judge events by the statements that are read by now."""
        columns = (events[name].to_list() for name in ("name", "event_time", "offset"))
        members = self.book.members
        return [
            members[name].objection(timestamp, offset) if name in members else None
            for name, timestamp, offset in zip(*columns, strict=True)
        ]

    def _release(self, name: str, size: int) -> None:
        self.book.pending[name] -= size
        if not self.book.pending[name]:
            del self.book.pending[name]

    def _slice(self, events: pl.DataFrame) -> int:
        self.book.slices += 1
        self._slices.put(self.book.slices, packed(events.select(EVENT)))
        return self.book.slices

    def _unslice(self, number: int) -> pl.DataFrame:
        events = unpacked(self._slices.get(number))
        self._slices.remove(number)
        return events


def _rejected(events: pl.DataFrame) -> Iterator[Rejected]:
    for reason, *record in events.select("reason", *RECORD).iter_rows():
        yield Rejected(tuple(record), reason)


def _window_value(name: str, start: int, end: int, events: Iterable[bytes]) -> bytes:
    head: dict[str, Any] = {"partition": name, "window_start": start, "window_end": end}
    opened = json.dumps(head).removesuffix("}").encode() + b', "events": ['
    return opened + b", ".join(event.strip() for event in events) + b"]}"
