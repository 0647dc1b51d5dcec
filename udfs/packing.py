"""Records packed into parcels: what one operator hands to the next, as bytes.

A parcel holds clicks of one bucket, or invalid records. A bucket is part of the identity, so equal clicks meet in one
bucket and the load is even however hot an ad is. The bytes are two Arrow IPC streams, columns, typed, never a pickle:
the verdicts, then the records, which are read for late clicks and invalid records alone. The last four bytes say where
the second stream starts.

Few and large calls: each expression that Polars evaluates is handed to its threads, which wait their turn on a busy
machine, however short the column. What is done for each parcel therefore takes columns as they are.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import polars as pl

from udfs.batches import judge_batch
from udfs.blocklist import Blocklist
from udfs.clicks import IDENTITY_BYTES
from udfs.compiled import Numbers
from udfs.identity_table import halves
from udfs.plain_columns import flat

RECORD = pl.Schema(
    {
        "key": pl.Binary,
        "value": pl.Binary,
        "partition": pl.Int32,
        "offset": pl.Int64,
        "timestamp": pl.Int64,
    }
)
"""A Kafka record, `timestamp` in epoch ms: what a click takes along, as it may turn out late."""
_PLACE_BYTES = 4


@dataclass(frozen=True)
class Packing:
    """How clicks are packed: window and `max_clock_skew` in milliseconds, number of buckets, what is not counted.

    `by_country`: with their countries.
    """

    window: int
    max_clock_skew: int
    buckets: int
    blocklist: Blocklist | None = None
    by_country: bool = False


@dataclass(frozen=True)
class Parcel:
    """Packed records for a bucket; `row`: where the first of them came in the batch."""

    row: int
    bucket: int
    packed: bytes


@dataclass(frozen=True)
class Clicks:
    """Clicks of one bucket and one window, in the order they came; `countries` where they were packed by country.

    `identities` are rows of their `halves` (`udfs.identity_table`).
    `records` reads their records, tuples as `RECORD` has them.
    """

    window_start: int
    identities: Numbers
    ad_ids: list[str]
    records: Callable[[], Iterable[tuple[object, ...]]]
    countries: list[str] | None = None


@dataclass(frozen=True)
class Rejects:
    """Invalid and filtered records: `reason`, then the schema `RECORD`."""

    records: pl.DataFrame


def pack(records: pl.DataFrame, packing: Packing) -> Iterator[Parcel]:
    """Judge a batch of records (schema `RECORD`) and pack each into one parcel."""
    judged = judge_batch(records, packing.max_clock_skew, packing.blocklist, packing.by_country)
    rows = judged.hstack(records).with_row_index("row")
    if judged["reason"].null_count() < len(judged):
        rejects = rows.filter(pl.col("reason").is_not_null())
        yield _parcel(rejects, rejects["offset"][0] % packing.buckets, ["reason"])
        rows = rows.filter(pl.col("reason").is_null())
    rows = rows.with_columns(bucket=_bucket(packing.buckets), window_start=_window_start(packing.window))
    verdicts = ["window_start", "identity", "ad_id", *(["country"] if packing.by_country else [])]
    for clicks in _by_window(rows).partition_by("bucket", maintain_order=True):
        yield _parcel(clicks, clicks["bucket"][0], verdicts)


def unpack(packed: bytes) -> Iterator[Clicks | Rejects]:
    """Return what is in a parcel, clicks by window, such that an identity's first click comes first."""
    verdicts = _read(packed[: _records_at(packed)])
    if "reason" in verdicts.columns:
        yield Rejects(verdicts.hstack(_records(packed)))
        return
    identities, ad_ids = _identities(verdicts["identity"]), verdicts["ad_id"].to_list()
    countries = verdicts["country"].to_list() if "country" in verdicts.columns else None
    start = 0
    for window_start, same in groupby(verdicts["window_start"].to_list()):
        end = start + len(list(same))
        some, records = slice(start, end), partial(_records_of, packed, start, end)
        yield Clicks(window_start, identities[some], ad_ids[some], records, countries and countries[some])
        start = end


def buckets_of(identities: bytes, buckets: int) -> Numbers:
    """Return the bucket of each of the identities: its first four bytes, big-endian, modulo `buckets`."""
    return np.frombuffer(identities, ">u4")[:: IDENTITY_BYTES // 4] % buckets


def _bucket(buckets: int) -> pl.Expr:
    """The expression of `buckets_of`."""
    head = pl.col("identity").bin.head(4).bin.reinterpret(dtype=pl.UInt32, endianness="big")
    return (head % buckets).cast(pl.Int32)


def _window_start(window: int) -> pl.Expr:
    return pl.col("click_timestamp") // window * window


def _by_window(clicks: pl.DataFrame) -> pl.DataFrame:
    """Bring each window's clicks together, unless an identity is in several: then the order of arrival decides."""
    if clicks["window_start"].min() == clicks["window_start"].max():
        return clicks
    if clicks.select("identity", "window_start").n_unique() > clicks["identity"].n_unique():
        return clicks
    return clicks.sort("window_start", maintain_order=True)


def _parcel(rows: pl.DataFrame, bucket: int, verdicts: list[str]) -> Parcel:
    packed = io.BytesIO()
    pl.DataFrame([rows[name] for name in verdicts]).write_ipc_stream(packed)
    records_at = packed.tell()
    pl.DataFrame([rows[name] for name in RECORD]).write_ipc_stream(packed)
    packed.write(records_at.to_bytes(_PLACE_BYTES, "big"))
    return Parcel(int(rows["row"].to_numpy().min()), bucket, packed.getvalue())


def _identities(column: pl.Series) -> Numbers:
    offsets, data = flat(column)
    return halves(data[offsets[0] : offsets[-1]])


def _records_at(packed: bytes) -> int:
    return int.from_bytes(packed[-_PLACE_BYTES:], "big")


def _records(packed: bytes) -> pl.DataFrame:
    return _read(packed[_records_at(packed) : -_PLACE_BYTES])


def _records_of(packed: bytes, start: int, end: int) -> list[tuple[object, ...]]:
    return _records(packed)[start:end].rows()


def _read(stream: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(stream))
