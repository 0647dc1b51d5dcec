"""The records of the partition windows: their rules, and the parcels in which they travel.

An event is `{"partition", "timestamp", "data"}`, and its record's key is the partition, which keeps the events of a
partition in order. A statement is `{"op": "add" | "advance" | "retire", "partition"}`, with a `timestamp` when it
advances. Its `after` is the `{"partition", "offset"}` in Kafka of the last event before it, with offset -1 if there was
none; a statement without it is made after the events that happen to be read.
"""

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from zlib import crc32

import polars as pl

from udfs.clicks import Invalid, json_object
from udfs.packing import RECORD, Parcel

ADD, ADVANCE, RETIRE = "add", "advance", "retire"
"""What partitions state."""
IDLE, CLOSED = "idle", "closed"
"""What the control plane adds for the buckets: a partition fell silent, and windows up to a time are closed."""

MAX_NAME = 256
"""Longest name of a partition, in Unicode code points."""
MIN_TIMESTAMP, MAX_TIMESTAMP = -(2**62), 2**62 - 1
"""Half of what 64 bits hold, so that the end of a window always fits."""
_MAX_LANE, _MAX_OFFSET = 2**31 - 1, 2**63 - 1

_READ_EVENT = pl.Schema({"name": pl.String, "event_time": pl.Int64, "reason": pl.String})
_READ_STATEMENT = pl.Schema(
    {"op": pl.String, "name": pl.String, "time": pl.Int64, "lane": pl.Int32, "after": pl.Int64, "reason": pl.String}
)
EVENT = [*_READ_EVENT, *RECORD]
"""An event (or, with a reason, a record that is none): `name` is its partition, `partition` that of Kafka."""
STATEMENT = [*_READ_STATEMENT, *RECORD]
"""A statement, likewise; `lane` is the partition of Kafka of the event at offset `after`."""
ORDER = pl.Schema({"op": pl.String, "name": pl.String, "time": pl.Int64, "lane": pl.Int32, "after": pl.Int64})
"""What the control plane tells a bucket; `time` is a watermark, or where the closed windows end."""

Event = tuple[str, int]
Place = tuple[int, int] | tuple[None, None]
Statement = tuple[str, str, int | None, int | None, int | None]


def read_event(value: bytes | None) -> Event:
    """Return an event's partition and timestamp; raises `Invalid` with the first reason that applies."""
    fields = json_object(value)
    name, timestamp = _name(fields), _integer(fields, "timestamp", MIN_TIMESTAMP, MAX_TIMESTAMP)
    if "data" not in fields:
        raise Invalid("missing_field")
    return name, timestamp


def read_statement(value: bytes | None) -> Statement:
    """Return a statement as (op, partition, watermark or None, lane and offset or None); raises `Invalid`."""
    fields = json_object(value)
    op = fields.get("op")
    if op not in (ADD, ADVANCE, RETIRE):
        raise Invalid("wrong_type" if "op" in fields else "missing_field")
    name = _name(fields)
    watermark = _integer(fields, "timestamp", MIN_TIMESTAMP, MAX_TIMESTAMP) if op == ADVANCE else None
    return op, name, watermark, *_place(fields.get("after"))


def pack_events(records: pl.DataFrame, buckets: int) -> Iterator[Parcel]:
    """Pack a batch of records (schema `RECORD`) into a parcel for each bucket; what is no event goes along.

    A partition's offset moves on with a record that is no event, too: its key says whose it is.
    """
    names = [_text(key) for key in records["key"].to_list()]
    of_name = cache(lambda name: 0 if name is None else bucket_of(name, buckets))
    events = _read(records, _READ_EVENT, read_event).with_columns(
        pl.Series("key_name", names, pl.String), pl.Series("bucket", [of_name(name) for name in names])
    )
    wrong_key = pl.col("name").is_not_null() & pl.col("name").ne_missing(pl.col("key_name"))
    reason = pl.when(wrong_key).then(pl.lit("wrong_key")).otherwise("reason")
    events = events.with_columns(name="key_name", reason=reason)
    for same in events.partition_by("bucket", maintain_order=True):
        yield Parcel(same["bucket"][0], packed(same.select(EVENT)))


def pack_statements(records: pl.DataFrame) -> Iterator[Parcel]:
    """Pack a batch of records (schema `RECORD`) into one parcel: all statements meet in one place."""
    yield Parcel(0, packed(_read(records, _READ_STATEMENT, read_statement)))


def bucket_of(name: str, buckets: int) -> int:
    """Return the bucket of a partition."""
    return crc32(name.encode()) % buckets


def packed(frame: pl.DataFrame) -> bytes:
    """Return a frame as an Arrow IPC stream."""
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


def unpacked(parcel: bytes) -> pl.DataFrame:
    """Return the frame of a parcel: its columns tell what it is."""
    return pl.read_ipc_stream(io.BytesIO(parcel))


def is_orders(frame: pl.DataFrame) -> bool:
    """Whether the frame of a parcel for a bucket has orders (schema `ORDER`), not events."""
    return "op" in frame.columns


def _read(records: pl.DataFrame, schema: pl.Schema, read: Callable[[bytes | None], tuple[Any, ...]]) -> pl.DataFrame:
    """Read each value into the columns of `schema`: what `read` returns, and the reason why it could not."""
    rows = [_fields(value, read, len(schema) - 1) for value in records["value"].to_list()]
    return pl.DataFrame(rows, schema=schema, orient="row").hstack(records)


def _fields(value: bytes | None, read: Callable[[bytes | None], tuple[Any, ...]], width: int) -> tuple[Any, ...]:
    try:
        return (*read(value), None)
    except Invalid as invalid:
        return (*width * [None], invalid.reason)


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def _name(fields: dict[str, Any]) -> str:
    if "partition" not in fields:
        raise Invalid("missing_field")
    name = fields["partition"]
    if not isinstance(name, str):
        raise Invalid("wrong_type")
    if not name:
        raise Invalid("empty_field")
    if len(name) > MAX_NAME:
        raise Invalid("too_long")
    return name


def _place(after: object) -> Place:
    if after is None:
        return None, None
    if not isinstance(after, dict):
        raise Invalid("wrong_type")
    return _integer(after, "partition", 0, _MAX_LANE), _integer(after, "offset", -1, _MAX_OFFSET)


def _integer(fields: dict[str, Any], name: str, least: int, most: int) -> int:
    if name not in fields:
        raise Invalid("missing_field")
    number = fields[name]
    if type(number) is not int:
        raise Invalid("wrong_type")
    if not least <= number <= most:
        raise Invalid("timestamp_out_of_range")
    return number
