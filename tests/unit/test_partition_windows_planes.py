"""What runs in the job, without Flink: the control plane and the buckets, held against the library."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.builders import FAR_FUTURE
from tests.partition_windows_plane import WINDOW, Operation, Result, of_library, topics
from udfs import partition_windows_members
from udfs.packing import RECORD
from udfs.partition_windows import Reason
from udfs.partition_windows_book import Book, WindowRules
from udfs.partition_windows_bucket import Bucket, Published
from udfs.partition_windows_control import ControlPlane
from udfs.partition_windows_progress import Progress
from udfs.partition_windows_records import MAX_TIMESTAMP, MIN_TIMESTAMP, pack_events, pack_statements, unpacked

UNKNOWN_TIMEOUT = 1000
RULES = WindowRules(WINDOW, max_pending_bytes=10_000, unknown_timeout=UNKNOWN_TIMEOUT, buckets=2)


class Plane:
    """A control plane and two buckets, whose state goes through its written form before each step."""

    def __init__(self, rules: WindowRules = RULES, idle_timeout: float | None = None) -> None:
        self.rules, self.now, self.idle_timeout = rules, 0, idle_timeout
        progress = Progress(idle_timeout, lambda: self.now)
        self.control = ControlPlane(rules.window, rules.buckets, progress)
        self.books = dict.fromkeys(range(rules.buckets), Book().written(rules))
        self.slices: dict[int, dict[int, bytes]] = {bucket: {} for bucket in self.books}
        self.result, self.rejected = Result(), []
        self.offset = 0

    def bucket(self, number: int) -> Bucket:
        slices = self.slices[number]
        store = SimpleNamespace(get=slices.__getitem__, put=slices.__setitem__, remove=slices.__delitem__)
        return Bucket(self.rules, Book.read(self.books[number], self.rules), store)

    def read_events(self, *events: tuple[bytes, bytes]) -> None:
        rows = [(key, value, 0, self.offset + number, 0) for number, (key, value) in enumerate(events)]
        self.offset += len(events)
        for parcel in pack_events(pl.DataFrame(rows, schema=RECORD, orient="row"), self.rules.buckets):
            self._step(parcel.bucket, lambda bucket, packed=parcel.packed: bucket.take(unpacked(packed), self.now))

    def read_statements(self, *statements: tuple[bytes, bytes]) -> None:
        rows = [(key, value, 0, number, 0) for number, (key, value) in enumerate(statements)]
        (parcel,) = pack_statements(pl.DataFrame(rows, schema=RECORD, orient="row"))
        self._control(lambda control: self.rejected.extend(control.take(unpacked(parcel.packed))))

    def expire(self) -> None:
        self._control(lambda control: control.expire())

    def give_up(self, now: int) -> None:
        for number in self.books:
            self._step(number, lambda bucket: bucket.give_up(now))

    def _control(self, do) -> None:
        if self.idle_timeout is None:  # which begins anew with a restart
            progress = Progress.restored(json.loads(json.dumps(self.control.progress.state())))
            self.control = ControlPlane(self.rules.window, self.rules.buckets, progress)
        do(self.control)
        for number, packed in self.control.orders():
            self._step(number, lambda bucket, packed=packed: bucket.follow(unpacked(packed)))

    def _step(self, number: int, do) -> None:
        bucket = self.bucket(number)
        for output in do(bucket):
            if isinstance(output, Published):
                self.result.add_window(output.value)
            else:
                self.result.add_refused(output.record[1], str(output.reason))
        self.books[number] = bucket.book.written(self.rules)


NAMES = st.sampled_from("abc")
OPERATIONS = st.tuples(
    st.sampled_from(["ingest"] * 5 + ["advance"] * 4 + ["add", "retire"]), NAMES, st.integers(-9, 30)
)


def start(names: str = "ab") -> list[Operation]:
    return [("add", name, 0) for name in names]


END = [*start("abc"), *(("advance", name, 100) for name in "abc")]
"""A late event read before the statement that makes it so is refused when its window is published, if not before."""


BEGUN_AGAIN = [("advance", "a", 2), ("retire", "b", 0), ("retire", "a", 0), ("add", "a", 0), ("ingest", "a", 1)]
"""The event is on time, because its partition began again, though it was late in its former life."""

AGAIN_AFTER_AN_EVENT = [("ingest", "a", 0), ("retire", "a", 0), ("ingest", "a", 0), ("add", "a", 0), ("ingest", "a", 0)]
"""The last event is of the first one's window, though the partition is retired between them."""
AGAIN_BELOW_ITS_WATERMARK = [
    *(("advance", "a", 21), ("ingest", "a", 1), ("retire", "a", 0), ("add", "a", 0)),
    *(("ingest", "a", -5), ("advance", "b", 11), ("advance", "a", 9)),
]
"""What the partition stated before it was retired does not hold for the event after it was added again."""
LATE_FOR_BOTH = [("advance", "b", 4), ("advance", "a", 8), ("add", "c", 0), ("advance", "c", 9), ("ingest", "c", 3)]
"""The window was closed before the partition was added, and the partition has passed it, too."""


@settings(max_examples=500, deadline=None)
@example(operations=BEGUN_AGAIN, reads=[])
@example(operations=BEGUN_AGAIN, reads=[(False, 3), (True, 1)])
@example(operations=AGAIN_AFTER_AN_EVENT, reads=[(False, 10), (True, 1)])
@example(operations=AGAIN_BELOW_ITS_WATERMARK, reads=[(False, 10)])
@example(operations=LATE_FOR_BOTH, reads=[(False, 6)])
@given(st.lists(OPERATIONS, max_size=25), st.lists(st.tuples(st.booleans(), st.integers(1, 5))))
def test_at_any_speed_of_either_topic_the_job_does_as_the_library(operations, reads):
    operations = [*start(), *operations, *END]
    sent, plane, read, stated = topics(operations), Plane(), 0, 0
    for is_events, batch in [*reads, (True, 1000), (False, 1000)]:
        if is_events and (events := sent.events[read : read + batch]):
            plane.read_events(*events)
            read += batch
        if not is_events and (statements := sent.statements[stated : stated + batch]):
            plane.read_statements(*statements)
            stated += batch
    plane.give_up(FAR_FUTURE)
    expected = of_library(operations)
    assert plane.result.windows == expected.windows
    assert plane.result.refused_events == expected.refused_events
    if all(op != "retire" for op, *_ in operations):  # what was sent after a retirement can be late as well
        assert late_or_not(plane.result.refused) == late_or_not(expected.refused)


def late_or_not(refused: Counter[tuple[int, str]]) -> Counter[tuple[int, str]]:
    """Take the two reasons of lateness as one: an event can be late for both, and is refused for what is read first."""
    return Counter((event, "late" if Reason(reason).late else reason) for event, reason in refused.elements())


def event(name: str, timestamp: int, **overrides: object) -> tuple[bytes, bytes]:
    return name.encode(), json.dumps(
        {"partition": name, "timestamp": timestamp, "data": timestamp} | overrides
    ).encode()


def statement(op: str, name: str, timestamp: int = 0, after: int | None = None) -> tuple[bytes, bytes]:
    place = {} if after is None else {"after": {"partition": 0, "offset": after}}
    return name.encode(), json.dumps({"op": op, "partition": name, "timestamp": timestamp} | place).encode()


ADDED = [statement("add", "a"), statement("add", "b")]


@pytest.fixture
def plane() -> Plane:
    plane = Plane()
    plane.read_statements(*ADDED)
    return plane


def test_what_is_published_is_gone_from_the_state(plane):
    plane.read_events(*(event(name, timestamp) for name in "ab" for timestamp in range(12)))
    plane.read_statements(statement("advance", "a", 8), statement("advance", "b", 12))
    assert sum(map(len, plane.slices.values())) == 1  # the third window of both, which share a bucket
    plane.read_statements(statement("advance", "a", 12))
    assert plane.slices == {0: {}, 1: {}}
    books = [plane.bucket(number).book for number in plane.books]
    assert [(book.windows, book.pending, book.waiting) for book in books] == [({}, {}, {}), ({}, {}, {})]
    assert [len(member.said) for book in books for member in book.members.values()] == [1, 1]


def test_a_retired_partition_is_forgotten_when_its_events_are_published(plane):
    plane.read_events(event("a", 1))
    plane.read_statements(statement("retire", "a"), statement("advance", "b", 4))
    assert plane.result.windows == {"a": [(0, [1])]}
    assert [name for number in plane.books for name in plane.bucket(number).book.members] == ["b"]


def test_a_window_waits_for_the_events_its_watermark_was_stated_after(plane):
    plane.read_events(event("a", 1))
    plane.read_statements(statement("advance", "a", 4, after=1), statement("advance", "b", 4))
    assert plane.result.windows == {}
    plane.read_events(event("a", 0))
    assert plane.result.windows == {"a": [(0, [0, 1])]}


def test_a_record_that_is_no_event_is_not_waited_for(plane):
    plane.read_events(event("a", 1))
    plane.read_statements(statement("advance", "a", 4, after=1), statement("advance", "b", 4))
    plane.read_events(event("a", "soon"))
    assert plane.result.windows == {"a": [(0, [1])]}


def test_a_statement_that_names_no_event_is_made_after_those_that_are_read(plane):
    plane.read_events(event("a", 1))
    plane.read_statements(statement("advance", "a", 2))
    plane.read_events(event("a", 0))
    plane.read_statements(statement("advance", "a", 4), statement("advance", "b", 4))
    assert plane.result.windows == {"a": [(0, [1])]}
    assert plane.result.refused == {(0, "behind_watermark"): 1}


def test_an_idle_partition_holds_nothing_back_until_it_states_something():
    plane = Plane(idle_timeout=30)
    plane.read_statements(*ADDED)
    plane.read_events(event("a", 1), event("b", 5))
    plane.now = 20
    plane.read_statements(statement("advance", "a", 4))
    assert plane.result.windows == {}
    plane.now = 30
    plane.expire()
    assert plane.result.windows == {"a": [(0, [1])]}
    plane.read_events(event("b", 3))
    assert plane.result.refused == {(3, "window_closed"): 1}
    plane.read_statements(statement("advance", "b", 2), statement("advance", "a", 8))
    assert "b" not in plane.result.windows


def test_an_added_partition_is_late_for_what_was_closed_though_its_bucket_has_not_published_it():
    plane = Plane(WindowRules(WINDOW, 10_000, UNKNOWN_TIMEOUT, buckets=1))
    plane.read_statements(statement("add", "a"), statement("advance", "a", 4, after=2), statement("add", "c"))
    plane.read_events(event("c", 3), event("c", 4), event("a", 1))
    assert plane.result.refused == {(3, "window_closed"): 1}
    assert plane.result.windows == {"a": [(0, [1])]}


def test_a_late_event_waits_for_its_partition_to_begin_again_before_it_is_refused(plane):
    plane.read_statements(statement("advance", "a", 2))
    plane.read_events(event("a", 1))
    plane.give_up(UNKNOWN_TIMEOUT - 1)
    assert plane.result.refused == {}
    plane.give_up(UNKNOWN_TIMEOUT)
    assert plane.result.refused == {(1, "behind_watermark"): 1}


def test_late_events_that_wait_have_a_limit(plane):
    plane.rules = replace(RULES, max_pending_bytes=len(event("a", 0)[1]))
    plane.read_statements(statement("advance", "a", 2))
    plane.read_events(event("a", 0), event("a", 1))
    assert plane.result.refused == {(1, "behind_watermark"): 1}


def test_an_event_waits_for_its_partition_to_be_added(plane):
    plane.read_events(event("c", 1))
    plane.read_statements(statement("add", "c"))
    plane.read_statements(*(statement("advance", name, 4) for name in "abc"))
    assert plane.result.windows == {"c": [(0, [1])]}


def test_an_event_whose_partition_is_not_added_in_time_is_refused(plane):
    plane.read_events(event("c", 1), event("a", 2))
    plane.give_up(UNKNOWN_TIMEOUT - 1)
    assert plane.result.refused == {}
    plane.give_up(UNKNOWN_TIMEOUT)
    assert plane.result.refused == {(1, "unknown_partition"): 1}
    assert [plane.bucket(number).book.waiting_bytes for number in plane.books] == [0, 0]


def test_events_of_a_partition_beyond_its_limit_are_refused_until_others_are_published():
    size = len(event("a", 0)[1])
    plane = Plane(WindowRules(WINDOW, 2 * size, UNKNOWN_TIMEOUT, buckets=2))
    plane.read_statements(*ADDED)
    plane.read_events(event("a", 0), event("a", 1), event("a", 2), event("b", 3))
    assert plane.result.refused == {(2, "buffer_full"): 1}
    plane.read_statements(statement("advance", "a", 4), statement("advance", "b", 4))
    plane.read_events(event("a", 5))
    assert plane.result.refused.total() == 1


def test_events_of_unknown_partitions_have_a_limit_too():
    plane = Plane(WindowRules(WINDOW, 100, UNKNOWN_TIMEOUT, buckets=1))
    plane.read_events(*(event(f"unknown-{number}", number) for number in range(5)))
    assert plane.result.refused == {(number, "buffer_full"): 1 for number in range(1, 5)}


def test_a_partition_far_ahead_of_its_events_is_held_to_what_it_said_at_the_windows_ends(plane, monkeypatch):
    monkeypatch.setattr(partition_windows_members, "MOST_STATEMENTS", 10)
    plane.read_statements(*(statement("advance", "a", mark, after=mark) for mark in range(1, 4 * WINDOW + 1)))
    plane.read_statements(statement("advance", "b", 3 * WINDOW))
    plane.read_events(*(event("a", timestamp) for timestamp in range(3 * WINDOW)), event("a", 0))
    (member,) = (m for n in plane.books for name, m in plane.bucket(n).book.members.items() if name == "a")
    assert len(member.said) <= 10
    assert [start for start, _ in plane.result.windows["a"]] == [0, WINDOW, 2 * WINDOW]
    assert plane.result.refused == {(0, "behind_watermark"): 1}


def test_negative_and_huge_times_are_windowed_like_any_other(plane):
    times = [-1, -WINDOW - 1, MIN_TIMESTAMP, MAX_TIMESTAMP]
    plane.read_events(*(event("a", time) for time in times))
    plane.read_statements(*(statement("advance", name, MAX_TIMESTAMP) for name in "ab"))
    assert plane.result.windows["a"] == [
        (MIN_TIMESTAMP // WINDOW * WINDOW, [MIN_TIMESTAMP]),
        (-2 * WINDOW, [-WINDOW - 1]),
        (-WINDOW, [-1]),
    ]


@pytest.mark.parametrize("other", [{"window": 5}, {"buckets": 3}])
def test_state_of_other_windows_or_buckets_is_refused(plane, other):
    plane.rules = replace(RULES, **other)
    with pytest.raises(RuntimeError, match="window, buckets"):
        plane.read_events(event("a", 1))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_json"),
        (b"{}", "missing_field"),
        (b'{"partition": "a", "timestamp": 1}', "missing_field"),
        (b'{"partition": 1, "timestamp": 1, "data": 1}', "wrong_type"),
        (b'{"partition": "", "timestamp": 1, "data": 1}', "empty_field"),
        (b'{"partition": "a", "timestamp": 1.0, "data": 1}', "wrong_type"),
        (b'{"partition": "a", "timestamp": true, "data": 1}', "wrong_type"),
        (b'{"partition": "a", "timestamp": 4611686018427387904, "data": 1}', "timestamp_out_of_range"),
        (b'{"partition": "b", "timestamp": 1, "data": 1}', "wrong_key"),
        (b'{"partition": "' + b"a" * 257 + b'", "timestamp": 1, "data": 1}', "too_long"),
        (None, "not_json"),
    ],
)
def test_a_record_that_is_no_event_tells_the_first_reason(value, reason):
    rows = pl.DataFrame([(b"a", value, 0, 0, 0)], schema=RECORD, orient="row")
    (parcel,) = pack_events(rows, 2)
    assert unpacked(parcel.packed)["reason"].to_list() == [reason]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"partition": "a"}', "missing_field"),
        (b'{"op": "leave", "partition": "a"}', "wrong_type"),
        (b'{"op": "advance", "partition": "a"}', "missing_field"),
        (b'{"op": "add", "partition": "a", "after": 1}', "wrong_type"),
        (b'{"op": "add", "partition": "a", "after": {"partition": 0, "offset": -2}}', "timestamp_out_of_range"),
        (b'{"op": "add", "partition": "a", "after": {"offset": 1}}', "missing_field"),
        (b'{"op": "advance", "partition": "a", "timestamp": 1}', None),
    ],
)
def test_a_record_that_is_no_statement_tells_the_first_reason(value, reason):
    (parcel,) = pack_statements(pl.DataFrame([(None, value, 0, 0, 0)], schema=RECORD, orient="row"))
    assert unpacked(parcel.packed)["reason"].to_list() == [reason]
