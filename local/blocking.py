"""The blocklist, read a second time for the independent recount: nothing here is shared with the job."""

import csv
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A line of the list; `since` and `until` in epoch milliseconds, None where it has no such bound."""

    field: str
    value: str
    since: int | None
    until: int | None

    def holds(self, fields: Mapping[str, Any], timestamp: int) -> bool:
        """Whether it is about this click, of a record with this timestamp."""
        begun = self.since is None or self.since <= timestamp
        ended = self.until is not None and self.until <= timestamp
        if not begun or ended:
            return False
        return _contains(self.value, fields["ip"]) if self.field == "ip" else fields.get(self.field) == self.value


def read_entries(path: Path | None) -> list[Entry]:
    """Read the lines of a list that the job has accepted; none where it had no list."""
    if path is None:
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            Entry(row["field"], row["value"], _milliseconds(row.get("since")), _milliseconds(row.get("until")))
            for row in csv.DictReader(file)
        ]


def blocked(entries: Sequence[Entry], fields: Mapping[str, Any], timestamp: int) -> bool:
    """Whether any entry is about this click."""
    return any(entry.holds(fields, timestamp) for entry in entries)


def _contains(network: str, ip: str) -> bool:
    """Whether the address lies in the network; of a click's `ip` that is no address, no."""
    if "%" in ip:
        return False
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return _unmapped(address) in _unmapped_network(network)


def _unmapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address, where an IPv6 address stands for one."""
    return getattr(address, "ipv4_mapped", None) or address


def _unmapped_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    first, last = _unmapped(network[0]), _unmapped(network[-1])
    if first.version == last.version == 4:
        return next(ipaddress.summarize_address_range(first, last))
    return network


def _milliseconds(text: str | None) -> int | None:
    if not text:
        return None
    if text.isdecimal():
        return int(text)
    time = datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
