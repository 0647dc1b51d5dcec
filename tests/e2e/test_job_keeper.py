"""A job that its cluster forgot is submitted again, from its latest checkpoint."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.job_client import FINAL_STATES
from local.processes import Daemon, await_until
from local.stack import TOPICS, Stack
from local.submission import PROJECT
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]


@pytest.fixture
def keeper(stack: Stack, tmp_path: Path) -> Iterator[Daemon]:
    """A keeper of the streaming job on the shared cluster, as docker-compose.yml starts it."""
    daemon = Daemon("job keeper", tmp_path / "keeper.pid", tmp_path / "keeper.log")
    servers = {"CLICKPROOF_BOOTSTRAP_SERVERS": stack.broker.bootstrap_servers}
    place = ["--rest-url", stack.cluster.rest_url, "--home", str(stack.cluster.home), "--parallelism", "1"]
    daemon.start([sys.executable, "-m", "local.job_keeper", "stream", *place], {**os.environ, **servers}, PROJECT)
    yield daemon
    daemon.stop()
    for job in stack.cluster.jobs():
        if job.status not in FINAL_STATES:
            stack.cluster.cancel(job.job_id)
    stack.broker.delete_topics(TOPICS.names)


def state(stack: Stack) -> dict[str, Any]:
    file = stack.cluster.home / "state" / "stream-job.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def test_a_job_that_is_gone_comes_back_from_its_checkpoint(stack: Stack, keeper: Daemon) -> None:
    await_until(lambda: "job_id" in state(stack), "Submitting the job", PATIENCE, keeper)
    first = state(stack)["job_id"]
    await_until(lambda: bool(stack.cluster.latest_checkpoint(first)), "Taking a checkpoint", PATIENCE, keeper)
    stack.cluster.cancel(first)
    await_until(lambda: state(stack)["job_id"] != first, "Submitting it again", PATIENCE, keeper)
    assert state(stack)["resumed_from"] == stack.cluster.latest_checkpoint(first)
    stack.cluster.await_running(state(stack)["job_id"])
