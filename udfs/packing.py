"""Clicks packed by bucket: what one operator hands to the next, as bytes.

A bucket is part of the identity, so equal clicks meet in one bucket and the load is even however hot an ad is. The
bytes are an Arrow IPC stream: columns, typed, never a pickle.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from udfs.batches import judge_batch

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

NO_BUCKET = -1


@dataclass(frozen=True)
class Packing:
    """How clicks are packed: the window and `max_clock_skew` in milliseconds, and the number of buckets."""

    window: int
    max_clock_skew: int
    buckets: int


@dataclass(frozen=True)
class Part:
    """Clicks of one bucket and one window, in the order they came; `records` are their records (schema `RECORD`)."""

    window_start: int
    identities: list[bytes]
    ad_ids: list[str]
    records: pl.DataFrame


def pack(records: pl.DataFrame, packing: Packing) -> pl.DataFrame:
    """Judge a batch of records (schema `RECORD`) and pack the valid clicks by bucket.

    Returns a row for each record: `reason` is set where the record is invalid; `packed` carries a whole `bucket` (else
    `NO_BUCKET`) and lies in the row of the bucket's first click, so there is room for it however small the batch.
    """
    judged = judge_batch(records, packing.max_clock_skew)
    clicks = judged.filter(pl.col("reason").is_null()).with_columns(
        bucket=_bucket(packing.buckets), window_start=_window_start(packing.window)
    )
    clicks = clicks.select("row", "bucket", "window_start", "identity", "ad_id").hstack(records[clicks["row"]])
    buckets = clicks.partition_by("bucket", maintain_order=True)
    packed = pl.DataFrame(
        [(bucket["row"][0], bucket["bucket"][0], _to_bytes(bucket.drop("row", "bucket"))) for bucket in buckets],
        schema={"row": pl.UInt32, "bucket": pl.Int32, "packed": pl.Binary},
        orient="row",
    )
    rows = judged.select("row", "reason").join(packed, on="row", how="left", maintain_order="left")
    return rows.select(pl.col("bucket").fill_null(NO_BUCKET), "packed", "reason")


def unpack(packed: bytes) -> Iterator[Part]:
    """Return a bucket's clicks as parts, such that an identity's first click comes first."""
    clicks = pl.read_ipc_stream(io.BytesIO(packed))
    for part in _by_window(clicks):
        identities, ad_ids = part["identity"].to_list(), part["ad_id"].to_list()
        yield Part(part["window_start"][0], identities, ad_ids, part.select(RECORD.names()))


def bucket_of(identity: bytes, buckets: int) -> int:
    """Return the bucket of an identity: its first four bytes, big-endian, modulo `buckets`."""
    return int.from_bytes(identity[:4], "big") % buckets


def _bucket(buckets: int) -> pl.Expr:
    """The columnar twin of `bucket_of`."""
    head = pl.col("identity").bin.head(4).bin.reinterpret(dtype=pl.UInt32, endianness="big")
    return (head % buckets).cast(pl.Int32)


def _window_start(window: int) -> pl.Expr:
    return pl.col("click_timestamp") // window * window


def _to_bytes(bucket: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    bucket.write_ipc_stream(stream)
    return stream.getvalue()


def _by_window(clicks: pl.DataFrame) -> list[pl.DataFrame]:
    """Split by window; where one identity is in several, split into runs, to keep the order in which they came."""
    windows = clicks["window_start"].n_unique()
    if windows == 1:
        return [clicks]
    if clicks.select("identity", "window_start").n_unique() == clicks["identity"].n_unique():
        return clicks.partition_by("window_start", maintain_order=True)
    runs = clicks.with_columns(run=pl.col("window_start").rle_id())
    return runs.partition_by("run", maintain_order=True, include_key=False)
