"""Synthetic click traffic: JSON lines, and a truth file saying what is certain about them.

The same traffic always gives the same bytes. Only the raw 64-bit stream of PCG64 is used, which numpy keeps stable
across versions. The truth is counted while generating; nothing here parses or validates a click.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from local.odd_clicks import FUTURE, INVALID, UNUSUAL, fill
from local.traffic import DUPLICATE, FUTURISTIC, LATE, MINUTE, ODD, ORDINARY, Column, Traffic, kinds, lags, popularity

CENTURY = 3_155_760_000_000
CHUNK = 20_000  # lines
REMEMBERED = 100_000  # clicks of the last minute that may be sent again
NEAR = 50  # half of the duplicates are of one of so many clicks before them

OCTETS = [str(octet) for octet in range(256)]
CODES = ["AU", "BR", "CA", "DE", "ES", "FR", "GB", "IN", "JP", "NL", "US"]
COUNTRIES = ("", *(f',"country":"{code}"' for code in CODES))


def generate(traffic: Traffic, out: Path, on_progress: Callable[[int], None] | None = None) -> dict[str, object]:
    """Write the clicks to `out` and what is certain about them to `out` + `.truth.json`; return the latter.

    `on_progress` gets the number of lines written so far.
    """
    stream = _Stream(traffic)
    with out.open("wb") as file:
        for first in range(0, traffic.clicks, CHUNK):
            last = min(first + CHUNK, traffic.clicks)
            file.write(b"\n".join(stream.lines(np.arange(first, last))) + b"\n")
            if on_progress:
                on_progress(last)
    truth = stream.truth()
    out.with_name(out.name + ".truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    return truth


def _padding(characters: int) -> str:
    """The field that makes a click longer."""
    return f',"padding":"{"x" * characters}"' if characters else ""


class _Stream:
    """The place in the random stream, the clicks that may be sent again, and the tallies of the truth."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.random = np.random.PCG64(traffic.seed)
        self.shares = popularity(traffic)
        self.ip = f'"{_padding(traffic.padding)},"ip":"10.'
        self.ads = [f'{{"ad_id":"ad-{rank:05d}","user_id":"u-' for rank in range(1, traffic.ads + 1)]
        per_minute = max(traffic.clicks // traffic.minutes, 1)
        self.stride = -(-per_minute // REMEMBERED)  # one run of ordinary clicks in so many is remembered
        self.reach = -(-per_minute // self.stride)  # so many remembered clicks make a minute
        self.recent: list[bytes] = []  # in the order sent, the latest last
        self.sent: Counter[int] = Counter()  # by kind
        self.special: Counter[int] = Counter()  # by kind, so far
        self.invalid: Counter[str] = Counter()  # by reason
        self.windows: Counter[int] = Counter()  # unique clicks by the window's start

    def lines(self, index: Column) -> list[bytes]:
        """The clicks at these places of the stream, without newlines."""
        position = self.traffic.span * index // self.traffic.clicks
        kind = self._with_first(kinds(self.traffic, position, self._uniform(len(index))))
        timestamp = self.traffic.start + position - lags(kind, position, self._uniform(len(index)))
        self._tally(kind, timestamp)
        bits = self.random.random_raw(len(index)) >> np.uint64(11)
        lines = self._clicks(index, kind, timestamp, bits)
        self._replace_special(lines, kind, timestamp, bits)
        return lines

    def _uniform(self, size: int) -> Column:
        return (self.random.random_raw(size) >> np.uint64(11)) * 2.0**-53

    def _with_first(self, kind: Column) -> Column:
        """Before the first click that could be sent again, duplicates become ordinary clicks."""
        if not self.recent:
            first = np.cumsum(kind == ORDINARY) == 0
            kind[first & (kind == DUPLICATE)] = ORDINARY
        return kind

    def _tally(self, kind: Column, timestamp: Column) -> None:
        """Count the clicks by kind, and the new identities by window."""
        self.sent.update(kind.tolist())
        new = np.isin(kind, (LATE, ORDINARY, ODD))
        for minute, clicks in zip(*np.unique(timestamp[new] // MINUTE, return_counts=True), strict=True):
            self.windows[int(minute) * MINUTE] += int(clicks)

    def _clicks(self, index: Column, kind: Column, timestamp: Column, bits: Column) -> list[bytes]:
        """Clicks as a usual client writes them; every other one has a `click_id`."""
        rank = np.searchsorted(self.shares, self._uniform(len(index)) * self.shares[-1], side="right")
        user = (index * 7_368_787 + self.traffic.seed) % self.traffic.users
        user[kind == LATE] = self.traffic.users + index[kind == LATE]  # the others' times were used before
        id_start = f',"click_id":"{self.traffic.seed}-'
        has_id = (bits >> np.uint64(52)).tolist()
        ids = [f'{id_start}{place}"' if wanted else "" for place, wanted in zip(index.tolist(), has_id, strict=True)]
        octets = (user >> 16 & 255, user >> 8 & 255, user & 255)
        columns = (rank, user, *octets, timestamp, bits % np.uint64(len(COUNTRIES)))
        return [
            f'{self.ads[ad]}{u}{self.ip}{a}.{OCTETS[b]}.{OCTETS[c]}","click_timestamp":{time}{id_}{COUNTRIES[at]}}}'.encode()
            for ad, u, a, b, c, time, at, id_ in zip(*(column.tolist() for column in columns), ids, strict=True)
        ]

    def _replace_special(self, lines: list[bytes], kind: Column, timestamp: Column, bits: Column) -> None:
        """Put duplicates, invalid and unusual clicks in their places, remembering the clicks between them."""
        done = 0
        for run, place in enumerate(np.flatnonzero((kind != ORDINARY) & (kind != LATE)).tolist()):
            if run % self.stride == 0 or not self.recent:
                self.recent.extend(lines[done:place])
            lines[place] = self._special(int(kind[place]), int(timestamp[place]), int(bits[place]))
            done = place + 1
        self.recent.extend(lines[done:])
        del self.recent[: -self.reach]

    def _special(self, kind: int, timestamp: int, bits: int) -> bytes:
        """The next click of a kind that is not written as usual."""
        if kind == DUPLICATE:
            return self._again(bits)
        number = self.special[kind]
        self.special[kind] += 1
        name = f"{self.traffic.seed}-{kind}-{number}"
        if kind == ODD:
            return self._unusual(number, timestamp, name)
        if kind == FUTURISTIC:
            self.invalid["future_timestamp"] += 1
            return fill(FUTURE, timestamp + CENTURY, name)
        reason, template = INVALID[number % len(INVALID)]
        self.invalid[reason] += 1
        return fill(template, timestamp, name)

    def _unusual(self, number: int, timestamp: int, name: str) -> bytes:
        """The next of the valid clicks that are easily misread; it is spelled another way if it is sent again."""
        first, again = UNUSUAL[number % len(UNUSUAL)]
        self.recent.append(fill(again, timestamp, name))
        return fill(first, timestamp, name)

    def _again(self, bits: int) -> bytes:
        """A click of a few places to a minute before; half of those with a country come with another one."""
        reach = min(NEAR if bits & 1 else self.reach, len(self.recent))
        line = self.recent[-1 - (bits >> 8) % reach]
        if bits & 2 and line[-16:-4] == b',"country":"':
            return line[:-4] + CODES[(bits >> 2) % len(CODES)].encode() + b'"}'
        return line

    def truth(self) -> dict[str, object]:
        """What is certain in whatever order the partitions are read; so nothing on which click comes out late."""
        unique = self.sent[ORDINARY] + self.sent[ODD] + self.sent[LATE]
        return {
            "raw": self.sent.total(),
            "invalid": dict(sorted(self.invalid.items())),
            "valid": unique + self.sent[DUPLICATE],
            "unique_valid": unique,
            "late_sent": self.sent[LATE],
            "duplicates_sent": self.sent[DUPLICATE],
            "unique_per_window": {str(start): clicks for start, clicks in sorted(self.windows.items())},
            "parameters": asdict(self.traffic),
        }
