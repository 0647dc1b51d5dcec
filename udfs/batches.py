"""A column of raw Kafka values, judged and identified without a loop over the clicks.

Clicks of the plain shape, which is what producers send, are recognised by one regular expression and read as columns.
Whatever else arrives, however odd, is judged one by one by `udfs.clicks.judge`: both give one verdict on any value.
"""

import polars as pl
import polars_hash as plh

from udfs.clicks import IDENTITY_BYTES, MAX_LENGTHS, MAX_VALUE_BYTES, Invalid, judge
from udfs.plain_json import KNOWN_FIELDS, KNOWN_KEY, PLAIN_OBJECT, TEXT_FIELDS

JUDGED = {"row": pl.UInt32, "click_timestamp": pl.Int64, "ad_id": pl.String, "identity": pl.Binary, "reason": pl.String}
"""A verdict: the row it is about, and either the click or the reason why it is none."""

_FIELDS = pl.Struct(dict.fromkeys(TEXT_FIELDS, pl.String) | {"click_timestamp": pl.Int64})


def judge_batch(records: pl.DataFrame, max_clock_skew: int) -> pl.DataFrame:
    """Judge the values of a batch.

    `records` has the columns value (raw bytes) and timestamp (the record's, epoch ms); `max_clock_skew` is in ms.
    Returns one row (schema `JUDGED`) for each record, in the records' order.
    """
    plain = _plain_clicks(records, max_clock_skew)
    if len(plain) == len(records):
        return plain
    odd = records.with_row_index("row").join(plain, on="row", how="anti")
    return pl.concat([plain, _judge_one_by_one(odd, max_clock_skew)]).sort("row")


def _plain_clicks(records: pl.DataFrame, max_clock_skew: int) -> pl.DataFrame:
    """Return the verdicts on the plain, valid clicks: everything else is left out."""
    plain = records.with_row_index("row").select("row", "timestamp", text=_texts(records["value"]))
    plain = plain.filter(pl.col("text").str.contains(PLAIN_OBJECT), pl.col("text").str.len_bytes() <= MAX_VALUE_BYTES)
    clicks = plain.with_columns(pl.col("text").str.json_decode(_FIELDS)).unnest("text")
    keys = plain["text"].str.count_matches(KNOWN_KEY)
    clicks = clicks.filter(_valid(keys, max_clock_skew))
    return clicks.select("row", "click_timestamp", "ad_id", _identity(), pl.lit(None, pl.String).alias("reason"))


def _texts(values: pl.Series) -> pl.Series:
    """Decode a column; what is not UTF-8 becomes null."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series([_text(value) for value in values], dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _valid(keys: pl.Series, max_clock_skew: int) -> pl.Expr:
    """Hold for a click that keeps the rules, repeats no key, and lacks no field that must be there."""
    lengths = [pl.col(name).str.len_chars().is_between(1, longest) for name, longest in MAX_LENGTHS.items()]
    optional = pl.col("click_id").is_null()
    fields_read = pl.sum_horizontal(pl.col(name).is_not_null() for name in KNOWN_FIELDS)
    on_time = pl.col("click_timestamp") <= pl.col("timestamp") + max_clock_skew
    return pl.all_horizontal(*lengths[:-1], lengths[-1] | optional, on_time, fields_read == keys)


def _identity() -> pl.Expr:
    """The columnar twin of `Click.identity`."""
    user, ad = pl.col("user_id"), pl.col("ad_id")
    fields = ["click_timestamp", user.str.len_bytes(), user + ad.str.len_bytes().cast(pl.String), ad + pl.col("ip")]
    text = (
        pl.when(pl.col("click_id").is_not_null())
        .then("c" + pl.col("click_id"))
        .otherwise("t" + pl.concat_str(fields, separator=":"))
    )
    digest = plh.CryptographicHashingNameSpace(text).blake3()
    return digest.str.head(2 * IDENTITY_BYTES).str.decode("hex").alias("identity")


def _judge_one_by_one(records: pl.DataFrame, max_clock_skew: int) -> pl.DataFrame:
    verdicts = [
        (row, *_verdict(value, timestamp + max_clock_skew))
        for row, value, timestamp in records.select("row", "value", "timestamp").iter_rows()
    ]
    return pl.DataFrame(verdicts, schema=JUDGED, orient="row")


def _verdict(value: bytes | None, latest_timestamp: int) -> tuple[int | None, str | None, bytes | None, str | None]:
    try:
        click = judge(value, latest_timestamp)
    except Invalid as invalid:
        return None, None, None, invalid.reason
    return click.click_timestamp, click.ad_id, click.identity(), None
