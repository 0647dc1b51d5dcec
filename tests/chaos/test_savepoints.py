"""Row 5 of docs/reliability.md: stopped with a savepoint, and started again from it with another parallelism."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.deployment import Deployment
from tests.chaos.attack import SETTINGS, Attack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]


def rescale(parallelism: int) -> Callable[[Attack], None]:
    """Return the fault that stops the job with a savepoint and starts it from there with that parallelism."""

    def fault(attack: Attack) -> None:
        job, cluster = attack.job, attack.stack.cluster
        savepoint = cluster.stop_with_savepoint(str(job.job_id), attack.stack.home / "rescaling")
        job.settings = [*SETTINGS, "--parallelism", str(parallelism)]
        cluster.await_running(job.submit(savepoint))

    return fault


def test_a_job_rescaled_while_clicks_flow_loses_and_repeats_no_click(
    job: Deployment, starts: Iterator[int], tmp_path: Path, seed: int
) -> None:
    attack = Attack(job, "rescaled to 1, 4 and 2", seed, next(starts), clicks=60_000)
    attack.run(tmp_path, [rescale(1), rescale(4), rescale(2)])
