r"""Clicks off the beaten track: invalid ones of every reason, and valid ones that are easily misread.

Templates are bytes with two marks: `$T` becomes the event time (epoch milliseconds), `$N` a text no other click of
the file has. No template contains a newline, since a file's lines are its clicks.
"""

CLICK = b'{"ad_id":"ad-00001","user_id":"odd-$N","ip":"10.0.0.1","click_timestamp":$T}'


def _with(old: bytes, new: bytes) -> bytes:
    """CLICK with one part replaced."""
    if CLICK.count(old) != 1:
        raise ValueError(f"{old!r} does not occur once in the template")
    return CLICK.replace(old, new)


def _plus(member: bytes) -> bytes:
    """CLICK with one more member at its end."""
    return CLICK[:-1] + b"," + member + b"}"


# (reason, template): one after the other, so that a few dozen invalid clicks show every reason.
INVALID: tuple[tuple[str, bytes], ...] = (
    ("not_json", b""),
    ("missing_field", _with(b'"ad_id":"ad-00001",', b"")),
    ("wrong_type", _with(b'"ad-00001"', b"7")),
    ("empty_field", _with(b'"ad-00001"', b'""')),
    ("too_long", _with(b"ad-00001", b"a" * 257)),
    ("timestamp_out_of_range", _with(b"$T", b"-1")),
    ("not_json", CLICK[:-9]),
    ("wrong_type", _with(b"$T", b'"$T"')),
    ("missing_field", _with(b'"user_id":"odd-$N",', b"")),
    ("empty_field", _with(b'"10.0.0.1"', b'""')),
    ("not_json", _with(b"ad-00001", b"ad-\xff\xfe")),
    ("wrong_type", _with(b"$T", b"1.0")),
    ("timestamp_out_of_range", _with(b"$T", b"9223372036854775808")),
    ("too_long", _with(b"10.0.0.1", b"1" * 65)),
    ("not_json", _with(b"ad-00001", rb"ad-\ud800")),
    ("missing_field", b"{}"),
    ("wrong_type", _with(b"$T", b"1e3")),
    ("not_json", _with(b"ad-00001", b"ad-\xed\xa0\x80")),
    ("empty_field", _plus(b'"click_id":""')),
    ("not_json", _with(b"ad-00001", b"ad\x1e00001")),
    ("wrong_type", _with(b"$T", b"true")),
    ("not_json", _with(b"ad-00001", b"ad\x0000001")),
    ("missing_field", _with(b',"click_timestamp":$T', b"")),
    ("too_long", _plus(b'"click_id":"$N' + b"c" * 257 + b'"')),
    ("not_json", _plus(b'"extra":' + b"[" * 100 + b"]" * 100)),
    ("wrong_type", _with(b'"10.0.0.1"', b"null")),
    ("timestamp_out_of_range", _with(b"$T", b"1" + b"0" * 40)),
    ("not_json", b"[" + CLICK + b"]"),
    ("wrong_type", _plus(b'"country":7')),
    ("not_json", CLICK + b" " + CLICK),
    ("empty_field", _with(b"odd-$N", b"")),
    ("not_json", b"\xef\xbb\xbf" + CLICK),
    ("wrong_type", _plus(b'"click_id":{"id":"c"}')),
    ("not_json", _plus(b'"extra":NaN')),
    ("missing_field", _with(b'"ip":"10.0.0.1",', b"")),
    ("not_json", b"null"),
    ("too_long", _with(b"odd-$N", "ü".encode() * 257)),
    ("not_json", CLICK[:-1] + b",}"),
    ("wrong_type", CLICK[:-1] + b',"ad_id":null}'),
    ("not_json", CLICK.replace(b'"', b"'")),
    ("wrong_type", _with(b'"10.0.0.1"', b'["10.0.0.1"]')),
    ("not_json", b"hello\r"),
    ("too_large", _plus(b'"extra":"' + b"x" * 66_000 + b'"')),
)

FUTURE = CLICK  # with a time a hundred years ahead: `future_timestamp` whenever it is produced

# (template, the same identity spelled another way): both valid, and duplicates of each other.
UNUSUAL: tuple[tuple[bytes, bytes], ...] = (
    (_plus(b'"campaign":42,"price":1.5e-3,"tags":["a",null,true]'), CLICK),
    (_plus(b'"extra":' + b"[" * 63 + b"]" * 63), CLICK),
    (_plus(b'"extra":{"ad_id":7,"click_timestamp":"soon"}'), CLICK),
    (_plus(rb'"note":"\"click_timestamp\":99999999999999,\"ad_id\":\"x\""'), CLICK),
    (_with(b"ad-00001", rb"caf\u00e9"), _with(b"ad-00001", "café".encode())),
    (_with(b"ad-00001", rb"path\/ad"), _with(b"ad-00001", b"path/ad")),
    (_with(b"ad-00001", rb"\ud83d\ude00"), _with(b"ad-00001", "😀".encode())),
    (_with(b"ad-00001", "реклама-広告".encode()), _with(b"ad-00001", r"реклама-\u5e83\u544a".encode())),
    (_with(b"ad-00001", rb"ad,\"quoted\""), _with(b"ad-00001", rb"ad\u002c\u0022quoted\u0022")),
    (_with(b"ad-00001", rb"line\r\nbreak\t"), _with(b"ad-00001", rb"line\u000d\u000abreak\u0009")),
    (_with(b"ad-00001", rb"\u0000\u001e"), _with(b"ad-00001", rb"\u0000\u001E")),
    (_with(b"ad-00001", "é".encode() * 256), _with(b"ad-00001", rb"\u00e9" * 256)),
    (_with(b"ad-00001", b" "), _with(b"ad-00001", rb"\u0020")),
    (_with(b"10.0.0.1", b"2001:db8::" + b"1" * 54), _with(b"10.0.0.1", rb"2001:db8:\u003a" + b"1" * 54)),
    (_with(b'"ad_id"', rb'"\u0061d_id"'), CLICK),
    (b' \t{ "click_timestamp" : $T ,\r"ip":"10.0.0.1", "user_id":"odd-$N", "ad_id" : "ad-00001" }\t \r', CLICK),
    (b'{"ad_id":7,"click_timestamp":null,' + CLICK[1:], CLICK),
    (_plus(b'"click_id":null,"country":null'), CLICK),
    (_plus(b'"country":""'), _plus(b'"country":"Vereinigtes K\xc3\xb6nigreich"')),
    (_plus(b'"number":123456789012345678901234567890'), CLICK),
    (_plus(b'"click_id":"odd-$N"'), _plus(rb'"click_id":"od\u0064-$N","country":"NL"')),
    (_plus(b'"extra":"' + b"x" * 65_000 + b'"'), CLICK),
)


def fill(template: bytes, timestamp: int, number: str) -> bytes:
    """The template's click at `timestamp` (epoch milliseconds), made unique by `number`."""
    return template.replace(b"$T", b"%d" % timestamp).replace(b"$N", number.encode())
