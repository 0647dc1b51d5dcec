"""The operators with a state, a clock and timers of their own: no JVM."""

import json
from collections.abc import Iterator
from types import SimpleNamespace

import polars as pl
import pytest

from udfs.packing import RECORD
from udfs.partition_windows_book import WindowRules
from udfs.partition_windows_operators import REFUSED, CollectWindows, FollowStatements
from udfs.partition_windows_records import pack_events, pack_statements

RULES = WindowRules(window=60, max_pending_bytes=1_000, unknown_timeout=100, buckets=1)
END = 2**63 - 1


class FakeFlink:
    """Both operators with the state and timers of one key, and the processing time that fires them."""

    def __init__(self, idle_timeout: int | None = None) -> None:
        self.now, self.offset, self.idle_timeout = 0, 0, idle_timeout
        self.states: dict[str, dict] = {}
        self.timers: dict[str, set[tuple[str, int]]] = {"follow": set(), "collect": set()}
        self.restart()

    def restart(self) -> None:
        """New workers on the same state."""
        self.follow, self.collect = FollowStatements(RULES, self.idle_timeout), CollectWindows(RULES)
        for operator in (self.follow, self.collect):
            operator.open(SimpleNamespace(get_state=self._value, get_map_state=self._map))

    def events(self, *events: tuple[str, int]) -> list:
        values = [{"partition": name, "timestamp": timestamp, "data": None} for name, timestamp in events]
        return self._collected(pack_events(self._records(values), 1))

    def statements(self, *statements: dict) -> list:
        (parcel,) = pack_statements(self._records(statements))
        return self._orders(self.follow.process_element(parcel.packed, self._context("follow")))

    def advance(self, now: int, domain: str = "processing") -> list:
        """Let processing time pass, or (at END) the input end."""
        if domain == "processing":
            self.now = now
        outputs = []
        for name, operator in (("follow", self.follow), ("collect", self.collect)):
            for timer in sorted(timer for timer in self.timers[name] if timer[0] == domain and timer[1] <= now):
                self.timers[name].discard(timer)
                fired = operator.on_timer(timer[1], self._context(name))
                outputs += self._orders(fired) if name == "follow" else fired
        return outputs

    def _orders(self, outputs: Iterator) -> list:
        parcels, refused = [], []
        for output in outputs:
            (refused if isinstance(output, tuple) else parcels).append(output)
        return refused + self._collected(SimpleNamespace(packed=row[1]) for row in parcels)

    def _collected(self, parcels: Iterator) -> list:
        context = self._context("collect")
        return [output for parcel in parcels for output in self.collect.process_element(parcel.packed, context)]

    def _records(self, values: list[dict] | tuple[dict, ...]) -> pl.DataFrame:
        start, self.offset = self.offset, self.offset + len(values)
        rows = [
            (value["partition"].encode(), json.dumps(value).encode(), 0, start + number, 0)
            for number, value in enumerate(values)
        ]
        return pl.DataFrame(rows, schema=RECORD, orient="row")

    def _context(self, operator: str) -> SimpleNamespace:
        def register(domain: str):
            return lambda timestamp: self.timers[operator].add((domain, timestamp))

        service = SimpleNamespace(
            current_processing_time=lambda: self.now,
            register_processing_time_timer=register("processing"),
            register_event_time_timer=register("event"),
        )
        return SimpleNamespace(get_current_key=lambda: 0, timer_service=lambda: service)

    def _value(self, descriptor) -> SimpleNamespace:
        held = self.states.setdefault(descriptor.name, {})
        return SimpleNamespace(value=lambda: held.get(0), update=lambda value: held.__setitem__(0, value))

    def _map(self, descriptor) -> SimpleNamespace:
        held = self.states.setdefault(descriptor.name, {})
        return SimpleNamespace(get=held.__getitem__, put=held.__setitem__, remove=held.__delitem__)


def add(name: str) -> dict:
    return {"op": "add", "partition": name}


def advance(name: str, timestamp: int) -> dict:
    return {"op": "advance", "partition": name, "timestamp": timestamp}


def starts(outputs: list) -> list[int]:
    return [json.loads(row[1])["window_start"] for row in outputs if not isinstance(row, tuple)]


def reasons(outputs: list) -> list[str]:
    return [row[5] for tag, row in (output for output in outputs if isinstance(output, tuple)) if tag is REFUSED]


@pytest.fixture
def flink() -> FakeFlink:
    return FakeFlink()


def test_a_window_is_published_under_its_partition(flink):
    flink.statements(add("a"))
    flink.events(("a", 70), ("a", 5))
    (row,) = flink.statements(advance("a", 60))
    assert bytes(row[0]) == b"a"
    assert json.loads(row[1]) == {
        "partition": "a",
        "window_start": 0,
        "window_end": 60,
        "events": [{"partition": "a", "timestamp": 5, "data": None}],
    }


def test_a_restart_remembers_events_watermarks_and_what_is_published(flink):
    flink.statements(add("a"), add("b"))
    flink.events(("a", 5), ("b", 65))
    flink.statements(advance("a", 60))
    flink.restart()
    assert starts(flink.statements(advance("b", 60))) == [0]
    flink.restart()
    assert reasons(flink.events(("a", 59))) == ["behind_watermark"]
    assert starts(flink.statements(advance("a", 120), advance("b", 120))) == [60]
    assert flink.states["slices"] == {}


def test_a_statement_about_an_unknown_partition_is_refused(flink):
    assert reasons(flink.statements(advance("a", 60))) == ["unknown_partition"]


def test_an_event_is_refused_when_its_partition_is_not_added_in_time(flink):
    flink.events(("a", 5))
    assert flink.advance(99) == []
    assert reasons(flink.advance(100)) == ["unknown_partition"]


def test_an_event_is_refused_when_a_bounded_input_ends_without_its_partition(flink):
    flink.events(("a", 5))
    flink.restart()
    assert reasons(flink.advance(END, "event")) == ["unknown_partition"]
    assert flink.states["slices"] == {}


def test_an_event_waits_its_whole_time_again_after_the_job_was_down(flink):
    flink.events(("a", 5))
    flink.restart()
    assert flink.advance(1_000) == []
    flink.restart()
    assert flink.advance(2_000) == []
    assert flink.advance(2_099) == []
    assert reasons(flink.advance(2_100)) == ["unknown_partition"]


def test_a_partition_that_falls_silent_is_noticed_by_the_clock():
    flink = FakeFlink(idle_timeout=40)
    flink.statements(add("a"), add("b"))
    flink.events(("a", 5))
    flink.now = 30
    assert flink.statements(advance("a", 60)) == []
    assert starts(flink.advance(40)) == [0]
    assert {domain for domain, _ in flink.timers["follow"]} == {"processing"}


def test_a_restart_is_no_silence():
    flink = FakeFlink(idle_timeout=40)
    flink.statements(add("a"), add("b"))
    flink.events(("a", 5))
    flink.statements(advance("a", 60))
    flink.now = 39
    flink.restart()
    assert starts(flink.advance(78)) == []
    flink.now = 100
    assert starts(flink.statements(advance("a", 60))) == []
    assert starts(flink.advance(117)) == []
    assert starts(flink.advance(120)) == [0]


def test_without_a_timeout_there_is_no_timer(flink):
    flink.statements(add("a"))
    flink.events(("a", 5))
    assert flink.timers == {"follow": set(), "collect": set()}
