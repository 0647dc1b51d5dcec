"""Records packed into parcels: what one operator hands to the next, as bytes.

A parcel holds clicks of one bucket and one window, or invalid records. A bucket is part of the identity, so equal
clicks meet in one bucket and the load is even however hot an ad is. The bytes are two Arrow IPC streams, columns,
typed, never a pickle: the verdicts, then the records, which are read for late clicks and invalid records alone. These
are compressed, as they are most of what crosses from process to process. The last bytes say which window it is, and
where the second stream starts.

Few and large calls: each expression that Polars evaluates is handed to its threads, which wait their turn on a busy
machine, however short the column. What is done for each parcel therefore takes columns as they are.
"""

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from udfs.batches import judge_batch
from udfs.blocklist import Blocklist
from udfs.clicks import IDENTITY_BYTES
from udfs.compiled import Numbers
from udfs.identity_table import halves
from udfs.plain_columns import flat
from udfs.turns import turns_of

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
_END = struct.Struct("<qI")
"""The end of a parcel: the window's start in epoch ms (0 of invalid records), and where the second stream starts."""


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
    """Packed records for a bucket."""

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
    rows = judged.hstack(records)
    if judged["reason"].null_count() < len(judged):
        rejects = rows.filter(pl.col("reason").is_not_null())
        yield Parcel(rejects["offset"][0] % packing.buckets, _packed(rejects, ["reason"]))
        rows = rows.filter(pl.col("reason").is_null())
    verdicts = ["identity", "ad_id", *(["country"] if packing.by_country else [])]
    for clicks in _parts(rows, packing):
        yield Parcel(clicks["bucket"][0], _packed(clicks, verdicts, clicks["window_start"][0]))


def unpack(packed: bytes) -> Clicks | Rejects:
    """Return what is in a parcel."""
    window_start, records_at = _END.unpack_from(packed, len(packed) - _END.size)
    verdicts, records = _read(packed[:records_at]), partial(_read, packed[records_at : -_END.size])
    if "reason" in verdicts.columns:
        return Rejects(verdicts.hstack(records()))
    countries = verdicts["country"].to_list() if "country" in verdicts.columns else None
    identities, ad_ids = _identities(verdicts["identity"]), verdicts["ad_id"].to_list()
    return Clicks(window_start, identities, ad_ids, lambda: records().rows(), countries)


def buckets_of(identities: bytes | Numbers, buckets: int) -> Numbers:
    """Return the bucket of each of the identities: its first four bytes, big-endian, modulo `buckets`."""
    return np.frombuffer(identities, ">u4")[:: IDENTITY_BYTES // 4] % buckets


def _parts(clicks: pl.DataFrame, packing: Packing) -> list[pl.DataFrame]:
    """Part clicks by bucket, window and turn (`udfs.turns`), the first turn first."""
    identities = _identities(clicks["identity"])
    window_starts = clicks["click_timestamp"].to_numpy() // packing.window * packing.window
    keys = {
        "turn": turns_of(identities, window_starts),
        "bucket": buckets_of(identities, packing.buckets),
        "window_start": window_starts,
    }
    parts = clicks.hstack(pl.DataFrame(keys)).partition_by(*keys)
    return sorted(parts, key=lambda part: part["turn"][0])


def _packed(rows: pl.DataFrame, verdicts: list[str], window_start: int = 0) -> bytes:
    packed = io.BytesIO()
    pl.DataFrame([rows[name] for name in verdicts]).write_ipc_stream(packed)
    records_at = packed.tell()
    pl.DataFrame([rows[name] for name in RECORD]).write_ipc_stream(packed, compression="lz4")
    packed.write(_END.pack(window_start, records_at))
    return packed.getvalue()


def _identities(column: pl.Series) -> Numbers:
    offsets, data = flat(column)
    return halves(data[offsets[0] : offsets[-1]])


def _read(stream: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(stream))
