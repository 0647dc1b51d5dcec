"""A streaming job that lost its state counts again, and a reconciliation makes that exact (docs/operations.md)."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.reconciliation import Records, connection, reconcile_span
from audit.spans import Span
from ingest.producer import send_lines
from local.generator import generate
from local.published import RECONCILIATIONS, await_committed, counts_in_force
from local.stack import JOB, PARTITIONS, TOPICS, Stack
from local.submission import package_jobs
from local.traffic import MINUTE, START, Traffic

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]

SPAN = Span(START, START + 4 * MINUTE)
NOW = 2**53


@pytest.fixture
def lines(stack: Stack, tmp_path: Path) -> Iterator[list[bytes]]:
    """Clicks in the topic, some of them late and some twice."""
    file = tmp_path / "clicks.jsonl"
    generate(Traffic(20_000, seed=5, late=0.02, invalid=0, future=0, minutes=4, ads=40), file)
    stack.broker.create_topics(TOPICS.partitions(PARTITIONS))
    send_lines(file, TOPICS.clicks, connection(stack))
    yield file.read_bytes().split(b"\n")[:-1]
    stack.broker.delete_topics([*TOPICS.names, RECONCILIATIONS])


def exact(lines: list[bytes]) -> Counter[tuple[int, str]]:
    """Each identity once, in the place of its first line."""
    places: dict[object, tuple[int, str]] = {}
    for click in map(json.loads, lines):
        time = click["click_timestamp"]
        identity = click.get("click_id") or (time, click["user_id"], click["ad_id"], click["ip"])
        places.setdefault(identity, (time // MINUTE * MINUTE, click["ad_id"]))
    return Counter(places.values())


def count_from_the_start(stack: Stack, deployment: str, folder: Path) -> None:
    """A job without state, which reads the topic from its first record to its last."""
    place = ["--deployment", deployment, "--bootstrap-servers", stack.broker.bootstrap_servers]
    settings = ["--bounded", "--idle-timeout", "24 h", *place]
    stack.cluster.await_job(stack.cluster.submit(JOB, settings, package_jobs(folder / "jobs.zip")), timeout=120)


def test_counts_are_exact_again_after_the_state_was_lost(stack: Stack, lines: list[bytes], tmp_path: Path) -> None:
    for deployment in ("clickproof", "clickproof-2"):
        count_from_the_start(stack, deployment, tmp_path)
    await_committed(connection(stack), TOPICS)
    records = Records("kafka", tmp_path.as_uri(), NOW)
    found = reconcile_span(SPAN, records, stack, lambda doing, done: None, publish=True)
    assert found.report.verdict == "explained"
    assert found.report.corrections > 0
    assert counts_in_force(connection(stack), TOPICS.counts) == exact(lines)
