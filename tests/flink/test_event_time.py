"""The event time that SQL finds in a value, against the plain reading of it."""

from datetime import timedelta

import pytest
from pyflink.common import Instant, Row, Types

from jobs.event_time import RECORD_MS, event_time
from jobs.settings import Settings
from local.odd_clicks import FUTURE, INVALID, UNUSUAL, fill
from tests.builders import MINUTE, NOON, raw
from tests.flink.conftest import environment
from tests.fuzz import fuzzed
from tests.seeds import chosen_seed
from udfs.clicks import Invalid, judge
from udfs.heartbeats import HEARTBEAT_KEY

pytestmark = pytest.mark.flink

SKEW = 5 * MINUTE
_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
T = b"%d" % NOON
ADDRESSED = b'"ad_id":"a","user_id":"u","ip":"::1"'
SPELLED = [
    b'{%b,"click_timestamp":%b}' % (ADDRESSED, T),
    b'{"click_timestamp":%b,%b}' % (T, ADDRESSED),
    b'{ "click_timestamp" \t:\r\n %b\n, %b}' % (T, ADDRESSED),
    b'{%b,"click_timestamp"\n:\t%b\r\n}\n' % (ADDRESSED, T),
    b'{"click_timestamp":1,%b,"click_timestamp":%b}' % (ADDRESSED, T),
    b'{"click_timestamp": 1, "click_timestamp" :%b, %b}' % (T, ADDRESSED),
    b'{"x":{"click_timestamp":1},%b,"click_timestamp" :%b}' % (ADDRESSED, T),
    b'{%b,"click_timestamp":%b,"x":[{"click_timestamp":1}]}' % (ADDRESSED, T),
    b'{"type":"click_timestamp","x":1,%b,"click_timestamp":%b}' % (ADDRESSED, T),
    rb'{"x\"click_timestamp":1,%b,"click_timestamp":%b}' % (ADDRESSED, T),
    rb'{"x":{"click_timestamp":1},%b,"click\u005ftimestamp":%b}' % (ADDRESSED, T),
    rb'{"x":"\\","click_timestamp":%b,%b}' % (T, ADDRESSED),
    b'{"click_timestamp":-0,%b}' % ADDRESSED,
    b'{"click_timestamp":0,%b}' % ADDRESSED,
]


def event_times(values: list[bytes | None], key: bytes | None = None) -> list[int]:
    """Return what the job makes of records with these values, in epoch ms; their own timestamps are at noon."""
    env, table_env = environment(Settings(parallelism=1), batch=1)
    table_env.get_config().set_local_timezone("UTC")
    rows = [Row(number, key, value, Instant.of_epoch_milli(NOON)) for number, value in enumerate(values)]
    types = Types.ROW_NAMED(["number", "key", "value", "timestamp"], [Types.INT(), _BYTES, _BYTES, Types.INSTANT()])
    records = table_env.from_data_stream(env.from_collection(rows, types))
    times = f"SELECT number, {event_time(timedelta(milliseconds=SKEW))} AS `timestamp` FROM {records}"
    with table_env.sql_query(f"SELECT number, {RECORD_MS} AS ms FROM ({times})").execute().collect() as found:
        return [ms for _, ms in sorted(tuple(row) for row in found)]


def plainly_read(value: bytes) -> int | None:
    try:
        return judge(value, NOON + SKEW).click_timestamp
    except Invalid:
        return None


@pytest.mark.parametrize("value", SPELLED)
def test_the_spellings_are_valid_clicks(value: bytes):
    assert plainly_read(value) in (0, NOON)


def test_a_valid_clicks_event_time_is_its_own_however_it_is_spelled():
    templates = [each for pair in UNUSUAL for each in pair] + [FUTURE] + [template for _, template in INVALID]
    odd = [fill(template, NOON - number, str(number)) for number, template in enumerate(templates)]
    values = [raw(), *SPELLED, *odd, *fuzzed(chosen_seed(), 10_000, NOON)]
    read = [(plainly_read(value), value) for value in values]
    found = event_times(values)
    clicks = [(plain, time, value) for (plain, value), time in zip(read, found, strict=True) if plain is not None]
    assert [each for each in clicks if each[0] != each[1]] == []
    assert len(clicks) > 1_000
    assert max(found) <= NOON + SKEW


def test_a_time_beyond_the_skew_or_absurd_counts_as_1970_and_so_does_none():
    times = [NOON + SKEW, NOON + SKEW + 1, 10**30]
    timeless = [None, b"", b"{}", b"hello", b'"click_timestamp"', b'"click_timestamp":', b"1" * 99]
    assert event_times([raw(click_timestamp=time) for time in times] + timeless) == [NOON + SKEW] + [0] * 9


def test_a_heartbeats_event_time_is_its_records():
    assert event_times([None], HEARTBEAT_KEY) == [NOON]
