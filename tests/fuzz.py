"""Values that no producer would send on purpose: clicks with bytes changed, and bombs. None has a newline."""

import random
from collections.abc import Iterator

from local.odd_clicks import CLICK, INVALID, UNUSUAL, fill

TEMPLATES = [CLICK, *(template for _, template in INVALID), *(each for pair in UNUSUAL for each in pair)]
INTERESTING = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\x1e",
    b"\\",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"-",
    b"e9",
    b"9" * 40,
]
BOMB_SHARE = 0.002


def fuzzed(seed: int, number: int, time: int) -> Iterator[bytes]:
    """Yield so many values, the same for the same seed; those that are still clicks are of `time`, in epoch ms."""
    chance = random.Random(seed)
    for at in range(number):
        if chance.random() < BOMB_SHARE:
            yield _bomb(chance)
        else:
            value = fill(chance.choice(TEMPLATES), time, f"fuzz-{seed}-{at}")
            yield _mutated(value, chance).replace(b"\n", b"\r")


def _mutated(value: bytes, chance: random.Random) -> bytes:
    """Change a few places: a bit, a byte more, a piece less, a piece twice."""
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(value) + 1)
        end = at + chance.randrange(1, 9)
        match chance.randrange(4):
            case 0 if at < len(value):
                value = value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
            case 1:
                value = value[:at] + chance.choice(INTERESTING) + value[at:]
            case 2:
                value = value[:at] + value[end:]
            case _:
                value = value[:end] + value[at:]
    return value


def _bomb(chance: random.Random) -> bytes:
    """Too large, too deep, or with too many keys."""
    return chance.choice(
        (
            CLICK[:-1] + b',"x":"' + b"x" * chance.randrange(60_000, 200_000) + b'"}',
            b"[" * 10_000 + b"]" * 10_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            b"{" + b",".join(b'"%d":1' % key for key in range(chance.choice((5_000, 100_000)))) + b"}",
            CLICK.replace(b"$T", b"1e" + b"9" * 5_000),
        )
    )
