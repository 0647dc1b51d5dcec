"""Clicks whose copies lie in more than one place: another window or another ad under one `click_id`.

A place is a window's start (epoch ms) and an ad. Such a click counts once, in the place of the copy that arrived first.
The stream counts the copy that it reads first, and another one when the dedupe's horizon lies between them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Place = tuple[int, str]

PASSES = 10  # over all clicks: each either improves the fit or is the last


@dataclass(frozen=True)
class SpreadClick:
    """The places of a click's copies in order of arrival; `on_time`: those where at least one copy was not late."""

    places: tuple[Place, ...]
    on_time: tuple[Place, ...]

    @property
    def exact(self) -> Place:
        """Where it counts."""
        return self.places[0]

    def streamed(self, horizon: int, first: Place | None = None) -> frozenset[Place]:
        """Where the stream counts it, copies read in order of arrival, or one of the places before all others.

        `horizon` in ms: a copy is a duplicate when one was counted in a window that starts within it.
        """
        counted: list[Place] = []
        for place in ([first] if first else []) + [*self.on_time]:
            if all(abs(place[0] - start) > horizon for start, _ in counted):
                counted.append(place)
        return frozenset(counted)


@dataclass
class Shares:
    """What spread clicks add to the counts of places: exactly, and by the causes of differences."""

    exact: Counter[Place] = field(default_factory=Counter)
    late: Counter[Place] = field(default_factory=Counter)
    expired_duplicate: Counter[Place] = field(default_factory=Counter)


def shares(clicks: Sequence[SpreadClick], streamed: Counter[Place], horizon: int) -> Shares:
    """Return what each place's count has of the spread clicks.

    `streamed`: how many of them the published counts must hold, by place, when nothing is wrong. Partitions are read at
    different speed, so the copy that the stream read first need not be the one that arrived first: of the possible
    readings those are taken that fit what was published.
    """
    result = Shares()
    for click, counted in zip(clicks, _readings(clicks, streamed, horizon), strict=True):
        result.exact[click.exact] += 1
        if click.exact not in counted:
            cause, amount = (result.expired_duplicate, -1) if click.exact in click.on_time else (result.late, 1)
            cause[click.exact] += amount
        for place in counted - {click.exact}:
            result.expired_duplicate[place] += 1
    return result


def _readings(clicks: Sequence[SpreadClick], streamed: Counter[Place], horizon: int) -> list[frozenset[Place]]:
    """Return where the stream counted each click: as it arrived, unless another reading fits better."""
    readings = [click.streamed(horizon) for click in clicks]
    unfilled = Counter(streamed)
    unfilled.subtract(place for reading in readings for place in reading)
    for _ in range(PASSES):
        improved = False
        for number, click in enumerate(clicks):
            for other in _other_readings(click, horizon):
                gained, lost = other - readings[number], readings[number] - other
                if _misfit(unfilled, gained, lost) < 0:
                    unfilled.subtract(gained)
                    unfilled.update(lost)
                    readings[number], improved = other, True
        if not improved:
            break
    return readings


def _other_readings(click: SpreadClick, horizon: int) -> Iterator[frozenset[Place]]:
    return (click.streamed(horizon, first) for first in click.on_time)


def _misfit(unfilled: Counter[Place], gained: Iterable[Place], lost: Iterable[Place]) -> int:
    """By how much the counts fit worse with another reading of one click."""
    more = sum(abs(unfilled[place] - 1) - abs(unfilled[place]) for place in gained)
    return more + sum(abs(unfilled[place] + 1) - abs(unfilled[place]) for place in lost)
