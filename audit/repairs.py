"""Replays repaired invalid clicks, so that no click is ever counted twice.

Before a value is sent, a mark with the click's origin and the value's digest is written; when it has arrived, a mark
that it is sent. A replay that was killed in between is simply run again (docs/adr/0011-dead-letter-replay.md).
"""

import base64
import binascii
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from blake3 import blake3
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.dead_letters import LATE_REASON, Origin
from local.processes import LocalError
from udfs.blocklist import Blocklist
from udfs.clicks import Invalid, judge

CLICKS_AT_ONCE = 500
NOTHING_SENT = "nothing was sent"


class Repair(NamedTuple):
    """A repaired click: the line of the file, where the click came in, its value now."""

    line: int
    origin: Origin
    value: bytes

    def digest(self) -> str:
        """What stands for the value in a mark."""
        return blake3(self.value).hexdigest()


class Mark(NamedTuple):
    """What was noted of an origin: the digest of the value it was repaired with, and whether that has arrived."""

    digest: str
    sent: bool


class ReplayLog(Protocol):
    """Where marks and clicks are written; whoever opens it shuts out all that opened it before."""

    def marks(self) -> Mapping[Origin, Mark]:
        """Return the latest mark of each origin."""

    def mark(self, marks: Mapping[Origin, Mark]) -> None:
        """Write marks, all or none; return when they are safe."""

    def send(self, repairs: Sequence[Repair]) -> None:
        """Send the values into the clicks topic; return when all have arrived."""


class Outcome(NamedTuple):
    """How many clicks were sent, and how many had been sent before."""

    sent: int
    skipped: int


class _Line(BaseModel):
    """A line of the file, as `dlq show --json` writes it; what else is in it does not matter."""

    model_config = ConfigDict(strict=True)

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    reason: str | None = None
    value: str | None = None
    value_base64: str | None = None

    def repair(self, number: int) -> Repair:
        """Raises ValueError where there is no value, or one that cannot be bytes."""
        if (self.value is None) == (self.value_base64 is None):
            raise ValueError("it must have either a value or a value_base64")
        value = (
            self.value.encode() if self.value is not None else base64.b64decode(self.value_base64 or "", validate=True)
        )
        return Repair(number, Origin(self.topic, self.partition, self.offset), value)


def read_repairs(path: Path) -> list[Repair]:
    """Read a file of repaired clicks; LocalError, naming the line, where it makes no sense."""
    repairs: dict[Origin, Repair] = {}
    for number, line in _lines(path):
        repair = _repair(number, line)
        if other := repairs.get(repair.origin):
            raise _refused(repair, f"repairs the same click as line {other.line}")
        repairs[repair.origin] = repair
    return list(repairs.values())


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())
    except OSError as error:
        raise LocalError(f"Cannot read {path}: {error.strerror}.") from error


def _repair(number: int, text: bytes) -> Repair:
    try:
        line = _Line.model_validate_json(text)
        repair = line.repair(number)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise LocalError(f"Line {number} is no dead letter ({where}: {first['msg']}); {NOTHING_SENT}.") from None
    except (ValueError, binascii.Error) as error:
        raise LocalError(f"Line {number} has no value that can be sent ({error}); {NOTHING_SENT}.") from None
    if line.reason == LATE_REASON:
        raise _late(repair)
    return repair


def check_origins(
    repairs: Sequence[Repair], invalid: Collection[Origin], late: Callable[[], Collection[Origin]]
) -> None:
    """Raise LocalError for a repair of what is no invalid click; `late`: read only to say why."""
    unknown = [repair for repair in repairs if repair.origin not in invalid]
    if unknown:
        known_late = late()
        if late_ones := [repair for repair in unknown if repair.origin in known_late]:
            raise _late(late_ones[0])
        raise _refused(unknown[0], "is in no topic of invalid clicks")


def check_values(repairs: Sequence[Repair], now: int, max_clock_skew: int, blocklist: Blocklist | None = None) -> None:
    """Raise LocalError for a value that is still invalid, or would be filtered again; both times in ms."""
    for repair in repairs:
        try:
            click = judge(repair.value, now + max_clock_skew)
            if blocklist and blocklist.blocks(click, now):
                raise _refused(repair, "is on the blocklist, and would be filtered again")
        except Invalid as invalid:
            raise _refused(repair, f"is still invalid, {invalid.reason}") from None


def replay(
    repairs: Sequence[Repair], log: ReplayLog, on_progress: Callable[[int], None] = lambda sent: None
) -> Outcome:
    """Send what was not sent before; LocalError, and nothing sent, where a click was repaired in another way before.

    It may be killed at any point and run again. `on_progress` hears how many clicks have arrived.
    """
    to_send = _unsent(repairs, log.marks())
    for first in range(0, len(to_send), CLICKS_AT_ONCE):
        chunk = to_send[first : first + CLICKS_AT_ONCE]
        log.mark({repair.origin: Mark(repair.digest(), sent=False) for repair in chunk})
        log.send(chunk)
        log.mark({repair.origin: Mark(repair.digest(), sent=True) for repair in chunk})
        on_progress(first + len(chunk))
    return Outcome(len(to_send), len(repairs) - len(to_send))


def _unsent(repairs: Sequence[Repair], marks: Mapping[Origin, Mark]) -> list[Repair]:
    unsent = []
    for repair in repairs:
        mark = marks.get(repair.origin)
        if mark and mark.digest != repair.digest():
            raise _refused(repair, "was replayed with another value before")
        if not (mark and mark.sent):
            unsent.append(repair)
    return unsent


def _late(repair: Repair) -> LocalError:
    sentence = "late clicks are never replayed into the stream, reconciliation counts them"
    return LocalError(f"Line {repair.line} ({repair.origin}) is a late click: {sentence}; {NOTHING_SENT}.")


def _refused(repair: Repair, why: str) -> LocalError:
    return LocalError(f"Line {repair.line} ({repair.origin}) {why}; {NOTHING_SENT}.")
