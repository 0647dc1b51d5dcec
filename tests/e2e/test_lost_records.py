"""The archive, or the topic of the clicks, is lost: what docs/operations.md says to do then."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer

from audit.reconciliation import Reconciliation, Records, connection, reconcile_span
from audit.spans import Span
from local.generator import generate
from local.processes import await_until
from local.published import RECONCILIATIONS
from local.stack import ARCHIVE_JOB, PARTITIONS, TOPICS, Stack
from local.submission import package_jobs
from local.topics import read_topic
from local.traffic import MINUTE, START, Traffic
from tests.archives import archived
from tests.e2e.counted import count_from_the_start, counted, counts_published, exact
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]

DAY = 24 * 60 * MINUTE
MINUTES = 4
TODAY, TOMORROW = (Span(start, start + MINUTES * MINUTE) for start in (START, START + DAY))
NOW = 2**53  # all that Kafka has must be in the archive


@pytest.fixture
def today(stack: Stack, tmp_path: Path) -> Iterator[list[bytes]]:
    """Clicks in the topic, some of them late; they are counted."""
    stack.broker.create_topics(TOPICS.partitions(PARTITIONS))
    lines = clicks_of(TODAY, tmp_path / "today.jsonl")
    send(stack, lines, TODAY.end)
    count_from_the_start(stack, "clickproof", tmp_path)
    yield lines
    stack.broker.delete_topics([*TOPICS.names, RECONCILIATIONS])


def test_an_archive_that_was_lost_is_made_again_from_the_topic(
    stack: Stack, today: list[bytes], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    with archiving(stack, archive, len(today)):
        shutil.rmtree(archive)
    found = reconcile(stack, TODAY, archive)
    assert (found.report.verdict, len(found.report.gaps)) == ("incomplete", PARTITIONS)
    with archiving(stack, archive, len(today)):
        found = reconcile(stack, TODAY, archive)
    assert found.report.verdict == "explained"
    assert counted(stack, TODAY.start, TODAY.end) == exact(today)


def test_after_the_topic_was_lost_counts_of_before_stay_and_all_clicks_of_after_are_counted(
    stack: Stack, today: list[bytes], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    with archiving(stack, archive, len(today)):
        before, late = counted(stack, TODAY.start, TODAY.end), late_values(stack)
    stack.broker.delete_topics([TOPICS.clicks])
    stack.broker.create_topics({TOPICS.clicks: PARTITIONS})

    of_before, tomorrow = today[:200], clicks_of(TOMORROW, tmp_path / "tomorrow.jsonl")
    send(stack, of_before, TODAY.end + MINUTE)
    send(stack, tomorrow, TOMORROW.end)
    closed_until = datetime.fromtimestamp(TODAY.end / 1000, UTC).isoformat()
    count_from_the_start(stack, "clickproof", tmp_path, "--closed-until", closed_until)
    assert counted(stack, TODAY.start, TODAY.end) == before
    assert late_values(stack) - late >= Counter(of_before)

    with archiving(stack, archive, len(today) + len(of_before) + len(tomorrow)):
        published = counts_published(stack)
        found = reconcile(stack, TODAY, archive)
        assert (found.report.verdict, {gap.twofold for gap in found.report.gaps}) == ("incomplete", {True})
        assert counts_published(stack) == published
        assert reconcile(stack, TOMORROW, archive).report.verdict == "explained"
    assert counted(stack, TODAY.start, TODAY.end) == before
    assert counted(stack, TOMORROW.start, TOMORROW.end) == exact(tomorrow)


def clicks_of(span: Span, file: Path) -> list[bytes]:
    seed = span.start // DAY
    generate(Traffic(10_000, seed, late=0.02, invalid=0, future=0, minutes=MINUTES, ads=40, start=span.start), file)
    return file.read_bytes().split(b"\n")[:-1]


def send(stack: Stack, lines: list[bytes], timestamp: int) -> None:
    """Send the lines, dealt out to the partitions, as records of that time."""
    producer = KafkaProducer(**connection(stack))
    for number, line in enumerate(lines):
        producer.send(TOPICS.clicks, line, partition=number % PARTITIONS, timestamp_ms=timestamp)
    producer.close()


@contextmanager
def archiving(stack: Stack, directory: Path, rows: int) -> Iterator[None]:
    """A job without state that archives the topic, and is cancelled; entered when so many rows can be read."""
    place = ["--bootstrap-servers", stack.broker.bootstrap_servers, "--archive", directory.as_uri()]
    job_id = stack.cluster.submit(
        ARCHIVE_JOB, [*place, "--archive-roll-interval", "2 s"], package_jobs(directory.parent / "jobs.zip")
    )
    try:
        await_until(lambda: archived(directory).height >= rows, "Archiving all records", PATIENCE)
        yield
    finally:
        stack.cluster.cancel(job_id)


def late_values(stack: Stack) -> Counter[bytes | None]:
    return Counter(record.value for record in read_topic(connection(stack), TOPICS.late))


def reconcile(stack: Stack, span: Span, archive: Path) -> Reconciliation:
    """Correct the counts of a span."""
    records = Records("archive", archive.as_uri(), NOW)
    return reconcile_span(span, records, stack, lambda doing, done: None, publish=True)
