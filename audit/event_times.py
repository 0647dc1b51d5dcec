"""The event times of the archive's records, as the job's watermark reads them, and the clicks among them."""

import polars as pl

from udfs.batches import judge_batch
from udfs.clicks import IDENTITY_BYTES
from udfs.heartbeats import HEARTBEAT_KEY

COLUMNS = ["key", "value", "partition", "offset", "timestamp"]
"""What is needed of the archive."""


def with_event_times(rows: pl.DataFrame, max_clock_skew: int) -> pl.DataFrame:
    """Return the rows that can move a watermark, with event_time, is_click and the identity's two halves.

    As in the job (`jobs.event_time`) heartbeats move it too, and invalid values with a time that can be read.
    The job reads one in some that are no JSON, too.
    """
    beats = (pl.col("key") == HEARTBEAT_KEY) & pl.col("value").is_null()
    is_beat = rows.select(beats.fill_null(False)).to_series()
    heartbeats = rows.filter(is_beat).with_columns(click_timestamp="timestamp", identity=pl.lit(None, pl.Binary))
    values = rows.filter(~is_beat)
    judged = judge_batch(values.select("value", "timestamp"), max_clock_skew)
    values = values.with_columns(judged["click_timestamp"], judged["identity"])
    rejects = values.filter(judged["reason"].is_not_null())
    times = _readable_times(rejects, max_clock_skew)
    parts = [heartbeats, values.filter(judged["reason"].is_null()), rejects.with_columns(click_timestamp=times)]
    halves = pl.col("identity").fill_null(bytes(IDENTITY_BYTES)).bin.reinterpret(dtype=pl.Array(pl.UInt64, 2))
    return (
        pl.concat(parts)
        .filter(pl.col("click_timestamp").is_not_null())
        .select(
            "partition",
            "offset",
            "timestamp",
            event_time="click_timestamp",
            is_click=pl.col("identity").is_not_null(),
            high=halves.arr.get(0),
            low=halves.arr.get(1),
        )
    )


def _readable_times(rejects: pl.DataFrame, max_clock_skew: int) -> pl.Series:
    """The times that the job reads in invalid values; null for what is no time, or too far ahead to be believed."""
    texts = pl.Series([_text(value) for value in rejects["value"]], dtype=pl.String)
    times = texts.str.json_path_match("$.click_timestamp").cast(pl.Int64, strict=False)
    return times.set(~times.is_between(0, rejects["timestamp"] + max_clock_skew), None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
