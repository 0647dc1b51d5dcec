"""Counts and their recount, and the bounded job that makes them: what several end-to-end tests need."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from audit.reconciliation import connection
from local.published import await_committed, counts_in_force
from local.stack import JOB, TOPICS, Stack
from local.submission import package_jobs
from local.topics import read_topic
from local.traffic import MINUTE
from tests.patience import PATIENCE

Counts = Counter[tuple[int, str]]


def exact(lines: Iterable[bytes]) -> Counts:
    """Each identity once, in the place of its first line."""
    places: dict[object, tuple[int, str]] = {}
    for click in map(json.loads, lines):
        time = click["click_timestamp"]
        identity = click.get("click_id") or (time, click["user_id"], click["ad_id"], click["ip"])
        places.setdefault(identity, (time // MINUTE * MINUTE, click["ad_id"]))
    return Counter(places.values())


def count_from_the_start(stack: Stack, deployment: str, folder: Path, *settings: str) -> None:
    """A job without state, which reads the topic from its first record to its last."""
    place = ["--deployment", deployment, "--bootstrap-servers", stack.broker.bootstrap_servers]
    every = ["--bounded", "--idle-timeout", "24 h", *place, *settings]
    stack.cluster.await_job(stack.cluster.submit(JOB, every, package_jobs(folder / "jobs.zip")), timeout=PATIENCE)


def counts_published(stack: Stack) -> int:
    """How many counts are in the topic, repeated ones too."""
    await_committed(connection(stack), TOPICS)
    return sum(1 for _ in read_topic(connection(stack), TOPICS.counts))


def counted(stack: Stack, start: int, end: int) -> dict[tuple[int, str], int]:
    """The counts in force of the windows that start in [start, end)."""
    in_force = counts_in_force(connection(stack), TOPICS.counts)
    return {place: clicks for place, clicks in in_force.items() if start <= place[0] < end}
