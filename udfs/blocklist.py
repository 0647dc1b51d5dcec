"""The blocklist: valid clicks that must not be counted, by address, user or country.

An entry holds for records with timestamps in a span. So a list says for ever what it let through and when: the recount
of any day, with the list as it is then, filters what the stream filtered.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

import numpy as np
import polars as pl

from udfs.clicks import Click

FIELDS = ("ip", "user_id", "country")
"""What a click can be blocked by."""
COLUMNS = ("field", "value", "since", "until", "note")
"""The columns of the file; the first two are required, `note` is for people."""

BEGINNING, END = -(2**63), 2**63 - 1
_LAST_MS = 253_402_300_799_999  # of the year 9999
_MAPPED = bytes(10) + b"\xff\xff"  # how an IPv6 address begins that stands for an IPv4 address


class BlocklistError(ValueError):
    """A file that is no blocklist: one sentence, which names the line."""


class Span(NamedTuple):
    """Record timestamps, epoch ms: from `since`, up to and without `until`."""

    since: int = BEGINNING
    until: int = END


@dataclass(frozen=True)
class Blocklist:
    """The spans of each blocked value.

    Networks by (bits of an address, bits of it that are free in the network), then by the bits that are not free.
    """

    networks: dict[tuple[int, int], dict[int, list[Span]]] = field(default_factory=dict)
    user_ids: dict[str, list[Span]] = field(default_factory=dict)
    countries: dict[str, list[Span]] = field(default_factory=dict)

    def blocks(self, click: Click, timestamp: int) -> bool:
        """Whether the list filters a click of a record with this timestamp (epoch ms)."""
        spans = [*self._spans_of(click.ip), *self.user_ids.get(click.user_id, ())]
        spans += self.countries.get(click.country or "", ())
        return any(since <= timestamp < until for since, until in spans)

    def blocked(self, clicks: pl.DataFrame) -> pl.Series:
        """Return for each click of the columns ip, user_id, country (or "") and timestamp whether it is filtered.

        The columns that no entry is about are not looked at. Of the others the distinct values that are blocked at any
        time are found first, and only clicks that have one are held against the spans.
        """
        rows = clicks.with_row_index("row")
        blocked = np.zeros(len(clicks), bool)
        for name in FIELDS:
            if spans := list(self._blocked_values(name, clicks[name])):
                suspects = rows.join(_table(name, spans), on=name)
                held = suspects.filter(pl.col("timestamp").is_between("since", "until", closed="left"))
                blocked[held["row"].to_numpy()] = True
        return pl.Series("blocked", blocked)

    def _blocked_values(self, name: str, column: pl.Series) -> Iterator[tuple[str, int, int]]:
        """Yield the column's blocked values with their spans."""
        if name == "ip":
            yield from self._blocked_addresses(column)
        elif known := self.user_ids if name == "user_id" else self.countries:
            for value in known.keys() & set(column.to_list()):
                yield from ((value, *span) for span in known[value])

    def _blocked_addresses(self, column: pl.Series) -> Iterator[tuple[str, int, int]]:
        """Do so for addresses: a kind of network that none of them lies in costs one pass over their numbers."""
        distinct = set(column.drop_nulls().to_list()) if self.networks else ()
        addresses = [(ip, *address) for ip in distinct if (address := _address(ip))]
        for (bits, free), networks in self.networks.items():
            if hit := networks.keys() & {number >> free for _, own, number in addresses if own == bits}:
                for ip, own, number in addresses:
                    if own == bits and number >> free in hit:
                        yield from ((ip, *span) for span in networks[number >> free])

    def _spans_of(self, ip: str) -> Iterator[Span]:
        """Yield the spans of all networks that the address lies in; what is no address lies in none."""
        if not self.networks or (address := _address(ip)) is None:
            return
        own_bits, number = address
        for (bits, free), networks in self.networks.items():
            if bits == own_bits:
                yield from networks.get(number >> free, ())


def read_blocklist(path: Path) -> Blocklist:
    """Read a blocklist: CSV with a header, the columns `COLUMNS`. Raises `BlocklistError`."""
    blocklist = Blocklist()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(reader.fieldnames or ())
            for row in reader:
                _add(blocklist, row)
    except OSError as error:
        raise BlocklistError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BlocklistError(f"{path} is not UTF-8") from None
    except (ValueError, csv.Error) as error:
        raise BlocklistError(f"{path}, line {max(reader.reader.line_num, 1)}: {error}") from None
    return blocklist


def _check_header(names: Sequence[str]) -> None:
    if not {"field", "value"} <= set(names) <= set(COLUMNS) or len(set(names)) < len(names):
        raise ValueError("the header must be field,value, and since, until or note where they are used")


def _add(blocklist: Blocklist, row: dict[str, str | None]) -> None:
    if None in row or None in row.values():
        raise ValueError("it has more or fewer columns than the header")
    about, value = row["field"] or "", row["value"] or ""
    span = Span(_time(row.get("since"), BEGINNING), _time(row.get("until"), END))
    if span.since >= span.until:
        raise ValueError("since must be before until")
    if not value:
        raise ValueError("value is missing")
    match about:
        case "ip":
            bits, free, number = _network(value)
            blocklist.networks.setdefault((bits, free), {}).setdefault(number, []).append(span)
        case "user_id":
            blocklist.user_ids.setdefault(value, []).append(span)
        case "country":
            blocklist.countries.setdefault(value, []).append(span)
        case _:
            raise ValueError(f"field must be one of {', '.join(FIELDS)}, not {about!r}")


def _network(text: str) -> tuple[int, int, int]:
    """Return how many bits its addresses have, how many of them are free, and the others."""
    network = ip_network(text)
    bits, free = network.max_prefixlen, network.max_prefixlen - network.prefixlen
    if isinstance(network, IPv6Network):
        if network.network_address.scope_id:
            raise ValueError(f"{text!r} has a zone, which no click's address has")
        if free <= 32 and network.network_address.ipv4_mapped:
            return 32, free, int(network.network_address.ipv4_mapped) >> free
    return bits, free, int(network.network_address) >> free


def _address(ip: str) -> tuple[int, int] | None:
    """Return an address's bits and their number; an IPv6 address that stands for one of IPv4 is that."""
    try:
        packed = inet_pton(AF_INET6 if ":" in ip else AF_INET, ip)
    except (OSError, ValueError):
        return None
    packed = packed.removeprefix(_MAPPED)
    return 8 * len(packed), int.from_bytes(packed, "big")


def _time(text: str | None, otherwise: int) -> int:
    """Read epoch milliseconds, or an ISO 8601 time, UTC unless it says otherwise."""
    if not text:
        return otherwise
    if text.isdecimal() and int(text) <= _LAST_MS:
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time such as 2026-01-01T12:00:00Z, nor epoch milliseconds") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _table(name: str, spans: list[tuple[str, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(spans, {name: pl.String, "since": pl.Int64, "until": pl.Int64}, orient="row")
