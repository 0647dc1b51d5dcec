"""The operators of the partition windows: a control plane, and the buckets that hold the events, as keyed functions."""

import json
from collections.abc import Iterable, Iterator

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from udfs.partition_windows_book import Book, WindowRules
from udfs.partition_windows_bucket import Bucket, Published
from udfs.partition_windows_control import ControlPlane, Rejected
from udfs.partition_windows_progress import Progress
from udfs.partition_windows_records import is_orders, unpacked

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

WINDOWS = Types.ROW_NAMED(["key", "value"], [_BYTES, _BYTES])
"""A partition's events in one window, under the partition as key."""
_REFUSED = ["key", "value", "partition", "offset", "timestamp", "reason"]
_REFUSED_TYPES = [_BYTES, _BYTES, Types.INT(), Types.LONG(), Types.LONG(), Types.STRING()]
REFUSED = OutputTag("refused", Types.ROW_NAMED(_REFUSED, _REFUSED_TYPES))
"""A refused record's own bytes, its origin and the reason."""

_END_OF_INPUT = 2**63 - 1
"""The watermark, and so the last timer, of a bounded stream's end: there is no other watermark in this job."""


class FollowStatements(KeyedProcessFunction):  # type: ignore[misc]
    """Keyed by one key, so that all statements have one order; takes parcels of statements, emits orders by bucket.

    State: what `Progress.state` returns, as JSON. One processing-time timer looks for partitions that fell silent.
    """

    def __init__(self, rules: WindowRules, idle_timeout: int | None) -> None:
        """`idle_timeout` in milliseconds."""
        self._rules = rules
        self._idle_timeout = idle_timeout

    def open(self, runtime_context: RuntimeContext) -> None:
        """Connect to the state."""
        self._progress = runtime_context.get_state(ValueStateDescriptor("progress", Types.STRING()))
        self._control: ControlPlane | None = None
        self._now = 0

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[object]:
        """Follow a batch of statements."""
        control = self._current(ctx)
        for rejected in control.take(unpacked(value)):
            yield REFUSED, _refused(rejected)
        yield from self._told(control)
        self._look_again(ctx)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[object]:
        """Look for partitions that fell silent."""
        control = self._current(ctx)
        control.expire()
        yield from self._told(control)
        self._look_again(ctx)

    def _current(self, ctx: KeyedProcessFunction.Context) -> ControlPlane:
        """Return the control plane with the time of this call: after a restart nobody was silent yet."""
        self._now = ctx.timer_service().current_processing_time()
        if self._control is None:
            state = self._progress.value()
            timeout = None if self._idle_timeout is None else self._idle_timeout / 1000
            known = Progress().state() if state is None else json.loads(state)
            progress = Progress.restored(known, timeout, lambda: self._now / 1000)
            self._control = ControlPlane(self._rules.window, self._rules.buckets, progress)
        return self._control

    def _told(self, control: ControlPlane) -> Iterator[Row]:
        self._progress.update(json.dumps(control.progress.state()))
        for bucket, orders in control.orders():
            yield Row(bucket, orders)

    def _look_again(self, ctx: KeyedProcessFunction.Context) -> None:
        """Set the timer for the next whole quarter of the timeout: however often it is set, it is one timer."""
        if self._idle_timeout is not None:
            step = max(self._idle_timeout // 4, 1)
            ctx.timer_service().register_processing_time_timer((self._now // step + 1) * step)


class CollectWindows(KeyedProcessFunction):  # type: ignore[misc]
    """Keyed by bucket; takes parcels of events and of orders, emits rows `WINDOWS`, to the side output `REFUSED`.

    State, by bucket: the events that wait, as packed slices (map: number -> bytes); and the book that says which slices
    are whose, as JSON, which is cached in memory.

    Timers refuse events whose partition is not added in time, or not before a bounded input ends.
    """

    def __init__(self, rules: WindowRules) -> None:
        self._rules = rules

    def open(self, runtime_context: RuntimeContext) -> None:
        """Connect to the state."""
        self._slices = runtime_context.get_map_state(MapStateDescriptor("slices", Types.LONG(), _BYTES))
        self._written = runtime_context.get_state(ValueStateDescriptor("book", Types.STRING()))
        self._buckets: dict[int, Bucket] = {}

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[object]:
        """Take events, or follow orders."""
        frame, bucket = unpacked(value), self._bucket(ctx)
        now = ctx.timer_service().current_processing_time()
        yield from self._out(bucket, bucket.follow(frame) if is_orders(frame) else bucket.take(frame, now))
        self._look_again(bucket, ctx)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[object]:
        """Refuse what was waited for in vain."""
        bucket = self._bucket(ctx)
        yield from self._out(bucket, bucket.give_up(timestamp))
        self._look_again(bucket, ctx)

    def _look_again(self, bucket: Bucket, ctx: KeyedProcessFunction.Context) -> None:
        """Set the timers of what waits: however often one is set, it is one timer."""
        for deadline in {*bucket.book.waiting.values()}:
            ctx.timer_service().register_processing_time_timer(deadline)
            ctx.timer_service().register_event_time_timer(_END_OF_INPUT)

    def _bucket(self, ctx: KeyedProcessFunction.Context) -> Bucket:
        key = ctx.get_current_key()
        bucket = self._buckets.get(key)
        if bucket is None:
            text = self._written.value()
            book = Book() if text is None else Book.read(text, self._rules)
            bucket = self._buckets[key] = Bucket(self._rules, book, self._slices)
            bucket.wait_anew(ctx.timer_service().current_processing_time())
        return bucket

    def _out(self, bucket: Bucket, outputs: Iterable[Published | Rejected]) -> Iterator[object]:
        for output in outputs:
            if isinstance(output, Published):
                yield Row(output.name.encode(), output.value)
            else:
                yield REFUSED, _refused(output)
        self._written.update(bucket.book.written(self._rules))


def _refused(rejected: Rejected) -> Row:
    return Row(*rejected.record, str(rejected.reason))
