"""The operator that decides each record: late, duplicate, counted or invalid.

The late gate, the dedupe and the expiry of its state share this one operator and its one watermark: nothing that passes
the gate can be dropped further on, and no identity that has expired can be counted twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress, groupby
from operator import itemgetter

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor

from udfs.bundles import end_at_once
from udfs.dedupe_metrics import DedupeMetrics
from udfs.dedupe_outputs import BY_COUNTRY, BYTES, INVALID, LATE
from udfs.identities import CountedIdentities
from udfs.identity_table import halves
from udfs.packing import Clicks, Rejects, buckets_of, unpack
from udfs.slices import Slices, State

NONE_CLOSED = -(2**63)
END_OF_INPUT = 2**63 - 1
"""The watermark of a bounded stream's end."""


@dataclass(frozen=True)
class DedupeRules:
    """Window and dedupe horizon (a whole number of windows) in milliseconds, and the number of buckets.

    `most_in_memory`: so many identities a subtask may hold in memory. `closed`: the watermark to begin with.
    """

    window: int
    horizon: int
    buckets: int
    most_in_memory: int
    closed: int = NONE_CLOSED


class _Bucket:
    """What is held in memory of a bucket; `closed`: the watermark that last closed a window, `NONE_CLOSED` if none."""

    def __init__(self, rules: DedupeRules, state: State, closed: int) -> None:
        self.slices = Slices(state, rules.window)
        self.identities = CountedIdentities(rules.horizon, self.slices.read)
        self.closed = closed
        self.ticking = False


class DedupeClicks(KeyedProcessFunction):  # type: ignore[misc]
    """Keyed by bucket; takes parcels (`udfs.packing`), emits rows `COUNTS` (`udfs.dedupe_outputs`).

    Side outputs are `LATE`, `INVALID` and, of clicks that were packed by country, `BY_COUNTRY`.

    State, by bucket:
    - for each window the identities counted in it, as slices (`udfs.slices`), one for each batch that counted any; the
      table in memory is a cache, rebuilt after a restore. Of more identities than may be in memory the oldest windows'
      are dropped from it, and their slices are read for each batch until they expire;
    - the watermark that last closed a window: Flink restores no watermarks, and a click that is late must stay late.

    A bucket that has no state yet takes that watermark from the others of its subtask, which all have the same one.

    One event-time timer a bucket, at the end of the next window to close, keeps that watermark and clears the
    identities that no click on time can repeat any more.
    """

    def __init__(self, rules: DedupeRules) -> None:
        self._rules = rules

    def open(self, runtime_context: RuntimeContext) -> None:
        """Connect to the state."""
        end_at_once()
        self._slices = runtime_context.get_map_state(MapStateDescriptor("counted-identities", Types.LONG(), BYTES))
        self._closed = runtime_context.get_state(ValueStateDescriptor("closed-by", Types.LONG()))
        self._buckets: dict[int, _Bucket] = {}
        gauges = {
            "identities": self._held,
            "slices": lambda: sum(len(bucket.slices) for bucket in self._buckets.values()),
            "slices_read": lambda: sum(bucket.slices.read_back for bucket in self._buckets.values()),
        }
        self._metrics = DedupeMetrics(runtime_context.get_metrics_group(), gauges)

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[object]:
        """Decide what is in a parcel; clicks against the watermark."""
        bucket = self._bucket(ctx.get_current_key())
        watermark = max(ctx.timer_service().current_watermark(), *(known.closed for known in self._buckets.values()))
        if not bucket.ticking:
            bucket.ticking = True
            self._tick_after(watermark, ctx)
        self._metrics.parcel()
        for part in unpack(value):
            if isinstance(part, Rejects):
                self._metrics.invalid(part.records["reason"])
                yield from _invalid(part, self._rules.window)
            elif part.window_start + self._rules.window - 1 <= watermark:
                self._metrics.clicks("late", len(part.ad_ids))
                yield from _late(part)
            else:
                yield from self._count(part, bucket)

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterable[object]:
        """Keep the watermark that closes a window, and clear what has expired by it."""
        bucket = self._bucket(ctx.get_current_key())
        bucket.closed = max(bucket.closed, ctx.timer_service().current_watermark(), timestamp)
        self._closed.update(bucket.closed)
        for window_start in [start for start in bucket.slices.numbers if self._expiry(start) <= bucket.closed]:
            bucket.identities.forget(window_start)
            bucket.slices.remove(window_start)
        if bucket.closed < END_OF_INPUT:
            self._tick_after(bucket.closed, ctx)
        return ()

    def _tick_after(self, watermark: int, ctx: KeyedProcessFunction.Context) -> None:
        """Set the timer at the end of the first window that the watermark has not closed."""
        window = self._rules.window
        ctx.timer_service().register_event_time_timer((max(watermark, 0) + 1) // window * window + window - 1)

    def _count(self, clicks: Clicks, bucket: _Bucket) -> Iterator[object]:
        if bucket.identities.dropped:
            bucket.slices.merge(bucket.identities.dropped)
        new = bucket.identities.count(clicks.window_start, clicks.identities)
        is_new = new.tolist()
        ads = list(compress(clicks.ad_ids, is_new))
        if ads:
            bucket.slices.append(clicks.window_start, clicks.identities[new].tobytes())
            self._keep_within_bound()
        raw, counted = len(clicks.ad_ids), len(ads)
        self._metrics.clicks("counted", counted)
        self._metrics.clicks("duplicate", raw - counted)
        yield Row(clicks.window_start, dict(Counter(ads)), raw, counted, raw - counted, 0, 0)
        if clicks.countries and ads:
            yield BY_COUNTRY, Row(clicks.window_start, _by_country(compress(clicks.countries, is_new), ads))

    def _bucket(self, key: int) -> _Bucket:
        if key not in self._buckets:
            closed = self._closed.value()
            closed = max(self._rules.closed, NONE_CLOSED if closed is None else closed)
            self._buckets[key] = _Bucket(self._rules, self._slices, closed)
            self._restore(key)
        return self._buckets[key]

    def _restore(self, key: int) -> None:
        bucket = self._buckets[key]
        for window_start, slice_ in bucket.slices.restore():
            if (buckets_of(slice_, self._rules.buckets) != key).any():
                raise RuntimeError("buckets: state made with another number of buckets cannot be restored")
            bucket.identities.restore(window_start, halves(slice_))
            self._keep_within_bound()

    def _keep_within_bound(self) -> None:
        """Drop identities from memory, the oldest windows' first, while too many are held: all are in the state."""
        while self._held() > self._rules.most_in_memory:
            buckets = self._buckets.items()
            start, key = min((start, key) for key, bucket in buckets for start in bucket.identities.windows)
            self._buckets[key].identities.drop(start)

    def _held(self) -> int:
        return sum(bucket.identities.held for bucket in self._buckets.values())

    def _expiry(self, window_start: int) -> int:
        """Return the watermark that closes the last window in which an identity of this one could be repeated."""
        return window_start + self._rules.horizon + self._rules.window - 1


def _by_country(countries: Iterable[str], ads: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count clicks per country and ad."""
    ordered = sorted(zip(countries, ads, strict=True))
    return {country: dict(Counter(ad_id for _, ad_id in same)) for country, same in groupby(ordered, key=itemgetter(0))}


def _late(clicks: Clicks) -> Iterator[object]:
    late = len(clicks.ad_ids)
    yield Row(clicks.window_start, {}, late, 0, 0, late, 0)
    yield LATE, Row([Row(*record) for record in clicks.records()])


def _invalid(rejects: Rejects, window: int) -> Iterator[object]:
    """Book invalid records on the window of their own timestamp: they have no other time to be trusted."""
    booked = Counter(rejects.records["timestamp"] // window * window)
    for start, invalid in booked.items():
        yield Row(start, {}, invalid, 0, 0, 0, invalid)
    yield INVALID, Row([Row(*record) for record in rejects.records.iter_rows()])
