"""Spans of whole windows, and the times that users give."""

from dataclasses import dataclass
from datetime import UTC, datetime

from audit.readable import epoch_ms
from jobs.reconcile_settings import ALL_TIME
from jobs.setting_types import epoch_milliseconds
from jobs.settings import load
from local.processes import LocalError

DAY = 86_400_000
MINUTE = 60_000


@dataclass(frozen=True)
class Span:
    """The windows that start in [start, end), epoch milliseconds."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start % MINUTE or self.end % MINUTE:
            raise LocalError("A span begins and ends with a whole minute.")
        if self.end < self.start:
            raise LocalError(f"The span ends before it begins: {self}.")

    def __str__(self) -> str:
        if self.end == ALL_TIME:
            return "all windows"
        return f"{_iso(self.start)} to {_iso(self.end)}"

    @staticmethod
    def all() -> "Span":
        """Return the span of all windows."""
        return Span(0, ALL_TIME)

    @property
    def name(self) -> str:
        """The span as a file's name."""
        return f"{_iso(self.start)}--{_iso(self.end)}".replace(":", "")


def span_of(first: str | None, end: str | None, now: datetime) -> Span:
    """Return the span between two times as users write them: by default yesterday, or the day that begins at `first`.

    Raises LocalError for what is no time, and for a span that is not over yet.
    """
    today = epoch_milliseconds(now) // DAY * DAY
    start = epoch_ms(first) if first else today - DAY
    span = Span(start, epoch_ms(end) if end else start + DAY)
    if span.end > epoch_milliseconds(now):
        raise LocalError(f"The span {span} is not over yet.")
    return span


def archived_until(span: Span, now: datetime) -> int:
    """Return the record timestamp (epoch ms) before which everything must be archived: all but what came just now.

    A record is in the archive when the file that it goes to is closed, two intervals later at most.
    """
    return max(span.end, epoch_milliseconds(now - 2 * load([]).archive_roll_interval))


def _iso(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"
