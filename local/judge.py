"""What makes a click valid, and the same as another: the contract read a second time, for the independent recount.

Nothing here is shared with the job or its functions, nor with their libraries: agreement of the two is evidence.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from local.blocking import Entry, blocked

MAX_BYTES = 65_536
MAX_DEPTH = 64
MAX_TIMESTAMP = 2**63 - 1
BEYOND_RANGE = 2**70  # stands for any integer of more than 20 characters
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Click(NamedTuple):
    """A valid click; `timestamp` in epoch milliseconds, `identity` equal for duplicates only; `country`: "" if none."""

    ad_id: str
    timestamp: int
    identity: bytes
    country: str


class Judgement(NamedTuple):
    """A click, or the `reason` why it is none or is not counted; `timestamp` is what could be read of its time."""

    click: Click | None
    reason: str | None
    timestamp: int | None


def judge(
    value: bytes | None, record_timestamp: int, max_clock_skew: int, blocklist: Sequence[Entry] = ()
) -> Judgement:
    """Judge a record's value; both times in milliseconds."""
    if value is not None and len(value) > MAX_BYTES:
        return Judgement(None, "too_large", None)
    fields = _parse(value) if value is not None else None
    if fields is None:
        return Judgement(None, "not_json", None)
    latest = record_timestamp + max_clock_skew
    reason = _first_offence(fields, latest)
    readable = _timestamp_offence(fields, latest) is None
    timestamp = fields["click_timestamp"] if readable else None
    if reason is None and blocked(blocklist, fields, record_timestamp):
        reason = "filtered"
    return Judgement(None if reason else _click(fields), reason, timestamp)


def _parse(value: bytes) -> dict[str, Any] | None:
    """The JSON object, or None. Only an escape can bring a lone surrogate into UTF-8."""
    try:
        text = value.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            return None
        parsed = (DECODER if b"\\u" not in value else CHECKING_DECODER).decode(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _depth(text: str) -> int:
    """How deep brackets nest outside strings; the object itself is the first level."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    level = deepest = 0
    for character in STRING.sub("", text):
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The last of repeated keys counts; a lone surrogate is refused even in those that do not."""
    for key, value in pairs:
        _check_text(key)
        _check_text(value)
    return dict(pairs)


def _check_text(value: Any) -> None:
    """Raise UnicodeEncodeError, a ValueError, for a lone surrogate in a string or a list of strings."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, list):
        for item in value:
            _check_text(item)


def _integer(text: str) -> int:
    if len(text) <= 20:
        return int(text)
    return -BEYOND_RANGE if text.startswith("-") else BEYOND_RANGE


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse)
CHECKING_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse)


def _first_offence(fields: dict[str, Any], latest: int) -> str | None:
    """The reason of the first field, in the contract's order, that breaks a rule."""
    for name, limit in (("ad_id", 256), ("user_id", 256), ("ip", 64)):
        if name not in fields:
            return "missing_field"
        if offence := _text_offence(fields[name], limit):
            return offence
    if offence := _timestamp_offence(fields, latest):
        return offence
    if fields.get("click_id") is not None and (offence := _text_offence(fields["click_id"], 256)):
        return offence
    return None if isinstance(fields.get("country"), str | None) else "wrong_type"


def _text_offence(value: Any, limit: int) -> str | None:
    if not isinstance(value, str):
        return "wrong_type"
    if not value:
        return "empty_field"
    return "too_long" if len(value) > limit else None


def _timestamp_offence(fields: dict[str, Any], latest: int) -> str | None:
    if "click_timestamp" not in fields:
        return "missing_field"
    timestamp = fields["click_timestamp"]
    if type(timestamp) is not int:  # True is an int to isinstance
        return "wrong_type"
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        return "timestamp_out_of_range"
    return "future_timestamp" if timestamp > latest else None


def _click(fields: dict[str, Any]) -> Click:
    """The click; its identity is a digest, so that a set of millions stays small."""
    timestamp, ad_id = fields["click_timestamp"], fields["ad_id"]
    click_id = fields.get("click_id")
    known_by = (timestamp, fields["user_id"], ad_id, fields["ip"]) if click_id is None else (click_id,)
    identity = hashlib.blake2b(repr(known_by).encode(), digest_size=16).digest()
    return Click(ad_id, timestamp, identity, fields.get("country") or "")
