"""What runs in the job, without Flink: the control plane and the buckets, held against the library."""

import json
from types import SimpleNamespace

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import FAR_FUTURE
from tests.partition_windows_plane import WINDOW, Operation, Result, of_library, topics
from udfs.packing import RECORD
from udfs.partition_windows_bucket import Book, Bucket, Published, WindowRules
from udfs.partition_windows_control import ControlPlane
from udfs.partition_windows_progress import Progress
from udfs.partition_windows_records import pack_events, pack_statements, unpacked

UNKNOWN_TIMEOUT = 1000
RULES = WindowRules(WINDOW, max_pending_bytes=10_000, unknown_timeout=UNKNOWN_TIMEOUT, buckets=2)


class Plane:
    """A control plane and two buckets, whose state goes through its written form before each step."""

    def __init__(self, rules: WindowRules = RULES, idle_timeout: float | None = None) -> None:
        self.rules, self.now, self.idle_timeout = rules, 0, idle_timeout
        self.progress = json.dumps(Progress().state())
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
        progress = Progress.restored(json.loads(self.progress), self.idle_timeout, lambda: self.now)
        control = ControlPlane(self.rules.window, self.rules.buckets, progress)
        do(control)
        self.progress = json.dumps(control.progress.state())
        for number, packed in control.orders():
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


@settings(max_examples=500, deadline=None)
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
        assert plane.result.refused == expected.refused
