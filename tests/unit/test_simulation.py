"""The dedupe in a simulated job: any interleaving of partitions, watermarks, batches, checkpoints, crashes and expiry.

An interleaving is a job's start, up to `STEPS` steps and the end of its input. Hypothesis leads the first
`LED`, and shrinks the one that fails; the others begin as one of those and go on by chance. Counted are different ones.
The seed is printed; `TESTS_SEED=…` gives the same interleavings again.
"""

import random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.seeds import chosen_seed
from tests.simulation import steps
from tests.simulation.job import PARTITIONS, SOURCES
from tests.simulation.steps import Player, Step, play, varied
from udfs import slices
from udfs.clicks import IDENTITY_BYTES

LED, INTERLEAVINGS, STEPS = 300, 10_000, 16
PARTITION, SOURCE, MOST = st.integers(0, PARTITIONS - 1), st.integers(0, SOURCES - 1), st.integers(1, steps.MOST)
BOUND = st.sampled_from(steps.BOUNDS)
LAGS = st.lists(st.integers(0, steps.MOST_LAG), min_size=1, max_size=4)


class Simulation(RuleBasedStateMachine):
    played: ClassVar[set[tuple[Step, ...]]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.player = Player()

    @initialize(most_in_memory=BOUND)
    def start(self, most_in_memory: int) -> None:
        self.player.take("restore", 2, most_in_memory)

    @rule(
        partition=PARTITION,
        lags=LAGS,
        user=st.integers(0, steps.USERS - 1),
        kind=st.sampled_from(steps.KINDS),
        forward=st.integers(0, steps.MOST_LAG),
    )
    def append(self, partition: int, lags: list[int], user: int, kind: str, forward: int) -> None:
        self.player.take("append", partition, tuple(lags), user, kind, forward)

    @rule(partition=PARTITION, most=MOST)
    def read(self, partition: int, most: int) -> None:
        self.player.take("read", partition, most)

    @rule(source=SOURCE)
    def hand_on(self, source: int) -> None:
        self.player.take("hand_on", source)

    @rule(subtask=st.integers(0, steps.SUBTASKS - 1), channel=SOURCE, most=MOST)
    def deliver(self, subtask: int, channel: int, most: int) -> None:
        self.player.take("deliver", subtask, channel, most)

    @rule()
    def checkpoint(self) -> None:
        self.player.take("trigger")

    @rule()
    def settle(self) -> None:
        self.player.take("settle")

    @rule(subtasks=st.integers(1, steps.SUBTASKS), most_in_memory=BOUND)
    def crash(self, subtasks: int, most_in_memory: int) -> None:
        self.player.take("restore", subtasks, most_in_memory)

    def teardown(self) -> None:
        self.player.finish()
        self.played.add(tuple(self.player.steps))


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are full with two identities, and merged as soon as two are not."""
    monkeypatch.setattr(slices, "FULL", 2 * IDENTITY_BYTES)
    monkeypatch.setattr(slices, "MOST_SMALL", 1)


@pytest.mark.long
@pytest.mark.usefixtures("small_slices")
def test_no_interleaving_loses_repeats_or_misjudges_a_click() -> None:
    number = chosen_seed()
    run_state_machine_as_test(
        seed(number)(Simulation),
        settings=settings(
            max_examples=LED,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    played, chance = set(Simulation.played), random.Random(number)
    led = sorted(played)
    while len(played) < INTERLEAVINGS:
        another = varied(chance.choice(led), chance, 1 + STEPS)
        try:
            play(another)
        except Exception:
            print("\n".join(map(str, another)))
            raise
        played.add(another)
