"""Plain clicks, read from their bytes by compiled code: what producers send.

Plain is a flat JSON object whose known fields, if present, have the right type, come once and are written without
escapes: `{"ad_id": "a", "user_id": "u", "click_timestamp": 1767225600000, "ip": "10.0.0.1", "referrer": "x"}`. What is
read here is valid JSON for certain (RFC 8259); what is not may still be valid, and is judged one by one
(`udfs.clicks`).
"""

import numpy as np

from udfs.compiled import Bytes, Numbers, compiled

TEXT_FIELDS = ("ad_id", "user_id", "ip", "click_id", "country")
KNOWN_FIELDS = (*TEXT_FIELDS, "click_timestamp")
AD_ID, USER_ID, IP, CLICK_ID, COUNTRY, CLICK_TIMESTAMP = range(len(KNOWN_FIELDS))
UNKNOWN, ABSENT, NOT_PLAIN = -1, -1, -1

_QUOTE, _BACKSLASH, _COLON, _COMMA, _OPEN, _CLOSE = b'"\\:,{}'
_MINUS, _PLUS, _POINT, _ZERO, _NINE, _SMALL_E, _LARGE_E = b"-+.09eE"
_SPACE, _ESCAPED = (np.array([byte in some for byte in range(256)]) for some in (b" \t\r\n", b'"\\/bfnrt'))
_ORDINARY = np.array([0x20 <= byte < 0x80 and byte not in b'"\\' for byte in range(256)])
"""The bytes of a text that stand for themselves."""
_NAMES = tuple(np.frombuffer(name.encode(), np.uint8) for name in KNOWN_FIELDS)
_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_MOST_DIGITS = 18  # always below 2^63


@compiled
def read_plain(data: Bytes, at: int, end: int, starts: Numbers, lengths: Numbers) -> int:
    """Return the time of the click in `data[at:end]`, or `NOT_PLAIN`, also when it has none.

    Where its text fields (in the order of `TEXT_FIELDS`) begin and their lengths are written to `starts` and `lengths`,
    which is `ABSENT` before; a country or click_id that is null is absent.
    """
    time, seen = NOT_PLAIN, 0
    at = _after(data, _past_spaces(data, at, end), end, _OPEN)
    while at != NOT_PLAIN:
        name_at = _after(data, _past_spaces(data, at, end), end, _QUOTE)
        name_end = _end_of_text(data, name_at, end, False)
        if name_end == NOT_PLAIN:
            return NOT_PLAIN
        field = _field(data, name_at, name_end - name_at)
        at = _after(data, _past_spaces(data, name_end + 1, end), end, _COLON)
        if at == NOT_PLAIN:
            return NOT_PLAIN
        if field != UNKNOWN:
            if seen >> field & 1:
                return NOT_PLAIN
            seen |= 1 << field
        at = _past_spaces(data, at, end)
        if field == UNKNOWN:
            at = _past_value(data, at, end)
        elif field == CLICK_TIMESTAMP:
            number_at, at = at, _past_natural(data, at, end)
            time = _natural(data, number_at, at)
        elif field >= CLICK_ID and _has(data, at, end, _NULL):
            at += len(_NULL)
        else:
            text_at = _after(data, at, end, _QUOTE)
            at = _end_of_text(data, text_at, end, False)
            starts[field], lengths[field] = text_at, at - text_at
            at = _after(data, at, end, _QUOTE)
        if at == NOT_PLAIN:
            return NOT_PLAIN
        at = _past_spaces(data, at, end)
        if at < end and data[at] == _CLOSE:
            return time if _past_spaces(data, at + 1, end) == end else NOT_PLAIN
        at = _after(data, at, end, _COMMA)
    return NOT_PLAIN


@compiled
def _field(data: Bytes, at: int, length: int) -> int:
    for field in range(len(_NAMES)):
        if length == len(_NAMES[field]) and _same(data, at, _NAMES[field]):
            return field
    return UNKNOWN


@compiled
def _past_value(data: Bytes, at: int, end: int) -> int:
    """Return where a text, number or word ends, or `NOT_PLAIN`."""
    if at < end and data[at] == _QUOTE:
        return _after(data, _end_of_text(data, at + 1, end, True), end, _QUOTE)
    if _has(data, at, end, _TRUE) or _has(data, at, end, _NULL):
        return at + len(_TRUE)
    if _has(data, at, end, _FALSE):
        return at + len(_FALSE)
    return _past_number(data, at, end)


@compiled
def _past_number(data: Bytes, at: int, end: int) -> int:
    if at < end and data[at] == _MINUS:
        at += 1
    at = _past_natural(data, at, end)
    if at != NOT_PLAIN and at < end and data[at] == _POINT:
        at = _past_digits(data, at + 1, end)
    if at != NOT_PLAIN and at < end and (data[at] == _SMALL_E or data[at] == _LARGE_E):
        at += 1
        if at < end and (data[at] == _PLUS or data[at] == _MINUS):
            at += 1
        at = _past_digits(data, at, end)
    return at


@compiled
def _past_natural(data: Bytes, at: int, end: int) -> int:
    """Return where digits without a leading zero end, or `NOT_PLAIN`."""
    if at < end and data[at] == _ZERO:
        return at + 1
    return _past_digits(data, at, end)


@compiled
def _past_digits(data: Bytes, at: int, end: int) -> int:
    start = at
    while at < end and _ZERO <= data[at] <= _NINE:
        at += 1
    return at if at > start else NOT_PLAIN


@compiled
def _natural(data: Bytes, at: int, end: int) -> int:
    """Return the number of these digits, or `NOT_PLAIN` if they are too many or none."""
    if end - at > _MOST_DIGITS:
        return NOT_PLAIN
    number = 0 if end > at else NOT_PLAIN
    for place in range(at, end):
        number = 10 * number + int(data[place]) - _ZERO
    return number


@compiled
def _end_of_text(data: Bytes, at: int, end: int, escapes: bool) -> int:
    """Return where a text's closing quote is, or `NOT_PLAIN`; short `escapes` are passed over, or not plain."""
    if at == NOT_PLAIN:
        return NOT_PLAIN
    while True:
        while at < end and _ORDINARY[data[at]]:
            at += 1
        if at < end and data[at] == _QUOTE:
            return at
        if at + 1 < end and data[at] == _BACKSLASH and escapes and _ESCAPED[data[at + 1]]:
            at += 2
        else:
            at = _past_several(data, at, end)
            if at == NOT_PLAIN:
                return NOT_PLAIN


@compiled
def _past_several(data: Bytes, at: int, end: int) -> int:
    """Return where a character of two to four bytes of UTF-8 ends, or `NOT_PLAIN` (Unicode, table 3-7)."""
    first = data[at] if at < end else 0
    low, high = 0x80, 0xBF
    if 0xC2 <= first <= 0xDF:
        bytes_ = 2
    elif 0xE0 <= first <= 0xEF:
        bytes_ = 3
        low = 0xA0 if first == 0xE0 else low
        high = 0x9F if first == 0xED else high
    elif 0xF0 <= first <= 0xF4:
        bytes_ = 4
        low = 0x90 if first == 0xF0 else low
        high = 0x8F if first == 0xF4 else high
    else:
        return NOT_PLAIN
    if at + bytes_ > end or not low <= data[at + 1] <= high:
        return NOT_PLAIN
    for place in range(at + 2, at + bytes_):
        if not 0x80 <= data[place] <= 0xBF:
            return NOT_PLAIN
    return at + bytes_


@compiled
def _past_spaces(data: Bytes, at: int, end: int) -> int:
    while at < end and _SPACE[data[at]]:
        at += 1
    return at


@compiled
def _after(data: Bytes, at: int, end: int, byte: int) -> int:
    """Return the place behind the byte that is expected here, or `NOT_PLAIN`."""
    return at + 1 if 0 <= at < end and data[at] == byte else NOT_PLAIN


@compiled
def _has(data: Bytes, at: int, end: int, word: Bytes) -> bool:
    return at + len(word) <= end and _same(data, at, word)


@compiled
def _same(data: Bytes, at: int, word: Bytes) -> bool:
    place = 0
    while place < len(word) and data[at + place] == word[place]:
        place += 1
    return place == len(word)
