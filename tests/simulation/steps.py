"""The steps of a simulated job, chosen by chance; an interleaving is a list of them, and can be played again."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from tests.builders import NOON
from tests.simulation.job import PARTITIONS, SOURCES, Job

TICK = 20_000  # milliseconds of event time: three to a window
FIELDS, CLICK_ID, INVALID = "known by its fields", "known by its id", "invalid"
KINDS = (FIELDS, CLICK_ID, INVALID)
MOST_LAG = 5  # in ticks: further back than the out-of-orderness
USERS = 4
MOST = 8
SUBTASKS = 3
BOUNDS = (0, 2, 10**9)  # of the identities that a subtask may hold in memory


class Step(NamedTuple):
    """A method of `Player`, and what it is told."""

    name: str
    arguments: tuple[Any, ...] = ()


class Player:
    """A job, the steps it has taken, and the time of the clicks."""

    def __init__(self) -> None:
        self.job = Job()
        self.steps: list[Step] = []
        self._now = NOON
        self._meet_every_bucket()

    def take(self, name: str, *arguments: Any) -> None:
        """Take one step: a method of this class, or of `Job`."""
        self.steps.append(Step(name, arguments))
        (self._append if name == "append" else getattr(self.job, name))(*arguments)

    def finish(self) -> None:
        """Come to the end of the input, and see that all is right."""
        self.job.finish()
        self.job.check_end()

    def _meet_every_bucket(self) -> None:
        """Have state for each in a checkpoint: one that first appears after a restore has no gate yet (ADR 7)."""
        for number in range(12):
            self.job.append(number % PARTITIONS, NOON, "first", _identity("first", number))
        self.job.settle()
        self.job.trigger()
        self.job.settle()
        assert all(keyed.timers for task in self.job.subtasks for keyed in task.keys.values())

    def _append(self, partition: int, lags: Sequence[int], user: int, kind: str, forward: int) -> None:
        self._now += forward * TICK
        for lag in lags:
            time = self._now - lag * TICK - user % 2  # on a window's edge, and a millisecond before it
            known_by = {FIELDS: _identity(user, time), CLICK_ID: _identity(user), INVALID: None}
            self.job.append(partition, time, f"ad-{lag % 2}", known_by[kind])


def play(steps: Iterable[Step]) -> None:
    """Play an interleaving to its end."""
    player = Player()
    for step in steps:
        player.take(step.name, *step.arguments)
    player.finish()


def varied(steps: Sequence[Step], chance: random.Random, length: int) -> tuple[Step, ...]:
    """Return an interleaving of that length which begins as this one does, and goes on otherwise."""
    cut = chance.randrange(1, len(steps) + 1)  # the first is how the job starts
    return (*steps[:cut], *(_any_step(chance) for _ in range(length - cut)))


def _any_step(chance: random.Random) -> Step:
    below = chance.randrange
    lags = tuple(below(MOST_LAG + 1) for _ in range(1 + below(4)))
    return chance.choice(
        (
            Step("append", (below(PARTITIONS), lags, below(USERS), chance.choice(KINDS), below(MOST_LAG + 1))),
            Step("read", (below(PARTITIONS), 1 + below(MOST))),
            Step("hand_on", (below(SOURCES),)),
            Step("deliver", (below(SUBTASKS), below(SOURCES), 1 + below(MOST))),
            Step("trigger"),
            Step("settle"),
            Step("restore", (1 + below(SUBTASKS), chance.choice(BOUNDS))),
        )
    )


@cache
def _identity(*of: object) -> bytes:
    return hashlib.blake2b(repr(of).encode(), digest_size=16).digest()
