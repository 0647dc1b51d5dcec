"""A job that lost its state, or is given an older one, counts again; a reconciliation makes that exact.

See docs/operations.md.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.reconciliation import Records, connection, reconcile_span
from audit.spans import Span
from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.generator import generate
from local.processes import await_until
from local.published import (
    RECONCILIATIONS,
    await_committed,
    published_windows,
)
from local.stack import JOB, PARTITIONS, TOPICS, Stack
from local.submission import package_jobs
from local.traffic import MINUTE, START, Traffic
from tests.e2e.counted import count_from_the_start, counted, counts_published, exact
from tests.patience import PATIENCE

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


def test_counts_are_exact_again_after_the_state_was_lost(stack: Stack, lines: list[bytes], tmp_path: Path) -> None:
    count_from_the_start(stack, "clickproof", tmp_path)
    published = counts_published(stack)
    count_from_the_start(stack, "clickproof-2", tmp_path)
    assert counts_published(stack) > published
    reconcile(stack, tmp_path)
    assert counted(stack, SPAN.start, SPAN.end) == exact(lines)


def test_counts_are_exact_again_after_an_older_state_was_restored(
    stack: Stack, lines: list[bytes], tmp_path: Path
) -> None:
    job_id = follow(stack, tmp_path)
    older = stack.cluster.take_savepoint(job_id, tmp_path / "older")
    end_window(stack, SPAN.end - MINUTE)
    stack.cluster.cancel(job_id)
    published = counts_published(stack)

    job_id = follow(stack, tmp_path, older)
    marker = tmp_path / "marker.jsonl"
    marker.write_text(json.dumps({"click_timestamp": SPAN.end, "ad_id": "a", "user_id": "u", "ip": "10.0.0.1"}))
    send_lines(marker, TOPICS.clicks, connection(stack))
    end_window(stack, SPAN.end)
    stack.cluster.cancel(job_id)
    assert counts_published(stack) > published + 1  # the marker's
    reconcile(stack, tmp_path)
    assert counted(stack, SPAN.start, SPAN.end) == exact(lines)


def follow(stack: Stack, folder: Path, resume_from: str | None = None) -> str:
    """An unbounded job."""
    settings = ["--bootstrap-servers", stack.broker.bootstrap_servers, "--checkpoint-interval", "2 s"]
    job_id = stack.cluster.submit(JOB, settings, package_jobs(folder / "jobs.zip"), resume_from)
    stack.cluster.await_running(job_id)
    return job_id


def end_window(stack: Stack, start: int) -> None:
    """Let its time pass in every partition, and return when it is published: so is all before it."""
    KafkaTopic(TOPICS.clicks, connection(stack)).send(range(PARTITIONS), start + 2 * MINUTE)
    await_until(
        lambda: start in published_windows(connection(stack), TOPICS.top), f"Publishing window {start}", PATIENCE
    )


def reconcile(stack: Stack, folder: Path) -> None:
    """Correct the counts of the span, where they need it: which clicks were late differs from run to run.

    An ad whose clicks of a window were all late the second time keeps its count of the first time, and has late clicks
    that it does not lack: the verdict of that is unexplained.
    """
    await_committed(connection(stack), TOPICS)
    records = Records("kafka", folder.as_uri(), NOW)
    report = reconcile_span(SPAN, records, stack, lambda doing, done: None, publish=True).report
    assert (report.gaps, report.overcount, report.late_missing) == ([], 0, {}), report
