"""The click: its rules and its identity, one click at a time.

This is the plain reading of the contract (docs/semantics.md). `udfs.batches` does the same for a whole column and hands
every value that is not plainly a valid click back to `judge`, so the reasons are given here and nowhere else.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NoReturn

from blake3 import blake3

Reason = Literal[
    "too_large",
    "not_json",
    "missing_field",
    "wrong_type",
    "empty_field",
    "too_long",
    "timestamp_out_of_range",
    "future_timestamp",
    "filtered",
]
"""Why a record is not counted: it is no valid click, or it is one that the blocklist (`udfs.blocklist`) filters."""
FILTERED: Reason = "filtered"

IDENTITY_BYTES = 16
MAX_VALUE_BYTES = 64 * 1024
MAX_NESTING = 64
MAX_TIMESTAMP = 2**63 - 1
MAX_LENGTHS = {"ad_id": 256, "user_id": 256, "ip": 64, "click_id": 256}
"""Longest strings, in Unicode code points."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[][{}]")
_ENOUGH_DIGITS = 30  # an integer cut to this many characters is still far outside 0 … 2^63-1


class Invalid(ValueError):  # noqa: N818 - a verdict on a click, not a fault of the program
    """A value that is no valid click; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Click:
    """A valid click; `click_timestamp` in epoch milliseconds."""

    click_timestamp: int
    ad_id: str
    user_id: str
    ip: str
    click_id: str | None = None
    country: str | None = None

    def identity(self) -> bytes:
        """16 bytes that stand for this click: the head of the BLAKE3 digest of `identity_text`."""
        return blake3(self.identity_text().encode()).digest(IDENTITY_BYTES)

    def identity_text(self) -> str:
        """The client's own id, or the four fields with the lengths (in UTF-8 bytes) that keep them apart."""
        if self.click_id is not None:
            return f"c{self.click_id}"
        user, ad = len(self.user_id.encode()), len(self.ad_id.encode())
        return f"t{self.click_timestamp}:{user}:{self.user_id}{ad}:{self.ad_id}{self.ip}"


def judge(value: bytes | None, latest_timestamp: int) -> Click:
    """Return the click in a Kafka record's value.

    `latest_timestamp` is the record's timestamp plus `max_clock_skew`, in epoch milliseconds.
    Raises `Invalid` with the first reason that applies: the value as a whole, then field by field.
    """
    fields = json_object(value)
    ad_id, user_id, ip = (_text(fields, name) for name in ("ad_id", "user_id", "ip"))
    click_timestamp = _timestamp(fields, latest_timestamp)
    click_id = _text(fields, "click_id") if fields.get("click_id") is not None else None
    country = fields.get("country")
    if not isinstance(country, str | None):
        raise Invalid("wrong_type")
    return Click(click_timestamp, ad_id, user_id, ip, click_id, country)


def _text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise Invalid("missing_field")
    text = fields[name]
    if not isinstance(text, str):
        raise Invalid("wrong_type")
    if not text:
        raise Invalid("empty_field")
    if len(text) > MAX_LENGTHS[name]:
        raise Invalid("too_long")
    return text


def _timestamp(fields: dict[str, Any], latest: int) -> int:
    if "click_timestamp" not in fields:
        raise Invalid("missing_field")
    timestamp = fields["click_timestamp"]
    if type(timestamp) is not int:
        raise Invalid("wrong_type")
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise Invalid("timestamp_out_of_range")
    if timestamp > latest:
        raise Invalid("future_timestamp")
    return timestamp


def json_object(value: bytes | None) -> dict[str, Any]:
    """Read a JSON object as RFC 8259 has it, without the liberties Python's reader takes."""
    if value is not None and len(value) > MAX_VALUE_BYTES:
        raise Invalid("too_large")
    try:
        text = (value or b"").decode("utf-8")
        fields = _DECODER.decode(text)
        _check_escapes(text)
    except (ValueError, RecursionError):
        raise Invalid("not_json") from None
    if not isinstance(fields, dict) or _too_deep(text):
        raise Invalid("not_json")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(digits: str) -> int:
    return int(digits[:_ENOUGH_DIGITS])


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_bounded_int)


def _check_escapes(text: str) -> None:
    """Raise a `UnicodeEncodeError` when a string of the (valid) JSON text escapes a lone surrogate."""
    if "\\u" in text:
        unescape: Callable[[str], str] = json.loads
        for string in _STRING.findall(text):
            unescape(string).encode()


def _too_deep(text: str) -> bool:
    """Whether the (valid) JSON text nests deeper than `MAX_NESTING`; a flat object is one level."""
    if text.count("{") + text.count("[") <= MAX_NESTING:
        return False
    brackets = _BRACKETS.findall(_STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets)) > MAX_NESTING
