"""The part of the attacks that is small enough for every run of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.deployment import Deployment
from tests.chaos.attack import MOMENTS, Attack, kill

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_each_part_killed_in_turn_loses_and_repeats_no_click(
    job: Deployment, starts: Iterator[int], tmp_path: Path, seed: int
) -> None:
    faults = [
        kill("worker", MOMENTS[0]),
        kill("broker", MOMENTS[1]),
        kill("taskmanager", MOMENTS[2]),
        kill("jobmanager", MOMENTS[0]),
    ]
    Attack(job, "each part killed in turn", seed, next(starts), clicks=40_000).run(tmp_path, faults)
