"""Dead letters: the late and the invalid clicks, as the job put them aside with their origin and reason."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from audit.archive_files import EVERYTHING, RecordSpan
from local.processes import LocalError
from local.topics import Record, read_topic

LATE_REASON = "late"
"""The reason that all late clicks have, and no invalid one."""
MINUTE = 60_000


class Origin(NamedTuple):
    """Where a click came in: it names that click for good."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class DeadLetter(NamedTuple):
    """A late or invalid click; `timestamp` is the one it came in with (epoch ms)."""

    origin: Origin
    timestamp: int
    reason: str
    key: bytes | None
    value: bytes | None

    def ad_id(self) -> str | None:
        """The ad, as far as the value can be read."""
        try:
            fields = json.loads(self.value or b"")
        except (ValueError, RecursionError):
            return None
        ad_id = fields.get("ad_id") if isinstance(fields, dict) else None
        return ad_id if isinstance(ad_id, str) else None

    def as_json(self) -> str:
        """One line of ASCII: origin, timestamp, reason, and the exact bytes of key and value (`_bytes`)."""
        told = self.origin._asdict() | {"timestamp": self.timestamp, "reason": self.reason}
        return json.dumps(told | _bytes("key", self.key) | _bytes("value", self.value))


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are asked for; None asks for all. `span`: of record timestamps."""

    reason: str | None = None
    span: RecordSpan = EVERYTHING
    ad_id: str | None = None

    def holds(self, letter: DeadLetter) -> bool:
        """Whether this one is asked for; the ad is looked at last, since its value must be parsed for it."""
        if self.reason not in (None, letter.reason) or not self.span.holds(letter.timestamp):
            return False
        return self.ad_id is None or letter.ad_id() == self.ad_id


def read_dead_letters(connection: dict[str, Any], topic: str) -> Iterator[DeadLetter]:
    """Yield the committed dead letters of a topic.

    `connection`: kafka-python's `bootstrap_servers` and security options. Raises KafkaError, or LocalError for a record
    that the job did not write.
    """
    return (_dead_letter(record, topic) for record in read_topic(connection, topic))


def _dead_letter(record: Record, topic: str) -> DeadLetter:
    names = ("topic", "partition", "offset", "timestamp", "reason")
    try:
        name, partition, offset, timestamp, reason = (record.headers[f"clickproof.{key}"].decode() for key in names)
        origin = Origin(name, int(partition), int(offset))
        return DeadLetter(origin, int(timestamp), reason, record.key, record.value)
    except (KeyError, ValueError) as error:
        place = f"partition {record.partition}, offset {record.offset} of {topic}"
        raise LocalError(f"The record at {place} has no headers of a rejected click: who wrote it?") from error


class Group(NamedTuple):
    """What dead letters are counted by; `minute` (of the record timestamp) and `ad_id` only when asked for."""

    reason: str
    minute: int | None
    ad_id: str | None


def count(letters: Iterable[DeadLetter], by_minute: bool, by_ad: bool) -> Counter[Group]:
    """Count dead letters by reason and, where asked for, by minute and by ad (None where it cannot be read)."""
    return Counter(
        Group(
            letter.reason,
            letter.timestamp - letter.timestamp % MINUTE if by_minute else None,
            letter.ad_id() if by_ad else None,
        )
        for letter in letters
    )


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    """Bytes as text if they are UTF-8, else as `<name>_base64`."""
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}
