"""The library: each behaviour by its name, and any interleaving against a sorted list."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.partition_windows_model import SortedListModel
from udfs import partition_windows
from udfs.partition_windows import Event, EventIngestor, Reason, Refused, UnknownPartitionError, Window


def starts(windows: list[Window]) -> list[int]:
    return [window.start for window in windows]


def timestamps(windows: list[Window]) -> list[list[int]]:
    return [[event.timestamp for event in window.events] for window in windows]


def with_events(*events: int, partitions: str = "a", **options: object) -> EventIngestor:
    """An ingestor that has taken these timestamps from its first partition."""
    ingestor = EventIngestor(partitions, **options)
    for timestamp in events:
        assert ingestor.ingest(partitions[0], timestamp, None) is None
    return ingestor


def test_a_window_is_emitted_once_when_every_partition_has_passed_its_end():
    ingestor = with_events(5, partitions="ab")
    ingestor.ingest("b", 3, {"any": "data"})
    ingestor.advance_watermark("a", 60)
    ingestor.advance_watermark("b", 59)
    assert ingestor.emit_events() == []
    ingestor.advance_watermark("b", 60)
    assert ingestor.emit_events() == [Window(0, 60, (Event("b", 3, {"any": "data"}), Event("a", 5, None)))]
    assert ingestor.emit_events() == []


def test_a_partition_not_heard_from_holds_everything_back():
    ingestor = with_events(0, partitions="ab")
    ingestor.advance_watermark("a", 10**9)
    assert ingestor.emit_events() == []
    assert ingestor.global_watermark is None


def test_a_watermark_that_jumps_over_several_windows_emits_each_in_order():
    ingestor = with_events(121, 60, 0)
    ingestor.advance_watermark("a", 121)
    assert timestamps(ingestor.emit_events()) == [[0], [60]]
    assert ingestor.pending == 1
    ingestor.advance_watermark("a", 180)
    assert timestamps(ingestor.emit_events()) == [[121]]


def test_a_lower_or_equal_watermark_is_ignored():
    ingestor = with_events(70)
    assert ingestor.advance_watermark("a", 60)
    assert not ingestor.advance_watermark("a", 30)
    assert not ingestor.advance_watermark("a", 60)
    assert ingestor.global_watermark == 60
    assert ingestor.ingest("a", 59, None) is not None


def test_an_event_behind_its_partitions_watermark_is_handed_back_as_late():
    ingestor = with_events(partitions="ab")
    ingestor.advance_watermark("a", 30)
    refused = ingestor.ingest("a", 29, "data")
    assert refused == Refused(Event("a", 29, "data"), Reason.BEHIND_WATERMARK)
    assert refused.reason.late
    assert ingestor.pending == 0


def test_an_event_at_its_partitions_watermark_is_on_time():
    ingestor = with_events()
    ingestor.advance_watermark("a", 30)
    assert ingestor.ingest("a", 30, None) is None


def test_an_event_behind_the_watermarks_of_other_partitions_is_on_time():
    ingestor = with_events(partitions="ab")
    ingestor.advance_watermark("b", 600)
    assert ingestor.ingest("a", 0, None) is None


def test_an_event_at_a_boundary_belongs_to_the_window_it_starts():
    ingestor = with_events(60, 59, 0)
    ingestor.advance_watermark("a", 120)
    assert timestamps(ingestor.emit_events()) == [[0, 59], [60]]


def test_an_event_of_an_unknown_partition_is_handed_back():
    refused = EventIngestor("a").ingest("b", 0, "data")
    assert refused == Refused(Event("b", 0, "data"), Reason.UNKNOWN_PARTITION)
    assert not refused.reason.late


@pytest.mark.parametrize("state", [lambda it: it.advance_watermark("b", 1), lambda it: it.retire_partition("b")])
def test_a_statement_about_an_unknown_partition_is_an_error_that_names_it(state):
    with pytest.raises(UnknownPartitionError, match="'b'"):
        state(EventIngestor("a"))


def test_windows_without_events_are_not_emitted():
    ingestor = with_events(0, 600)
    ingestor.advance_watermark("a", 3600)
    assert starts(ingestor.emit_events()) == [0, 600]


def test_windows_without_events_are_emitted_on_request_from_the_first_with_events_on():
    ingestor = with_events(60, 180, empty_windows=True)
    ingestor.advance_watermark("a", 301)
    assert timestamps(ingestor.emit_events()) == [[60], [], [180], []]
    ingestor.advance_watermark("a", 360)
    assert starts(ingestor.emit_events()) == [300]


def test_before_any_event_no_empty_window_is_emitted():
    ingestor = with_events(empty_windows=True)
    ingestor.advance_watermark("a", 600)
    assert ingestor.emit_events() == []


def test_an_endless_run_of_empty_windows_comes_in_parts(monkeypatch):
    monkeypatch.setattr(partition_windows, "MOST_EMPTY_WINDOWS", 3)
    ingestor = with_events(0, 300, empty_windows=True)
    ingestor.advance_watermark("a", 2**63)
    assert starts(ingestor.emit_events()) == [0, 60, 120, 180]
    assert starts(ingestor.emit_events()) == [240, 300, 360, 420]


def test_a_partition_added_at_run_time_holds_back_from_then_on():
    ingestor = with_events(0, 100)
    ingestor.advance_watermark("a", 60)
    assert ingestor.add_partition("b")
    ingestor.advance_watermark("a", 180)
    assert timestamps(ingestor.emit_events()) == [[0]]
    ingestor.advance_watermark("b", 180)
    assert timestamps(ingestor.emit_events()) == [[100]]


def test_an_event_of_an_added_partition_whose_window_is_closed_is_handed_back_as_late():
    ingestor = with_events()
    ingestor.advance_watermark("a", 90)
    ingestor.add_partition("b")
    assert ingestor.ingest("b", 59, None) == Refused(Event("b", 59, None), Reason.WINDOW_CLOSED)
    assert Reason.WINDOW_CLOSED.late
    assert ingestor.ingest("b", 60, None) is None


def test_adding_a_partition_again_changes_nothing():
    ingestor = with_events()
    ingestor.advance_watermark("a", 60)
    assert not ingestor.add_partition("a")
    assert ingestor.ingest("a", 59, None) is not None


def test_a_retired_partition_stops_holding_back_and_its_events_are_still_emitted():
    ingestor = with_events(0, partitions="ab")
    ingestor.advance_watermark("b", 60)
    ingestor.retire_partition("a")
    assert timestamps(ingestor.emit_events()) == [[0]]
    assert ingestor.ingest("a", 70, None).reason is Reason.UNKNOWN_PARTITION


def test_the_global_watermark_stays_when_the_last_partition_is_retired():
    ingestor = with_events(0)
    ingestor.advance_watermark("a", 59)
    ingestor.retire_partition("a")
    assert (ingestor.emit_events(), ingestor.global_watermark, ingestor.pending) == ([], 59, 1)


def test_a_partition_added_again_begins_anew():
    ingestor = with_events(partitions="ab")
    ingestor.advance_watermark("a", 50)
    ingestor.retire_partition("a")
    ingestor.add_partition("a")
    assert ingestor.ingest("a", 10, None) is None
    ingestor.advance_watermark("b", 60)
    assert ingestor.global_watermark is None


def test_without_partitions_nothing_is_known_and_nothing_emitted():
    ingestor = EventIngestor([])
    assert (ingestor.emit_events(), ingestor.global_watermark) == ([], None)


def test_a_number_of_partitions_names_them_from_zero():
    ingestor = EventIngestor(2)
    assert ingestor.advance_watermark(0, 1)
    assert ingestor.advance_watermark(1, 1)
    assert ingestor.global_watermark == 1


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_partition_that_states_nothing_for_the_idle_timeout_stops_holding_back(clock):
    ingestor = with_events(0, partitions="ab", idle_timeout=30, clock=clock)
    clock.now = 29.9
    ingestor.advance_watermark("a", 60)
    assert ingestor.emit_events() == []
    clock.now = 30
    assert timestamps(ingestor.emit_events()) == [[0]]


def test_an_idle_partition_that_states_something_holds_back_again(clock):
    ingestor = with_events(0, 70, partitions="ab", idle_timeout=30, clock=clock)
    clock.now = 30
    ingestor.advance_watermark("a", 60)
    ingestor.advance_watermark("b", 10)
    ingestor.advance_watermark("a", 600)
    assert timestamps(ingestor.emit_events()) == [[0]]
    assert ingestor.ingest("b", 50, None).reason is Reason.WINDOW_CLOSED
    assert ingestor.ingest("b", 60, None) is None


def test_a_repeated_watermark_is_a_sign_of_life(clock):
    ingestor = with_events(0, partitions="ab", idle_timeout=30, clock=clock)
    ingestor.advance_watermark("b", 10)
    clock.now = 20
    ingestor.advance_watermark("a", 60)
    ingestor.advance_watermark("b", 10)
    clock.now = 40
    assert ingestor.emit_events() == []


def test_when_all_are_idle_the_last_to_fall_silent_decides(clock):
    ingestor = with_events(0, partitions="ab", idle_timeout=30, clock=clock)
    ingestor.advance_watermark("b", 10)
    clock.now = 1
    ingestor.advance_watermark("a", 70)
    clock.now = 1000
    assert timestamps(ingestor.emit_events()) == [[0]]
    assert ingestor.global_watermark == 70


def test_without_a_timeout_no_partition_is_ever_idle(clock):
    ingestor = with_events(0, partitions="ab", clock=clock)
    ingestor.advance_watermark("a", 60)
    clock.now = 10**9
    assert ingestor.emit_events() == []


def test_negative_and_huge_timestamps_are_windowed_like_any_other():
    ingestor = with_events(-1, -60, -61, 10**30, 10**30 + 59)
    ingestor.advance_watermark("a", 10**31)
    windows = ingestor.emit_events()
    assert starts(windows) == [-120, -60, 10**30 // 60 * 60, 10**30 // 60 * 60 + 60]
    assert timestamps(windows)[:2] == [[-61], [-60, -1]]


def test_equal_timestamps_keep_the_order_of_arrival():
    ingestor = EventIngestor("ab")
    for number, partition in enumerate("abba"):
        ingestor.ingest(partition, 5, number)
    ingestor.ingest("a", 4, "earlier")
    ingestor.advance_watermark("a", 60)
    ingestor.advance_watermark("b", 60)
    (window,) = ingestor.emit_events()
    assert [event.data for event in window.events] == ["earlier", 0, 1, 2, 3]


def test_an_event_beyond_the_limit_of_its_partition_is_handed_back_until_others_are_emitted():
    ingestor = with_events(0, 1, partitions="ab", max_pending=2)
    assert ingestor.ingest("a", 2, None) == Refused(Event("a", 2, None), Reason.BUFFER_FULL)
    assert not Reason.BUFFER_FULL.late
    assert ingestor.ingest("b", 2, None) is None
    for partition in "ab":
        ingestor.advance_watermark(partition, 60)
    ingestor.emit_events()
    assert ingestor.ingest("a", 60, None) is None


def test_memory_is_released_as_windows_are_emitted():
    ingestor = EventIngestor("a")
    tracemalloc.start()
    try:
        held = []
        for window in range(30):
            for timestamp in range(window * 60, window * 60 + 60):
                ingestor.ingest("a", timestamp, bytes(1000))
            ingestor.advance_watermark("a", window * 60 + 60)
            ingestor.emit_events()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[-1] - held[0] < 30_000  # half of a window's data
    assert (ingestor.pending, ingestor._windows, ingestor._starts, ingestor._pending) == (0, {}, [], {})


def test_neither_statements_nor_retired_partitions_pile_up_behind_a_slow_one():
    ingestor = EventIngestor(["slow"])
    ingestor.advance_watermark("slow", 0)
    for number in range(1000):
        ingestor.add_partition(number)
        ingestor.advance_watermark(number, 1)
        ingestor.advance_watermark(number, 2 + number)
        ingestor.retire_partition(number)
    assert len(ingestor._progress._heap) < 30


@pytest.mark.parametrize("timestamp", [1.0, "1", None, True, float("nan")])
def test_a_timestamp_that_is_no_whole_number_is_an_error(timestamp):
    ingestor = EventIngestor("a")
    with pytest.raises(TypeError, match="a timestamp is an int"):
        ingestor.ingest("a", timestamp, None)
    with pytest.raises(TypeError, match="a timestamp is an int"):
        ingestor.advance_watermark("a", timestamp)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"window_size": 0}, "window_size"),
        ({"window_size": 1.5}, "window_size"),
        ({"max_pending": 0}, "max_pending"),
        ({"idle_timeout": 0}, "idle_timeout"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options, name):
    with pytest.raises(ValueError, match=name):
        EventIngestor("a", **options)


PARTITIONS = st.sampled_from("abc")
TIMES = st.integers(-9, 30)  # windows of 4: few enough that events, watermarks and boundaries meet


class AnyInterleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ingestor, self.model = EventIngestor("ab", 4), SortedListModel("ab", 4)
        self.arrived = 0

    @rule(events=st.lists(st.tuples(PARTITIONS, TIMES), min_size=1, max_size=4))
    def ingest(self, events: list[tuple[str, int]]) -> None:
        for partition, timestamp in events:
            self.arrived += 1
            refused = self.ingestor.ingest(partition, timestamp, self.arrived)
            assert (refused is None) == self.model.ingest(partition, timestamp, self.arrived)
            assert refused is None or refused.event == (partition, timestamp, self.arrived)

    @rule(partition=PARTITIONS, timestamp=TIMES)
    def advance(self, partition: str, timestamp: int) -> None:
        if partition in self.model.marks:
            self.ingestor.advance_watermark(partition, timestamp)
            self.model.advance(partition, timestamp)

    @rule(timestamp=TIMES)
    def advance_all(self, timestamp: int) -> None:
        for partition in list(self.model.marks):
            self.advance(partition, timestamp)

    @rule(partition=PARTITIONS)
    def add_or_retire(self, partition: str) -> None:
        if partition in self.model.marks:
            self.ingestor.retire_partition(partition)
            self.model.retire(partition)
        else:
            self.ingestor.add_partition(partition)
            self.model.add(partition)

    @rule()
    def emit(self) -> None:
        assert [(window.start, list(window.events)) for window in self.ingestor.emit_events()] == self.model.emit()

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.ingestor.pending == len(self.model.events)


@pytest.mark.long
def test_any_interleaving_does_as_the_sorted_list():
    """5,000 runs: any order of ingest, advance, emit, add and retire, each answer and each window compared."""
    run_state_machine_as_test(
        AnyInterleaving,
        settings=settings(
            max_examples=5_000, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
