"""The archive survives a killed TaskManager record for record; corrections from it are in force, once and for all."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from kafka import KafkaProducer

from audit.archive_files import archive_files
from audit.reconciliation import Reconciliation, Records, backfill, connection, reconcile_span
from audit.spans import Span
from ingest.producer import send_lines
from local.archiving import OFFSETS
from local.external import cluster_beside
from local.generator import generate
from local.processes import await_until
from local.published import RECONCILIATIONS, counts_in_force
from local.stack import PARTITIONS, TOPICS, Stack
from local.topics import read_topic
from local.traffic import MINUTE, START, Traffic
from tests.archives import archived
from tests.e2e import counted
from tests.e2e.counted import Counts
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

CLICKS = 40_000
SPAN = Span(START, START + 4 * MINUTE)
NOW = 2**53  # all that Kafka has must be in the archive


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    file = tmp_path_factory.mktemp("clicks") / "clicks.jsonl"
    generate(Traffic(CLICKS, seed=11, invalid=0, future=0, minutes=4, ads=40), file)
    return file.read_bytes().split(b"\n")[:-1]


@pytest.fixture(scope="module")
def exact(lines: list[bytes]) -> Counts:
    return counted.exact(lines)


@pytest.fixture(scope="module")
def archive(stack: Stack, lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An archive, written by its job while the TaskManager is killed in the middle."""
    home = tmp_path_factory.mktemp("archive")
    file, directory = home / "clicks.jsonl", home / "archive"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    stack.broker.create_topics(TOPICS.partitions(PARTITIONS))
    servers = ["--bootstrap-servers", stack.broker.bootstrap_servers]
    rolling = ["--archive", directory.as_uri(), "--archive-roll-interval", "2 s"]
    replace(stack.archive, arguments=lambda: [*servers, *rolling, "--parallelism", "2"]).start()
    sending = threading.Thread(target=send_lines, args=(file, TOPICS.clicks, connection(stack), 4_000))
    sending.start()
    await_until(lambda: archived(directory).height > 0, "Archiving the first records", PATIENCE)
    os.kill(stack.cluster.taskmanager.pid or 0, signal.SIGKILL)
    sending.join()
    stack.cluster.start_taskmanager()
    await_until(lambda: archived(directory).height >= CLICKS, "Archiving all records", PATIENCE)
    stack.cluster.cancel(str(stack.archive.job_id))
    yield directory
    stack.broker.delete_topics([*TOPICS.names, RECONCILIATIONS])


def test_the_archive_has_every_record_once_as_it_came(archive: Path, lines: list[bytes]) -> None:
    records = archived(archive)
    assert not (archive / OFFSETS).exists()
    found = {(row[0], row[1]): row[2] for row in records.select("offset", "partition", "value").iter_rows()}
    assert len(records) == len(found) == CLICKS
    assert [found[origin] for origin in sorted(found)] == lines
    assert set(records["topic"]) == {TOPICS.clicks}


def test_corrections_are_published_once_and_stay_in_force(stack: Stack, archive: Path, exact: Counts) -> None:
    wrong = Counter(exact)
    altered, lost, *_ = sorted(exact)
    wrong[altered] += 5
    del wrong[lost]
    publish_as_the_stream_does(stack, wrong)

    found = reconciled(stack, Records("archive", archive.as_uri(), NOW))
    assert (found.report.verdict, found.report.corrections) == ("unexplained", 2)
    assert counts_in_force(connection(stack), TOPICS.counts) == exact

    publish_as_the_stream_does(stack, wrong)  # a replay of the stream cannot undo a correction
    assert counts_in_force(connection(stack), TOPICS.counts) == exact
    before = published(stack)
    again = reconciled(stack, Records("kafka", archive.as_uri(), NOW))
    assert (again.report.verdict, again.report.corrections, again.report.exact) == ("explained", 0, exact.total())
    assert published(stack) == before


def test_a_backfill_from_the_archive_alone_is_exact(stack: Stack, archive: Path, exact: Counts) -> None:
    found = backfill(SPAN, Records("archive", archive.as_uri(), NOW), stack, lambda doing, done: None)
    assert {
        (start, ad): clicks for start, ad, clicks in found.places.select("window_start", "ad_id", "exact").rows()
    } == exact


@pytest.mark.deploy
def test_a_cluster_beside_a_broker_that_others_run_finds_the_same(stack: Stack, archive: Path, exact: Counts) -> None:
    publish_as_the_stream_does(stack, exact)
    with cluster_beside(stack.broker.bootstrap_servers, {}, 2) as beside:
        found = reconciled(beside, Records("archive", archive.as_uri(), NOW))
    assert (found.report.verdict, found.report.corrections, found.report.exact) == ("explained", 0, exact.total())
    assert not beside.home.exists()
    assert stack.broker.alive()


def test_a_file_that_is_missing_is_reported_and_nothing_is_published(stack: Stack, archive: Path) -> None:
    lost, *_ = archive_files(archive)
    rows = pl.read_parquet(lost)
    lost.unlink()
    before = published(stack)
    found = reconciled(stack, Records("archive", archive.as_uri(), NOW))
    assert found.report.verdict == "incomplete"
    missing = sum(gap.last_offset - gap.first_offset + 1 for gap in found.report.gaps)
    assert missing == len(rows)
    assert published(stack) == before


def reconciled(stack: Stack, records: Records) -> Reconciliation:
    return reconcile_span(SPAN, records, stack, lambda doing, done: None, publish=True)


def published(stack: Stack) -> list[int]:
    """How many records are in the topics that a reconciliation writes."""
    return [sum(1 for _ in read_topic(connection(stack), topic)) for topic in (TOPICS.counts, RECONCILIATIONS)]


def publish_as_the_stream_does(stack: Stack, counts: Counts) -> None:
    producer = KafkaProducer(**connection(stack))
    for (start, ad_id), clicks in counts.items():
        key = {"ad_id": ad_id, "window_start": start}
        value = {**key, "window_end": start + MINUTE, "clicks": clicks, "version": 0, "source": "stream"}
        producer.send(TOPICS.counts, key=json.dumps(key).encode(), value=json.dumps(value).encode())
    producer.close()
