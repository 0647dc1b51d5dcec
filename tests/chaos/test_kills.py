"""Rows 1, 2, 3 and 7 of docs/reliability.md: what is killed or stopped, and when."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.deployment import Deployment, deployment
from local.published import read_published
from local.stack import PARTITIONS, Stack
from tests.chaos.attack import MOMENTS, TARGETS, Attack, kill, stall

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]
BEYOND_THE_HEARTBEAT_TIMEOUT = 60.0
SOAK_SECONDS, RATE = 300, 5_000


@pytest.mark.parametrize(("target", "moment"), [*itertools.product(TARGETS, MOMENTS)])
def test_a_kill_loses_and_repeats_no_click(
    job: Deployment, starts: Iterator[int], tmp_path: Path, target: str, moment: str, seed: int
) -> None:
    Attack(job, f"{target} killed {moment}", seed, next(starts)).run(tmp_path, [kill(target, moment)])


@pytest.mark.parametrize(("target", "seconds"), [("taskmanager", BEYOND_THE_HEARTBEAT_TIMEOUT), ("broker", 45.0)])
def test_what_stands_still_and_goes_on_writes_nothing_twice(
    job: Deployment, starts: Iterator[int], tmp_path: Path, target: str, seconds: float, seed: int
) -> None:
    attack = Attack(job, f"{target} stopped for {seconds:g} s", seed, next(starts), clicks=80_000)
    attack.run(tmp_path, [stall(target, seconds)])


def test_a_batch_slower_than_the_idle_timeout_makes_no_click_late(
    stack: Stack, starts: Iterator[int], tmp_path: Path, seed: int
) -> None:
    with deployment(stack, "slow", PARTITIONS, ["--checkpoint-interval", "2 s", "--idle-timeout", "6 s"]) as job:
        stack.cluster.await_running(job.submit())
        in_time = {"late": 0, "duplicates": 0}
        attack = Attack(job, "worker stopped beyond the idle timeout", seed, next(starts), 60_000, shares=in_time)
        attack.run(tmp_path, 3 * [stall("worker", 15.0)])
        assert read_published(job.connection, job.topics).late == []


def test_faults_at_random_for_minutes_change_nothing(
    job: Deployment, starts: Iterator[int], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    gaps = [chance.uniform(10, 30) for _ in range(SOAK_SECONDS // 20)]
    faults = [_after(gap, kill(chance.choice(TARGETS), MOMENTS[0])) for gap in gaps]
    Attack(job, "soak", seed, next(starts), clicks=SOAK_SECONDS * RATE, rate=RATE).run(tmp_path, faults)


def _after(seconds: float, fault: Callable[[Attack], None]) -> Callable[[Attack], None]:
    def later(attack: Attack) -> None:
        threading.Event().wait(seconds)
        fault(attack)

    return later
