"""A batch's plain clicks as columns: their times, identities and texts."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from udfs.clicks import IDENTITY_BYTES, MAX_LENGTHS, MAX_VALUE_BYTES
from udfs.compiled import Bytes, Numbers, compiled, kept
from udfs.plain_clicks import ABSENT, AD_ID, CLICK_ID, IP, TEXT_FIELDS, USER_ID, read_plain
from udfs.short_blake3 import MAX_BYTES, digest

_MOST_AD_ID, _MOST_USER_ID, _MOST_IP, _MOST_CLICK_ID = (MAX_LENGTHS[name] for name in TEXT_FIELDS[: CLICK_ID + 1])
_COLON, _ZERO = b":0"
_OWN_ID, _FIELDS = b"ct"
"""What `Click.identity_text` begins with."""


class PlainColumns:
    """The clicks among raw values that are plain and keep the rules for certain; `valid`: which of them these are.

    Of the others the columns say nothing.
    """

    def __init__(self, values: pl.Series, latest_timestamps: Numbers) -> None:
        """`values`: binary; a click's time is at most that of `latest_timestamps`, in epoch ms."""
        self._offsets, self._data = flat(values)
        rows = len(values)
        self.valid = np.empty(rows, np.bool_)
        self._times = np.empty(rows, np.int64)
        self._identities = np.empty((rows, IDENTITY_BYTES), np.uint8)
        self._starts = np.empty((rows, len(TEXT_FIELDS)), np.int64)
        self._lengths = np.empty((rows, len(TEXT_FIELDS)), np.int64)
        found = (self.valid, self._times, self._identities, self._starts, self._lengths)
        _read(self._data, self._offsets, latest_timestamps, *found, np.empty(MAX_BYTES, np.uint8))

    def column(self, name: str) -> pl.Series:
        """Return click_timestamp in epoch ms, identity as `Click` has it, or a text field, "" where there is none."""
        if name == "click_timestamp":
            return pl.Series(name, self._times)
        if name == "identity":
            ends = np.arange(len(self.valid) + 1) * IDENTITY_BYTES
            return _column(name, pa.large_binary(), ends, self._identities.reshape(-1))
        field = TEXT_FIELDS.index(name)
        ends = np.zeros(len(self.valid) + 1, np.int64)
        np.cumsum(np.where(self.valid, self._lengths[:, field].clip(0), 0), out=ends[1:])
        texts = np.empty(ends[-1], np.uint8)
        _gather(self._data, self._starts[:, field], ends, texts)
        return _column(name, pa.large_string(), ends, texts)


def compile_now() -> None:
    """Compile what is used here, so that it is kept before a job needs it."""
    PlainColumns(pl.Series([b""], dtype=pl.Binary), np.zeros(1, np.int64)).column("ad_id")


def flat(values: pl.Series) -> tuple[Numbers, Bytes]:
    """Return where each binary value starts, and the last one ends, in their bytes; what is missing is empty."""
    array = values.to_arrow()
    _, offsets, data = array.buffers()
    return np.frombuffer(offsets, np.int64)[array.offset :][: len(array) + 1], np.frombuffer(data or b"", np.uint8)


def _column(name: str, type_: Any, ends: Numbers, data: Bytes) -> pl.Series:
    array = pa.Array.from_buffers(type_, len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])
    return pl.Series(name, array)


@kept
def _read(
    data: Bytes,
    offsets: Numbers,
    latest: Numbers,
    valid: npt.NDArray[np.bool_],
    times: Numbers,
    identities: Bytes,
    starts: Numbers,
    lengths: Numbers,
    text: Bytes,
) -> None:
    for row in range(len(valid)):
        begin, end = offsets[row], offsets[row + 1]
        lengths[row] = ABSENT
        valid[row] = False
        if end - begin <= MAX_VALUE_BYTES:
            times[row] = read_plain(data, begin, end, starts[row], lengths[row])
            valid[row] = 0 <= times[row] <= latest[row] and _keeps_lengths(lengths[row])
        if valid[row]:
            digest(text, _identity_text(text, data, times[row], starts[row], lengths[row]), identities[row])


@compiled
def _keeps_lengths(lengths: Numbers) -> bool:
    """Hold for texts that keep the rules for certain: they have at least as many bytes as code points."""
    return bool(
        1 <= lengths[AD_ID] <= _MOST_AD_ID
        and 1 <= lengths[USER_ID] <= _MOST_USER_ID
        and 1 <= lengths[IP] <= _MOST_IP
        and (lengths[CLICK_ID] == ABSENT or 1 <= lengths[CLICK_ID] <= _MOST_CLICK_ID)
    )


@compiled
def _identity_text(text: Bytes, data: Bytes, time: int, starts: Numbers, lengths: Numbers) -> int:
    """Write what `Click.identity_text` returns; return its length."""
    if lengths[CLICK_ID] != ABSENT:
        text[0] = _OWN_ID
        return _copy(data, starts[CLICK_ID], lengths[CLICK_ID], text, 1)
    text[0] = _FIELDS
    at = _write(time, text, 1)
    at = _write(lengths[USER_ID], text, at)
    at = _copy(data, starts[USER_ID], lengths[USER_ID], text, at)
    at = _write(lengths[AD_ID], text, at)
    at = _copy(data, starts[AD_ID], lengths[AD_ID], text, at)
    return _copy(data, starts[IP], lengths[IP], text, at)


@compiled
def _write(number: int, text: Bytes, at: int) -> int:
    """Write a natural number's digits and a colon; return where they end."""
    end, left = at + 1, number
    while left >= 10:
        left //= 10
        end += 1
    text[end] = _COLON
    for place in range(end - 1, at - 1, -1):
        text[place] = _ZERO + number % 10
        number //= 10
    return end + 1


@compiled
def _copy(data: Bytes, start: int, length: int, text: Bytes, at: int) -> int:
    for place in range(length):
        text[at + place] = data[start + place]
    return at + length


@kept
def _gather(data: Bytes, starts: Numbers, ends: Numbers, texts: Bytes) -> None:
    for row in range(len(starts)):
        for place in range(ends[row + 1] - ends[row]):
            texts[ends[row] + place] = data[starts[row] + place]
