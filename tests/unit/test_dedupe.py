"""The operator with a state, a clock and timers of its own: no JVM."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest

from tests.builders import MINUTE, NOON, SECOND, raw
from udfs.dedupe import END_OF_INPUT, DedupeClicks, DedupeRules
from udfs.dedupe_outputs import BY_COUNTRY, LATE
from udfs.packing import RECORD, Packing, pack
from udfs.slices import MOST_SMALL

RULES = DedupeRules(window=MINUTE, horizon=10 * MINUTE, buckets=1, most_in_memory=1_000)
BEFORE_ALL = -(2**63)


class FakeMetrics:
    """A metric group; `values` holds all counters of it and its groups, `gauges` the functions."""

    def __init__(self, values: Counter[tuple[str, ...]], name: tuple[str, ...] = ()) -> None:
        self.values, self.name = values, name
        self.gauges: dict[str, Callable[[], int]] = {}
        self.gauge = self.gauges.__setitem__

    def add_group(self, key: str, value: str) -> "FakeMetrics":
        return FakeMetrics(self.values, (*self.name, key, value))

    def counter(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(inc=lambda n=1: self.values.update({(*self.name, name): n}))


class FakeFlink:
    """The state and timers of one key, and the watermark that fires them."""

    def __init__(self) -> None:
        self.state: dict[int, bytes] = {}
        self.closed: int | None = None
        self.timers: set[int] = set()
        self.watermark = BEFORE_ALL
        self.by_country = False
        self.restart()

    def restart(self, rules: DedupeRules = RULES) -> None:
        """A new worker on the same state."""
        self.operator = DedupeClicks(rules)
        get, put, remove = self.state.__getitem__, self.state.__setitem__, self.state.pop
        state = SimpleNamespace(get=get, put=put, remove=remove, items=lambda: list(self.state.items()))
        closed = SimpleNamespace(value=lambda: self.closed, update=lambda watermark: setattr(self, "closed", watermark))
        self.metrics = FakeMetrics(Counter())
        context = {"get_map_state": lambda _: state, "get_state": lambda _: closed}
        self.operator.open(SimpleNamespace(**context, get_metrics_group=lambda: self.metrics))

    @property
    def context(self):
        timers = SimpleNamespace(current_watermark=lambda: self.watermark, register_event_time_timer=self.timers.add)
        return SimpleNamespace(get_current_key=lambda: 0, timer_service=lambda: timers)

    def send(self, *values: bytes) -> list[object]:
        packing = Packing(MINUTE, MINUTE * 100, 1, by_country=self.by_country)
        rows = [(None, value, 0, offset, NOON) for offset, value in enumerate(values)]
        parcels = pack(pl.DataFrame(rows, schema=RECORD, orient="row"), packing)
        return [row for parcel in parcels for row in self.operator.process_element(parcel.packed, self.context)]

    def gauges(self) -> dict[str, int]:
        return {name: value() for name, value in self.metrics.gauges.items()}

    def advance(self, watermark: int) -> None:
        self.watermark = watermark
        while due := [timer for timer in self.timers if timer <= watermark]:
            self.timers.discard(min(due))
            assert list(self.operator.on_timer(min(due), self.context)) == []


def terms(outputs: list[object]) -> list[tuple[int, ...]]:
    """(start, raw, counted, duplicate, late) of each row of the main output; none of them is invalid."""
    assert all(row[6] == 0 for row in outputs if not isinstance(row, tuple))
    return [(row[0], *row[2:6]) for row in outputs if not isinstance(row, tuple)]


@pytest.fixture
def flink() -> FakeFlink:
    return FakeFlink()


def test_duplicates_within_a_batch_and_across_batches_are_counted_once(flink):
    assert terms(flink.send(raw(), raw(user_id="2"), raw())) == [(NOON, 3, 2, 1, 0)]
    assert terms(flink.send(raw(), raw(user_id="3"))) == [(NOON, 2, 1, 1, 0)]


def test_clicks_are_counted_per_ad(flink):
    (row,) = flink.send(raw(), raw(user_id="2"), raw(ad_id="ad-2"))
    assert row[1] == {"ad-1": 2, "ad-2": 1}


def test_of_equal_identities_the_first_click_is_the_one_counted(flink):
    (row,) = flink.send(raw(ad_id="first", click_id="c"), raw(ad_id="second", click_id="c"))
    assert row[1] == {"first": 1}


def by_country(outputs: list[object]) -> list[tuple[int, dict[str, dict[str, int]]]]:
    return [tuple(row) for tag, row in (out for out in outputs if isinstance(out, tuple)) if tag is BY_COUNTRY]


def test_what_is_counted_per_ad_is_counted_per_country_too_when_asked_for(flink):
    clicks = [raw(country="DE"), raw(user_id="2", country="FR"), raw(user_id="3", ad_id="ad-2"), raw(user_id="4")]
    flink.by_country = True
    outputs = flink.send(*clicks, raw(user_id="5", country="DE"))
    assert by_country(outputs) == [(NOON, {"DE": {"ad-1": 2}, "FR": {"ad-1": 1}, "": {"ad-1": 1, "ad-2": 1}})]
    assert outputs[0][1] == {"ad-1": 4, "ad-2": 1}
    flink.by_country = False
    assert by_country(flink.send(raw(user_id="6"))) == []


def test_the_country_of_the_first_click_of_an_identity_is_the_one_counted(flink):
    flink.by_country = True
    assert by_country(flink.send(raw(country="DE"), raw(country="FR"))) == [(NOON, {"DE": {"ad-1": 1}})]
    assert by_country(flink.send(raw(country="IT"))) == []
    assert by_country(flink.send(raw(country="IT"), raw(user_id="2", country="IT"))) == [(NOON, {"IT": {"ad-1": 1}})]


def test_a_late_click_is_counted_in_no_country(flink):
    flink.by_country = True
    flink.advance(NOON + MINUTE)
    assert by_country(flink.send(raw(country="DE"))) == []


def test_a_click_id_is_a_duplicate_across_windows_within_the_horizon(flink):
    flink.send(raw(click_id="c"))
    assert terms(flink.send(raw(click_id="c", click_timestamp=NOON + 10 * MINUTE)))[0][3] == 1
    assert terms(flink.send(raw(click_id="c", click_timestamp=NOON + 11 * MINUTE)))[0][2] == 1


def test_a_window_takes_clicks_until_the_watermark_reaches_its_last_millisecond(flink):
    flink.advance(NOON + MINUTE - 2)
    assert terms(flink.send(raw())) == [(NOON, 1, 1, 0, 0)]
    flink.advance(NOON + MINUTE - 1)
    assert terms(flink.send(raw(user_id="2"))) == [(NOON, 1, 0, 0, 1)]


def test_a_late_click_goes_to_the_side_output_with_its_bytes_and_origin(flink):
    flink.advance(NOON + MINUTE)
    late = [row for tag, row in (out for out in flink.send(raw(), raw()) if isinstance(out, tuple)) if tag is LATE]
    assert [tuple(record) for (records,) in late for record in records] == [
        (None, raw(), 0, 0, NOON),
        (None, raw(), 0, 1, NOON),
    ]


def test_a_late_click_makes_no_later_one_a_duplicate(flink):
    flink.advance(NOON + MINUTE)
    flink.send(raw(click_id="c"))
    assert terms(flink.send(raw(click_id="c", click_timestamp=NOON + MINUTE)))[0][2] == 1


def test_identities_are_gone_when_the_last_window_that_needs_them_closes(flink):
    flink.send(raw())
    flink.send(raw(user_id="2"))
    flink.advance(NOON + 11 * MINUTE - 2)
    assert len(flink.state) == 2
    flink.advance(NOON + 11 * MINUTE - 1)
    assert flink.state == {}
    assert flink.operator._buckets[0].slices.numbers == {}
    assert flink.operator._buckets[0].identities.held == 0


def test_a_bucket_has_one_timer_at_the_end_of_the_next_window_to_close(flink):
    for user in range(3):
        flink.send(raw(user_id=str(user), click_timestamp=NOON + user * MINUTE))
    flink.advance(NOON + 90 * SECOND)
    assert flink.timers == {NOON + 2 * MINUTE - 1}


def test_no_timer_and_no_identity_is_left_at_the_end_of_the_input(flink):
    flink.send(raw(), raw(click_timestamp=NOON + 5 * MINUTE))
    flink.advance(END_OF_INPUT)
    assert flink.timers == set()
    assert flink.state == {}


def test_a_click_that_is_late_stays_late_after_a_restart_without_a_watermark(flink):
    flink.send(raw(user_id="2"))
    flink.advance(NOON + MINUTE - 1)
    flink.watermark = BEFORE_ALL
    flink.restart()
    assert terms(flink.send(raw())) == [(NOON, 1, 0, 0, 1)]
    assert terms(flink.send(raw(click_timestamp=NOON + MINUTE))) == [(NOON + MINUTE, 1, 1, 0, 0)]


def test_a_restart_remembers_what_was_counted(flink):
    flink.send(raw(), raw(user_id="2"))
    flink.send(raw(user_id="3"))
    flink.restart()
    assert terms(flink.send(raw(), raw(user_id="3"), raw(user_id="4"))) == [(NOON, 3, 1, 2, 0)]
    flink.advance(NOON + 11 * MINUTE)
    assert flink.state == {}


def test_a_timer_right_after_a_restart_clears_the_state(flink):
    flink.send(raw())
    flink.restart()
    flink.advance(NOON + 11 * MINUTE)
    assert flink.state == {}


def test_more_slices_than_milliseconds_in_a_window_do_not_run_into_the_next_one(flink):
    rules = replace(RULES, window=2, horizon=4)
    flink.restart(rules)
    for user in range(5):
        flink.send(raw(user_id=str(user), click_timestamp=NOON))
    flink.restart(rules)
    assert terms(flink.send(raw(user_id="4", click_timestamp=NOON)))[0][3] == 1


def test_state_of_another_number_of_buckets_is_refused(flink):
    flink.send(*[raw(user_id=str(user)) for user in range(20)])
    flink.restart(replace(RULES, buckets=3))
    with pytest.raises(RuntimeError, match="buckets"):
        flink.send(raw())


def test_metrics_tell_what_became_of_the_clicks_of_each_parcel(flink):
    flink.send(raw(), raw(), raw(user_id="2"), b"{}", b"", b"{")
    flink.advance(NOON + MINUTE)
    flink.send(raw(), raw())
    told = flink.metrics.values
    assert {outcome: told["outcome", outcome, "clicks"] for outcome in ("counted", "duplicate", "late", "invalid")} == {
        "counted": 2,
        "duplicate": 1,
        "late": 2,
        "invalid": 3,
    }
    assert told["reason", "missing_field", "invalid"] == 1
    assert told["reason", "not_json", "invalid"] == 2
    assert told["parcels",] == 3


def test_metrics_tell_what_is_held_until_it_expires(flink):
    flink.send(raw(), raw(user_id="2"))
    flink.send(raw(user_id="3"))
    assert flink.gauges() == {"identities": 3, "slices": 2, "slices_read": 0}
    flink.advance(NOON + 11 * MINUTE)
    assert flink.gauges() == {"identities": 0, "slices": 0, "slices_read": 0}


def at(minute: int, user: str) -> bytes:
    return raw(user_id=user, click_id=user, click_timestamp=NOON + minute * MINUTE)


def test_of_too_many_identities_the_oldest_windows_are_read_from_the_state(flink):
    flink.restart(replace(RULES, most_in_memory=3))
    flink.send(at(0, "a"), at(0, "b"))
    flink.send(at(1, "c"))
    assert flink.gauges() == {"identities": 3, "slices": 2, "slices_read": 0}
    flink.send(at(1, "d"))
    assert flink.gauges() == {"identities": 2, "slices": 3, "slices_read": 0}
    assert terms(flink.send(at(1, "a"), at(1, "c"), at(1, "e"))) == [(NOON + MINUTE, 3, 1, 2, 0)]
    assert flink.gauges() == {"identities": 3, "slices": 4, "slices_read": 1}


def test_a_window_that_is_read_from_the_state_expires_like_any_other(flink):
    flink.restart(replace(RULES, most_in_memory=0))
    flink.send(at(0, "a"))
    flink.advance(NOON + 11 * MINUTE - 1)
    assert flink.state == {}
    assert flink.operator._buckets[0].identities.dropped == set()
    assert terms(flink.send(at(11, "a")))[0][2] == 1


def test_a_restart_holds_no_more_identities_than_it_may_and_those_of_the_newest_windows(flink):
    flink.send(at(2, "d"))
    flink.send(at(0, "a"), at(0, "b"))
    flink.send(at(1, "c"))
    flink.restart(replace(RULES, most_in_memory=2))
    assert terms(flink.send(at(2, "a"), at(2, "c"), at(2, "d"))) == [(NOON + 2 * MINUTE, 3, 0, 3, 0)]
    assert flink.gauges() == {"identities": 2, "slices": 3, "slices_read": 1}


def test_many_small_slices_that_are_read_again_and_again_become_few(flink):
    for user in range(MOST_SMALL + 1):
        flink.send(at(0, str(user)))
    flink.restart(replace(RULES, most_in_memory=0))
    flink.send(at(0, "another"))
    assert flink.gauges()["slices"] == 2
    flink.restart()
    again = [at(1, str(user)) for user in range(MOST_SMALL + 1)]
    assert terms(flink.send(*again, at(1, "another"))) == [(NOON + MINUTE, MOST_SMALL + 2, 0, MOST_SMALL + 2, 0)]
