"""What the partitions of a bucket have said, and after which of their events they said it.

Events and statements are read from two topics, each at its own speed. A statement that names the offset of the event
before it has its place among the events wherever either is read: events up to there are not judged by it, and it lets
no window pass until they are here.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from math import inf
from operator import attrgetter
from typing import NamedTuple

from udfs.partition_windows import Reason
from udfs.partition_windows_progress import NEVER

RETIRED = inf
MOST_STATEMENTS = 1_000
"""A partition that has said more than this, of what matters yet, is held to what it said at the windows' ends."""

Positions = Mapping[int, int]
"""How far each partition of Kafka is read: its last offset here."""


class Said(NamedTuple):
    """A statement after the event at offset `after` of the Kafka partition `lane` (None: after what was read).

    `watermark` is `NEVER` when it adds the partition; `closed`: where the windows end that were closed by then.
    """

    after: int
    lane: int | None
    watermark: float
    closed: float

    def holds(self, positions: Positions) -> bool:
        """Whether all events before it are here."""
        return self.lane is None or positions.get(self.lane, -1) >= self.after


@dataclass
class Member:
    """A partition; `said` in the order of offsets, `read`: the offset of its last event here."""

    said: list[Said] = field(default_factory=list)
    read: int = -1
    idle: bool = False

    def add(self, lane: int | None, after: int | None, closed: float) -> None:
        """Let it begin, the first time or after it was retired."""
        self._say(lane, after, NEVER, closed)

    def advance(self, lane: int | None, after: int | None, watermark: float) -> None:
        """Take its watermark, `RETIRED` as the last one; one that is not higher is ignored."""
        if watermark > self.said[-1].watermark:
            self._say(lane, after, watermark, self.said[-1].closed)

    def _say(self, lane: int | None, after: int | None, watermark: float, closed: float) -> None:
        place = self.read if after is None else after
        least = self.said[-1].after if self.said else -1  # statements are made one after another
        self.said.append(Said(max(place, least), lane, watermark, closed))

    def before(self, offset: int) -> Said | None:
        """Return the last statement made before the event at `offset`."""
        said = self.said
        if said and said[-1].after < offset:
            return said[-1]
        place = bisect_left(said, offset, key=attrgetter("after"))
        return said[place - 1] if place else None

    def retired_before(self, offset: int) -> bool:
        """Whether it was retired before the event at `offset`, and is not known to be added again."""
        return self.said[-1].watermark == RETIRED and self.may_begin_again_before(offset)

    def may_begin_again_before(self, offset: int) -> bool:
        """Whether statements made before the event at `offset` may still come, such as that it is retired and added."""
        return self.said[-1].after < offset

    def is_gone(self, positions: Positions) -> bool:
        """Whether it is retired, and all its events from before that are here."""
        return self.said[-1].watermark == RETIRED and self.said[-1].holds(positions)

    def objection(self, timestamp: int, offset: int) -> Reason | None:
        """Judge an event by the statements made before it; None when nothing is to be said against it.

        Of those that can refuse no event any more some are forgotten: an event before them all is not objected to.
        """
        said = self.before(offset)
        if said is None:
            return None
        if said.watermark == RETIRED:
            return Reason.UNKNOWN_PARTITION
        if timestamp < said.watermark:
            return Reason.BEHIND_WATERMARK
        return Reason.WINDOW_CLOSED if timestamp < said.closed else None

    def watermark(self, positions: Positions) -> float:
        """Return the watermark that all events here allow for; an idle one holds as little back as a retired one.

        One that is known to be added again holds back what was not closed by then.
        """
        if self.idle:
            return RETIRED
        here = sum(1 for _ in takewhile(lambda said: said.holds(positions), self.said))
        last = self.said[here - 1] if here else None
        stated = max(last.watermark, last.closed) if last else self.said[0].closed
        begins_again = (said.closed for said in self.said[here:] if said.watermark == NEVER)
        return min(stated, next(begins_again, stated))

    def forget(self, positions: Positions, closed: float, window: int, waits: bool) -> None:
        """Drop the statements that can refuse no event any more; `waits`: events of it wait to be published."""
        said = self.said
        while len(said) > 1 and said[1].holds(positions) and self._is_past(said[0], closed, waits):
            del said[0]
        if len(said) > MOST_STATEMENTS:
            steps = [now for was, now in pairwise(said[:-1]) if _matters(was, now, window)]
            self.said = [said[0], *steps, said[-1]]

    def _is_past(self, said: Said, closed: float, waits: bool) -> bool:
        return not waits if said.watermark == RETIRED else max(said.watermark, said.closed) <= closed


def _matters(was: Said, now: Said, window: int) -> bool:
    """Whether a statement adds or retires the partition, or passes the end of a window."""
    if {NEVER, RETIRED} & {was.watermark, now.watermark}:
        return True
    return now.watermark // window > was.watermark // window
