"""A column of raw Kafka values, judged and identified without a loop over the clicks.

Clicks of the plain shape, which is what producers send, are recognised by one regular expression and read as columns.
Whatever else arrives, however odd, is judged one by one by `udfs.clicks.judge`: both give one verdict on any value.
"""

import numpy as np
import polars as pl
import polars_hash as plh

from udfs.blocklist import Blocklist
from udfs.clicks import FILTERED, IDENTITY_BYTES, MAX_LENGTHS, MAX_VALUE_BYTES, Invalid, judge
from udfs.plain_json import KEY_END, KNOWN_FIELDS, KNOWN_KEY, PLAIN_OBJECT, TEXT_FIELDS

JUDGED = {"click_timestamp": pl.Int64, "ad_id": pl.String, "identity": pl.Binary, "reason": pl.String}
"""A verdict: either the click, or the reason why it is none or is not counted."""
JUDGED_BY_COUNTRY = {"country": pl.String} | JUDGED
"""The same with the click's country, "" where it has none."""

_Schema = dict[str, type[pl.DataType]]
_FIELDS = pl.Struct(dict.fromkeys(TEXT_FIELDS, pl.String) | {"click_timestamp": pl.Int64})


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
    odd = np.flatnonzero(~valid.to_numpy())
    order = np.arange(len(records))
    order[odd] = len(records) + np.arange(len(odd))
    return pl.concat([plain, _judge_one_by_one(records[odd], max_clock_skew, blocklist, schema)])[order]


def _read_plain(
    records: pl.DataFrame, max_clock_skew: int, blocklist: Blocklist | None, schema: _Schema
) -> tuple[pl.DataFrame, pl.Series]:
    """Read the plain clicks as columns; returns the verdicts and where they hold: elsewhere they mean nothing."""
    text = _texts(records["value"])
    plain = text.str.contains(PLAIN_OBJECT) & (text.str.len_bytes() <= MAX_VALUE_BYTES)
    if not plain.all():
        text = _only(text, plain)
    clicks = text.str.json_decode(_FIELDS).struct.unnest().with_columns(records["timestamp"], text.alias("text"))
    read = clicks.select(
        *([pl.col("country").fill_null("")] if "country" in schema else []),
        "click_timestamp",
        "ad_id",
        identity=_identity(),
        reason=pl.lit(None, pl.String),
        valid=_valid(max_clock_skew),
        fields=pl.sum_horizontal(pl.col(name).is_not_null() for name in KNOWN_FIELDS),
        keys=pl.col("text").str.count_matches(KEY_END, literal=True),
    )
    valid = (read["valid"] & _repeats_no_key(text, read)).fill_null(False)
    verdicts = pl.DataFrame([read[name] for name in schema])
    return (verdicts if blocklist is None else _filtered(verdicts, blocklist.blocked(clicks))), valid


def _filtered(verdicts: pl.DataFrame, blocked: pl.Series) -> pl.DataFrame:
    """Leave of blocked clicks nothing but the reason."""
    if not blocked.any():
        return verdicts
    is_blocked = pl.lit(blocked)
    click = [name for name in verdicts.columns if name != "reason"]
    return verdicts.select(pl.when(~is_blocked).then(pl.col(click)), reason=pl.when(is_blocked).then(pl.lit(FILTERED)))


def _repeats_no_key(text: pl.Series, read: pl.DataFrame) -> pl.Series:
    """Hold where there are as many keys as fields were read; where there are more, only the known ones matter."""
    once = read["keys"] == read["fields"]
    if once.all():
        return once
    return once | (_only(text, ~once).str.count_matches(KNOWN_KEY) == read["fields"])


def _only(text: pl.Series, wanted: pl.Series) -> pl.Series:
    return text.zip_with(wanted.fill_null(False), pl.Series([None], dtype=pl.String))


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


def _valid(max_clock_skew: int) -> pl.Expr:
    """Hold for fields that keep the rules for certain: a string has at least as many bytes as code points."""
    lengths = [pl.col(name).str.len_bytes().is_between(1, longest) for name, longest in MAX_LENGTHS.items()]
    no_click_id = pl.col("click_id").is_null()
    on_time = pl.col("click_timestamp") <= pl.col("timestamp") + max_clock_skew
    return pl.all_horizontal(*lengths[:-1], lengths[-1] | no_click_id, on_time)


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
    return digest.str.head(2 * IDENTITY_BYTES).str.decode("hex")


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
