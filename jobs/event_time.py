r"""The SQL expressions of a record's times: its own, and its event time, which moves the watermark.

They are evaluated in the source, for every record, so each call of a function in them counts.
"""

from datetime import timedelta

from jobs.setting_types import milliseconds
from udfs.heartbeats import HEARTBEAT_KEY

RECORD_MS = "(EXTRACT(EPOCH FROM `timestamp`) * 1000 + MOD(EXTRACT(MILLISECOND FROM `timestamp`), 1000))"
"""A record's timestamp in epoch milliseconds; the session's time zone is UTC."""

IS_HEARTBEAT = f"(`value` IS NULL AND `key` IS NOT NULL AND CAST(`key` AS STRING) = '{HEARTBEAT_KEY.decode()}')"
"""Whether it is a heartbeat (`udfs.heartbeats`).

It compares strings: Flink 2.3 rewrites `NOT (bytes = X'…')` into a search in ranges that holds for every key.
"""


def event_time(max_clock_skew: timedelta) -> str:
    """Return the expression of a record's event time: a heartbeat's own time, or the `click_timestamp`.

    A time that is no number, absurd, or later than `max_clock_skew` allows counts as 1970, and moves no watermark.
    TRY_CAST and TO_TIMESTAMP_LTZ give NULL for what they cannot hold, so that no value can stop the job.

    The remainder of the lesser of time and limit is the time below the limit, and 0 from there on: in a CASE the
    click's time would be looked for once for the comparison and once for the result.
    """
    limit = f"({RECORD_MS} + {milliseconds(max_clock_skew) + 1})"
    return f"""
        CASE WHEN {IS_HEARTBEAT} THEN `timestamp`
             ELSE TO_TIMESTAMP_LTZ(MOD(LEAST({_CLICK_TIME}, {limit}), {limit}), 3) END"""


def _part(text: str, separator: str, number: int) -> str:
    return f"SPLIT_INDEX({text}, '{separator}', {number})"


_TEXT = "CAST(`value` AS STRING)"
_KEY = '"click_timestamp"'
_KEY_ONCE = f"{_part(_TEXT, _KEY, 2)} IS NULL"
_NO_ESCAPES = _part(_TEXT, "\\", 1) + " IS NULL"
_JSON_SPACE = r"U&' \0009\000A\000D'"
_AFTER_KEY = _part(_part(_part(_part(_TEXT, _KEY, 1), ":", 1), ",", 0), "}", 0)
_CLICK_TIME = f"""COALESCE(
    CASE WHEN {_KEY_ONCE} AND {_NO_ESCAPES} THEN TRY_CAST(BTRIM({_AFTER_KEY}, {_JSON_SPACE}) AS BIGINT)
         ELSE TRY_CAST(JSON_VALUE({_TEXT}, '$.click_timestamp') AS BIGINT) END, 0)"""
"""The `click_timestamp` of a value, 0 if it has none.

It is cut out of a text that has its key once and no escapes; any other is read as JSON, at several times the cost. Both
give a valid click's time exactly: a valid click has the key, and without escapes each quote begins or ends a string, so
that `"click_timestamp"`, where it is there once, is this key, and its number lies between the colon after it and the
next comma or bracket. Of what is no valid click a number may be taken that no reader of JSON would find.
"""
