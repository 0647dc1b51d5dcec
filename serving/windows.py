"""Windows: minutes of event time, each known by its start in epoch milliseconds."""

from typing import NamedTuple

MINUTE = 60_000


class Span(NamedTuple):
    """A span of whole windows, `[start, end)`, in epoch milliseconds."""

    start: int
    end: int

    @property
    def windows(self) -> range:
        """The starts of the windows."""
        return range(self.start, self.end, MINUTE)


def window_of(timestamp: int) -> int:
    """Return the start of a timestamp's window; times before 1970 belong to the first."""
    return max(timestamp - timestamp % MINUTE, 0)
