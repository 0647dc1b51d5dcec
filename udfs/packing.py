"""Records packed into parcels: what one operator hands to the next, as bytes.

A parcel holds clicks of one bucket, or invalid records. A bucket is part of the identity, so equal clicks meet in one
bucket and the load is even however hot an ad is. A window that many of a batch's clicks are in has parcels of its own,
as all of its clicks are late or none; the others share theirs. The bytes are two Arrow IPC streams, columns, typed,
never a pickle: the verdicts, then the records, which are read for late clicks and invalid records alone. These are
compressed: they are most of what crosses from process to process. The last bytes say where the second stream starts.

Few and large calls: each expression that Polars evaluates is handed to its threads, which wait their turn on a busy
machine, however short the column. What is done for each parcel therefore takes columns as they are.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

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
_PLACE_BYTES = 4
_MANY = 64
"""A window of so many clicks for each bucket has parcels of its own: a parcel costs what some dozens of records do."""
_SHARED = -1  # in place of a window's start


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
    verdicts = ["window_start", "identity", "ad_id", *(["country"] if packing.by_country else [])]
    for clicks in _parts(rows, packing):
        yield Parcel(clicks["bucket"][0], _packed(clicks, verdicts))


def unpack(packed: bytes) -> Iterator[Clicks | Rejects]:
    """Return what is in a parcel, clicks by window, such that an identity's first click comes first."""
    records_at = int.from_bytes(packed[-_PLACE_BYTES:], "big")
    verdicts = _read(packed[:records_at])

    @cache
    def records() -> pl.DataFrame:
        return _read(packed[records_at:-_PLACE_BYTES])

    def rows(some: slice) -> list[tuple[object, ...]]:
        return records()[some].rows()

    if "reason" in verdicts.columns:
        yield Rejects(verdicts.hstack(records()))
        return
    identities, ad_ids = _identities(verdicts["identity"]), verdicts["ad_id"].to_list()
    countries = verdicts["country"].to_list() if "country" in verdicts.columns else None
    window_starts = verdicts["window_start"].to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(window_starts)) + 1).tolist(), len(window_starts)]
    for start, end in pairwise(edges):
        some = slice(start, end)
        of_country = countries and countries[some]
        yield Clicks(int(window_starts[start]), identities[some], ad_ids[some], partial(rows, some), of_country)


def buckets_of(identities: bytes | Numbers, buckets: int) -> Numbers:
    """Return the bucket of each of the identities: its first four bytes, big-endian, modulo `buckets`."""
    return np.frombuffer(identities, ">u4")[:: IDENTITY_BYTES // 4] % buckets


def _parts(clicks: pl.DataFrame, packing: Packing) -> Iterator[pl.DataFrame]:
    """Part clicks by bucket and window; windows of few clicks, and later turns (`udfs.turns`), share the last parts."""
    identities = _identities(clicks["identity"])
    window_starts = clicks["click_timestamp"].to_numpy() // packing.window * packing.window
    turns = turns_of(identities, window_starts)
    _, window, clicks_of = np.unique(window_starts, return_inverse=True, return_counts=True)
    apart = (turns == 0) & (clicks_of >= _MANY * packing.buckets)[window]
    columns = {
        "window_start": window_starts,
        "turn": turns,
        "bucket": buckets_of(identities, packing.buckets),
        "part": np.where(apart, window_starts, _SHARED),
    }
    parts = clicks.hstack(pl.DataFrame(columns)).partition_by("part", "bucket")
    yield from (part for part in parts if part["part"][0] != _SHARED)
    yield from (part.sort("turn", "window_start", maintain_order=True) for part in parts if part["part"][0] == _SHARED)


def _packed(rows: pl.DataFrame, verdicts: list[str]) -> bytes:
    packed = io.BytesIO()
    pl.DataFrame([rows[name] for name in verdicts]).write_ipc_stream(packed)
    records_at = packed.tell()
    pl.DataFrame([rows[name] for name in RECORD]).write_ipc_stream(packed, compression="lz4")
    packed.write(records_at.to_bytes(_PLACE_BYTES, "big"))
    return packed.getvalue()


def _identities(column: pl.Series) -> Numbers:
    offsets, data = flat(column)
    return halves(data[offsets[0] : offsets[-1]])


def _read(stream: bytes) -> pl.DataFrame:
    return pl.read_ipc_stream(io.BytesIO(stream))
