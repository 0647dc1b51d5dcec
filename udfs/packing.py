"""Records packed into parcels: what one operator hands to the next, as bytes.

A parcel holds clicks of one bucket, or invalid records. A bucket is part of the identity, so equal clicks meet in one
bucket and the load is even however hot an ad is. The bytes are an Arrow IPC stream: columns, typed, never a pickle.

Few and large calls: each expression that Polars evaluates is handed to its threads, which wait their turn on a busy
machine, however short the column. What is done for each parcel therefore takes columns as they are.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from udfs.batches import judge_batch
from udfs.blocklist import Blocklist

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
    """Clicks of one bucket and one window, in the order they came; `countries` where they were packed by country."""

    window_start: int
    identities: list[bytes]
    ad_ids: list[str]
    frame: pl.DataFrame
    countries: list[str] | None = None

    def records(self) -> Iterator[tuple[object, ...]]:
        """Return their records, as `RECORD` has them."""
        return zip(*(self.frame[name].to_list() for name in RECORD), strict=True)


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
        yield _parcel(rejects, rejects["offset"][0] % packing.buckets, ["reason", *RECORD])
        rows = rows.filter(pl.col("reason").is_null())
    rows = rows.with_columns(bucket=_bucket(packing.buckets), window_start=_window_start(packing.window))
    columns = ["window_start", "identity", "ad_id", *(["country"] if packing.by_country else []), *RECORD]
    for clicks in _by_window(rows).partition_by("bucket", maintain_order=True):
        yield _parcel(clicks, clicks["bucket"][0], columns)


def unpack(packed: bytes) -> Iterator[Clicks | Rejects]:
    """Return what is in a parcel, clicks by window, such that an identity's first click comes first."""
    frame = pl.read_ipc_stream(io.BytesIO(packed))
    if "reason" in frame.columns:
        yield Rejects(frame)
        return
    identities, ad_ids = frame["identity"].to_list(), frame["ad_id"].to_list()
    countries = frame["country"].to_list() if "country" in frame.columns else None
    start = 0
    for window_start, same in groupby(frame["window_start"].to_list()):
        end = start + len(list(same))
        some = countries and countries[start:end]
        yield Clicks(window_start, identities[start:end], ad_ids[start:end], frame[start:end], some)
        start = end


def bucket_of(identity: bytes, buckets: int) -> int:
    """Return the bucket of an identity: its first four bytes, big-endian, modulo `buckets`."""
    return int.from_bytes(identity[:4], "big") % buckets


def _bucket(buckets: int) -> pl.Expr:
    """The columnar twin of `bucket_of`."""
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


def _parcel(rows: pl.DataFrame, bucket: int, columns: list[str]) -> Parcel:
    stream = io.BytesIO()
    pl.DataFrame([rows[name] for name in columns]).write_ipc_stream(stream)
    return Parcel(int(rows["row"].to_numpy().min()), bucket, stream.getvalue())
