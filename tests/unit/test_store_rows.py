"""How records become rows: whole batches at once, late and invalid clicks by their origin."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from serving.blocks import record_values
from serving.rows import invalid, late, lines, reconciliation, written_by
from serving.settings import ServingError
from tests.builders import MINUTE, NOON, raw

BYTES = st.none() | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2)
ORIGIN = {"reason": b"late", "topic": b"clicks", "partition": b"3", "offset": b"17", "timestamp": str(NOON).encode()}


def a_record(value: bytes | None, **headers: bytes) -> Any:
    """A record of a result topic, produced ten milliseconds after noon."""
    pairs = [(f"clickproof.{name}", content) for name, content in headers.items()]
    return ConsumerRecord("clicks-late", 0, 0, 5, NOON + 10, 0, b"", value, pairs, None, 0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(records=st.lists(st.tuples(BYTES, BYTES, HEADERS, st.integers(0, 2**40)), min_size=1, max_size=70))
def test_values_are_found_whatever_lies_between_them(records: list[Any]) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**9)
    for offset, (key, value, headers, timestamp) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    body = bytes(builder.build())[DefaultRecordBatch.HEADER_STRUCT.size :]
    assert record_values(body, len(records)) == [value for _, value, _, _ in records if value is not None]


def test_long_values_are_found() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**9)
    values = [b"x" * size for size in (0, 1, 62, 63, 64, 127, 128, 8190, 8191, 8192, 70_000, 3_000_000)]
    for offset, value in enumerate(values):
        builder.append(offset, 0, None, value, [])
    assert record_values(bytes(builder.build())[DefaultRecordBatch.HEADER_STRUCT.size :], len(values)) == values


def test_blocks_without_values_leave_no_lines() -> None:
    assert lines([a_record(b'{"a":1}\n{"a":2}'), a_record(b""), a_record(b'{"a":3}')]) == b'{"a":1}\n{"a":2}\n{"a":3}'


def test_a_late_click_is_a_row_of_its_window_known_by_its_origin() -> None:
    row = late(a_record(raw(click_timestamp=NOON + MINUTE + 1), **ORIGIN))
    origin = {"topic": "clicks", "partition": 3, "offset": 17, "published": NOON + 10}
    assert row == {"window_start": NOON + MINUTE, "ad_id": "ad-1"} | origin


def test_of_a_repeated_key_of_a_late_click_the_last_counts() -> None:
    value = b'{"ad_id":"first","click_timestamp":1,"ad_id":"last","click_timestamp":60000}'
    row = late(a_record(value, **ORIGIN))
    assert (row["ad_id"], row["window_start"]) == ("last", MINUTE)


@pytest.mark.parametrize(("timestamp", "window"), [(NOON + 5, NOON), (0, 0), (-1, 0)])
def test_an_invalid_click_is_booked_on_the_minute_of_its_record(timestamp: int, window: int) -> None:
    headers = ORIGIN | {"reason": b"too_large", "timestamp": str(timestamp).encode()}
    row = invalid(a_record(b"\xff", **headers))
    assert (row["window_start"], row["reason"], row["offset"]) == (window, "too_large", 17)


def test_a_reconciliation_is_a_row_with_the_time_it_was_published() -> None:
    assert reconciliation(a_record(b'{"from":0,"to":60000,"version":1}')) == {
        "from": 0,
        "to": 60000,
        "version": 1,
        "published": NOON + 10,
    }


@pytest.mark.parametrize("record", [a_record(raw()), a_record(b"no click", **ORIGIN), a_record(None, **ORIGIN)])
def test_a_record_that_the_job_did_not_write_is_one_sentence(record: Any) -> None:
    with pytest.raises(ServingError, match="clicks-late, partition 0, offset 5 was not written by Clickproof"):
        written_by(late)([record])


def test_rows_are_a_line_each_whatever_the_ad_is_called() -> None:
    records = [a_record(raw(ad_id=ad), **ORIGIN) for ad in ("a\nb", 'quote"', "é", "\0")]
    rows = written_by(late)(records).split(b"\n")
    assert [json.loads(row)["ad_id"] for row in rows] == ["a\nb", 'quote"', "é", "\0"]
