"""Clicks whose copies lie in more than one place: another window or another ad under one `click_id`.

A place is a window's start (epoch ms) and an ad. Such a click counts once, in the place of the copy that arrived first.
The stream counts the copy that it reads first, and another one when the dedupe's horizon lies between them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product
from math import prod

Place = tuple[int, str]
Reading = frozenset[Place]
"""Where the stream counted a click."""

PASSES = 10  # over all clicks: each either improves the fit or is the last
READINGS = 100  # of one click that are tried
COMBINATIONS = 20_000  # of the readings of clicks that share places


@dataclass(frozen=True)
class SpreadClick:
    """The places of a click's copies in order of arrival; `on_time`: those where at least one copy was not late."""

    places: tuple[Place, ...]
    on_time: tuple[Place, ...]

    @property
    def exact(self) -> Place:
        """Where it counts."""
        return self.places[0]

    def streamed(self, horizon: int) -> Reading:
        """Where the stream counts it when it reads the copies in order of arrival.

        `horizon` in ms: a copy is a duplicate when one was counted in a window that starts within it.
        """
        counted: list[Place] = []
        for place in self.on_time:
            if all(abs(place[0] - start) > horizon for start, _ in counted):
                counted.append(place)
        return frozenset(counted)

    def readings(self, horizon: int) -> list[Reading]:
        """Return where the stream may count it, in whatever order it reads the copies; in order of arrival first."""
        return list(dict.fromkeys([self.streamed(horizon), *islice(_apart(sorted(self.on_time), horizon), READINGS)]))


def _apart(places: Sequence[Place], horizon: int) -> Iterator[Reading]:
    """Yield each choice of the sorted places that lie further apart than the horizon and leave room for no other."""
    if not places:
        yield frozenset()
    for place in places:
        if place[0] > places[0][0] + horizon:
            break
        for further in _apart([other for other in places if other[0] > place[0] + horizon], horizon):
            yield further | {place}


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
    for click, counted in zip(clicks, _fitting([click.readings(horizon) for click in clicks], streamed), strict=True):
        result.exact[click.exact] += 1
        if click.exact not in counted:
            cause, amount = (result.expired_duplicate, -1) if click.exact in click.on_time else (result.late, 1)
            cause[click.exact] += amount
        for place in counted - {click.exact}:
            result.expired_duplicate[place] += 1
    return result


def _fitting(possible: Sequence[Sequence[Reading]], streamed: Counter[Place]) -> list[Reading]:
    """Return the reading of each click: as it arrived, unless other readings fit better."""
    chosen = [readings[0] for readings in possible]
    unfilled = Counter(streamed)
    unfilled.subtract(chain.from_iterable(chosen))
    movable = [number for number, readings in enumerate(possible) if len(readings) > 1]
    for _ in range(PASSES):
        moved = [number for number in movable if _refit([number], possible, chosen, unfilled)]
        if not moved:
            break
    for numbers in _sharing_places({number: possible[number] for number in movable}, +unfilled | -unfilled):
        if prod(len(possible[number]) for number in numbers) <= COMBINATIONS:
            _refit(numbers, possible, chosen, unfilled)
    return chosen


def _refit(
    numbers: Sequence[int], possible: Sequence[Sequence[Reading]], chosen: list[Reading], unfilled: Counter[Place]
) -> bool:
    """Choose the readings of some clicks that together fit best, and tell whether they are others than before."""
    before = tuple(chosen[number] for number in numbers)
    unfilled.update(chain.from_iterable(before))
    together = chain([before], product(*(possible[number] for number in numbers)))
    best = min(together, key=lambda readings: _misfit(readings, unfilled))
    unfilled.subtract(chain.from_iterable(best))
    for number, reading in zip(numbers, best, strict=True):
        chosen[number] = reading
    return best is not before


def _misfit(readings: Iterable[Reading], unfilled: Counter[Place]) -> int:
    """By how much the counts fit worse with these readings than without."""
    return sum(
        abs(unfilled[place] - clicks) - abs(unfilled[place])
        for place, clicks in Counter(chain.from_iterable(readings)).items()
    )


def _sharing_places(possible: Mapping[int, Sequence[Reading]], begin: Iterable[Place]) -> Iterator[list[int]]:
    """Yield the clicks that can be moved to or from these places, with all that share places with them in turn."""
    places = {number: frozenset[Place]().union(*readings) for number, readings in possible.items()}
    at: defaultdict[Place, list[int]] = defaultdict(list)
    for number, its_places in places.items():
        for place in its_places:
            at[place].append(number)
    seen: set[Place] = set()
    for first in begin:
        numbers: set[int] = set()
        follow = {first} - seen
        while follow:
            place = follow.pop()
            seen.add(place)
            new = set(at[place]) - numbers
            numbers |= new
            follow |= {further for number in new for further in places[number]} - seen
        if numbers:
            yield sorted(numbers)
