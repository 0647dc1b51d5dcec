"""A column of raw Kafka values, judged and identified without a loop over the clicks.

Plain clicks, which is what producers send, are read by compiled code (`udfs.plain_columns`). Whatever else arrives,
however odd, is judged one by one by `udfs.clicks.judge`: both give one verdict on any value.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from udfs.blocklist import Blocklist
from udfs.clicks import FILTERED, Invalid, judge
from udfs.plain_columns import PlainColumns

JUDGED = {"click_timestamp": pl.Int64, "ad_id": pl.String, "identity": pl.Binary, "reason": pl.String}
"""A verdict: either the click, or the reason why it is none or is not counted."""
JUDGED_BY_COUNTRY = {"country": pl.String} | JUDGED
"""The same with the click's country, "" where it has none."""

_Schema = dict[str, type[pl.DataType]]


def judge_batch(
    records: pl.DataFrame, max_clock_skew: int, blocklist: Blocklist | None = None, by_country: bool = False
) -> pl.DataFrame:
    """Judge the values of a batch; valid clicks that the list blocks are `filtered`.

    `records` has the columns value (raw bytes) and timestamp (the record's, epoch ms); `max_clock_skew` is in ms.
    Returns one row (schema `JUDGED`, or `JUDGED_BY_COUNTRY`) for each record, in the records' order.
    """
    schema = JUDGED_BY_COUNTRY if by_country else JUDGED
    plain, valid = _read_plain(records, max_clock_skew, blocklist, schema)
    if valid.all():
        return plain
    odd = np.flatnonzero(~valid)
    order = np.arange(len(records))
    order[odd] = len(records) + np.arange(len(odd))
    return pl.concat([plain, _judge_one_by_one(records[odd], max_clock_skew, blocklist, schema)])[order]


def _read_plain(
    records: pl.DataFrame, max_clock_skew: int, blocklist: Blocklist | None, schema: _Schema
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Read the plain clicks as columns; returns the verdicts and where they hold: elsewhere they mean nothing."""
    plain = PlainColumns(records["value"], records["timestamp"].to_numpy() + max_clock_skew)
    reason = pl.Series("reason", [None], pl.String).new_from_index(0, len(records))
    verdicts = pl.DataFrame([reason if name == "reason" else plain.column(name) for name in schema])
    if blocklist is None:
        return verdicts, plain.valid
    clicks = [records["timestamp"], *map(plain.column, ("ip", "user_id", "country"))]
    return _filtered(verdicts, blocklist.blocked(pl.DataFrame(clicks))), plain.valid


def _filtered(verdicts: pl.DataFrame, blocked: pl.Series) -> pl.DataFrame:
    """Leave of blocked clicks nothing but the reason."""
    if not blocked.any():
        return verdicts
    is_blocked = pl.lit(blocked)
    click = [name for name in verdicts.columns if name != "reason"]
    return verdicts.select(pl.when(~is_blocked).then(pl.col(click)), reason=pl.when(is_blocked).then(pl.lit(FILTERED)))


def _judge_one_by_one(
    records: pl.DataFrame, max_clock_skew: int, blocklist: Blocklist | None, schema: _Schema
) -> pl.DataFrame:
    verdicts = [
        _verdict(value, timestamp, max_clock_skew, blocklist)[-len(schema) :]
        for value, timestamp in records.select("value", "timestamp").iter_rows()
    ]
    return pl.DataFrame(verdicts, schema=schema, orient="row")


def _verdict(
    value: bytes | None, timestamp: int, max_clock_skew: int, blocklist: Blocklist | None
) -> tuple[str | None, int | None, str | None, bytes | None, str | None]:
    """Return the verdict on one value, as `JUDGED_BY_COUNTRY` has it."""
    try:
        click = judge(value, timestamp + max_clock_skew)
    except Invalid as invalid:
        return None, None, None, None, invalid.reason
    if blocklist is not None and blocklist.blocks(click, timestamp):
        return None, None, None, None, FILTERED
    return click.country or "", click.click_timestamp, click.ad_id, click.identity(), None
