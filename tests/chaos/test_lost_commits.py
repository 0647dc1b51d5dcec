"""Row 4 of docs/reliability.md: what Kafka dropped before it was committed is never lost in silence."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ingest.producer import send_lines
from local.deployment import deployment
from local.generator import generate
from local.lost_commits import lost_commits
from local.processes import await_until
from local.published import await_committed, decided_clicks, recount_topics
from local.stack import PARTITIONS, Stack
from local.traffic import MINUTE, Traffic
from tests.chaos.attack import MOMENTS, Attack, await_moment, victim
from tests.patience import PATIENCE

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]
TIMEOUT = 10.0
UNTIL_ABORTED = TIMEOUT + 15  # the broker looks for expired transactions every 10 s
SETTINGS = ["--checkpoint-interval", "3 s", "--transaction-timeout", f"{TIMEOUT:.0f} s", "--idle-timeout", "10 min"]
TRIES = 6


def test_a_commit_that_came_too_late_is_found_in_the_log(stack: Stack, tmp_path: Path, seed: int) -> None:
    print(f"TESTS_SEED={seed}")
    start = time.time_ns() // 1_000_000 // MINUTE * MINUTE - 30 * MINUTE
    generate(Traffic(300_000, seed, minutes=10, start=start), tmp_path / "clicks.jsonl")
    log = stack.cluster.taskmanager.log_file
    with deployment(stack, "expiring", PARTITIONS, SETTINGS) as job:
        stack.cluster.await_running(job.submit())
        attack = Attack(job, "commit too late", seed, start)
        sending = threading.Thread(
            target=send_lines, args=(tmp_path / "clicks.jsonl", job.topics.clicks, job.connection, 2_000)
        )
        sending.start()
        for _ in range(TRIES):
            await_moment(attack, MOMENTS[2])
            os.kill(victim(stack, "taskmanager"), signal.SIGKILL)
            threading.Event().wait(UNTIL_ABORTED)
            stack.cluster.start_taskmanager()
            stack.cluster.await_running(str(job.job_id))
            if list(lost_commits(log)):
                break
        sending.join()
        await_until(lambda: decided_clicks(job.connection, job.topics.ledger) > 0, "Deciding clicks", PATIENCE)
        await_committed(job.connection, job.topics)
        _, problems = recount_topics(job.connection, job.topics)
    print(f"{len(list(lost_commits(log)))} commits lost; the recount says {problems[:3]}")
    assert list(lost_commits(log)) != []
