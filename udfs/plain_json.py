r"""The plain shape of a click, as a regular expression that a linear-time engine matches over a whole column.

Plain is a flat JSON object without escapes or spaces before colons whose known fields, if present, have the right type:
`{"ad_id": "a", "user_id": "u", "click_timestamp": 1767225600000, "ip": "10.0.0.1", "referrer": "x"}`. What matches is
valid JSON of known types for certain; what does not match may still be valid, and is judged one by one.
"""

TEXT_FIELDS = ("ad_id", "user_id", "ip", "click_id", "country")
KNOWN_FIELDS = (*TEXT_FIELDS, "click_timestamp")

_SPACE = r"[ \t\r\n]*"
_NOT_IN_TEXT = r'"\\\x00-\x1f'
_TEXT = f'"[^{_NOT_IN_TEXT}]*"'
_NATURAL = r"(?:0|[1-9][0-9]{0,17})"  # up to 18 digits: always below 2^63
_NUMBER = rf"-?{_NATURAL}(?:\.[0-9]{{1,17}})?"


def _any_text_but(words: set[str]) -> str:
    """Match the text inside a JSON string unless it is one of `words`: regular languages have complements."""
    if not words:
        return f"[^{_NOT_IN_TEXT}]*"
    firsts = sorted({word[0] for word in words if word})
    branches = [] if "" in words else [""]
    branches.append(f"[^{_NOT_IN_TEXT}{''.join(firsts)}][^{_NOT_IN_TEXT}]*")
    branches += [first + _any_text_but({word[1:] for word in words if word and word[0] == first}) for first in firsts]
    return f"(?:{'|'.join(branches)})"


KEY_END = '":'
"""What ends a key of a plain object, which has no space before its colons: no object has more keys than these."""


def _key(text: str) -> str:
    return f'"{text}{KEY_END}{_SPACE}'


_MEMBER = "|".join(
    [
        _key(f"(?:{'|'.join(TEXT_FIELDS)})") + _TEXT,
        _key("click_timestamp") + _NATURAL,
        _key(_any_text_but(set(KNOWN_FIELDS))) + f"(?:{_TEXT}|{_NUMBER}|true|false|null)",
    ]
)

PLAIN_OBJECT = rf"\A{_SPACE}\{{{_SPACE}(?:{_MEMBER}){_SPACE}(?:,{_SPACE}(?:{_MEMBER}){_SPACE})*\}}{_SPACE}\z"
"""A value of the plain shape, from its first byte to its last."""

KNOWN_KEY = _key(f"(?:{'|'.join(KNOWN_FIELDS)})")
"""A known key of a plain object: as many of these as fields read means that none is repeated."""
