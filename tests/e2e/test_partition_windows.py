"""The job of the partition windows on a real broker and cluster: killed and rescaled, it does what the library does."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from kafka import KafkaProducer

from local.processes import LocalError, await_until
from local.stack import Stack
from local.submission import PROJECT, package_jobs
from local.topics import read_topic
from tests.partition_windows_plane import Result, of_library, records, some_operations
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.long]

LANES, STEP, WINDOW = 3, 100, 1_000
TOPICS = {
    "windows-test-events": LANES,
    "windows-test-watermarks": 1,
    "windows-test-windows": 1,
    "windows-test-refused": 1,
}
EVENTS, WATERMARKS, WINDOWS, REFUSED = TOPICS


@dataclass
class Job:
    stack: Stack
    job_id: str = ""

    def submit(self, parallelism: int, resume_from: str | None = None) -> None:
        topics = zip(("events", "watermarks", "windows", "refused"), TOPICS, strict=True)
        settings = {
            "bootstrap-servers": self.stack.broker.bootstrap_servers,
            "parallelism": str(parallelism),
            "window": f"{WINDOW} ms",
            "checkpoint-interval": "1 s",
            "unknown-timeout": "10 s",
            **{f"{field}-topic": topic for field, topic in topics},
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        program, files = PROJECT / "jobs" / "partition_windows.py", package_jobs(self.stack.home / "windows.zip")
        self.job_id = self.stack.cluster.submit(program, arguments, files, resume_from)
        self.stack.cluster.await_running(self.job_id)

    def result(self) -> Result:
        """What is committed: read as its users read it."""
        result, connection = Result(WINDOW), {"bootstrap_servers": self.stack.broker.bootstrap_servers}
        for record in read_topic(connection, WINDOWS):
            result.add_window(record.value or b"")
        for record in read_topic(connection, REFUSED):
            result.add_refused(record.value or b"", record.headers["clickproof.reason"].decode())
        return result

    def await_windows(self, count: int) -> None:
        self._await(lambda result: count_windows(result) >= count, f"Publishing {count} windows")

    def await_refused(self, count: int) -> None:
        self._await(lambda result: len(result.refused_events) >= count, f"Refusing {count} events")

    def _await(self, holds: Callable[[Result], bool], what: str) -> None:
        try:
            await_until(lambda: holds(self.result()), what, PATIENCE)
        except LocalError as late:
            result = self.result()
            reasons = Counter(reason for _, reason in result.refused.elements())
            late.add_note(f"Published: {count_windows(result)} windows; refused: {dict(reasons)}")
            raise


def count_windows(result: Result) -> int:
    return sum(map(len, result.windows.values()))


@pytest.fixture
def job(stack: Stack) -> Iterator[Job]:
    stack.broker.create_topics(TOPICS)
    job = Job(stack)
    try:
        job.submit(parallelism=2)
        yield job
    finally:
        if job.job_id:
            stack.cluster.cancel(job.job_id)
        stack.broker.delete_topics(TOPICS)


def test_a_thousand_partitions_survive_kill_and_rescale_as_if_one_library_had_had_them(job: Job, tmp_path) -> None:
    operations = some_operations(seed=5, partitions=1_000, count=16_000, step=STEP)
    sent = list(records(operations, LANES))
    third = len(sent) // 3
    producer = KafkaProducer(bootstrap_servers=job.stack.broker.bootstrap_servers, acks="all", enable_idempotence=True)

    def send(part: list[tuple[bool, int, bytes, bytes]]) -> None:
        for is_event, lane, key, value in part:
            producer.send(EVENTS if is_event else WATERMARKS, value, key, partition=lane if is_event else 0)
        producer.flush()

    def expected(events_and_statements: int) -> Result:
        return of_library(operations[:events_and_statements], WINDOW)

    send(sent[:third])
    job.await_windows(1)
    os.kill(job.stack.cluster.taskmanager.pid or 0, signal.SIGKILL)
    send(sent[third : 2 * third])
    job.stack.cluster.start_taskmanager()
    job.await_windows(count_windows(expected(2 * third)))
    savepoint = job.stack.cluster.stop_with_savepoint(job.job_id, tmp_path)
    send(sent[2 * third :])
    producer.close()
    job.submit(3, savepoint)
    all_of_them = expected(len(sent))
    job.await_windows(count_windows(all_of_them))
    job.await_refused(len(all_of_them.refused_events))
    assert job.result() == all_of_them
