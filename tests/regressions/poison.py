"""Values that made some version of this project or of its prototypes fail, or were likely to: kept for ever.

A value that an attack finds is added here, with what it broke.
"""

from tests.builders import NOON, raw

POISON = [
    b'{"click_timestamp":1e999999999}',  # a CAST in the watermark's expression ended the job, again after each restart
    raw().replace(str(NOON).encode(), b"9" * 60_000),  # int() of it takes seconds
    raw().replace(str(NOON).encode(), b"-" + b"9" * 400),
    b"[" * 10_000 + b"]" * 10_000,  # a reader of JSON that recurses
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"click_timestamp":' * 3_000,
    raw(ad_id="\ud800"),  # a string that cannot be encoded again
    raw(ad_id="ad").replace(b"ad", b"\xed\xa0\x80", 1),
    b"{" + b",".join(b'"%d":1' % key for key in range(5_000)) + b"}",
    b"{" + b",".join(b'"%d":1' % key for key in range(1_000_000)) + b"}",
    b"\x00" * 70_000,
]
