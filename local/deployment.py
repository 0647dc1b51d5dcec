"""A streaming job beside others on one stack: topics, transactions and a name of its own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka.errors import KafkaError

from local.job_client import FINAL_STATES, root_cause
from local.processes import LocalError, await_until
from local.published import JobTopics
from local.stack import JOB, Stack
from local.submission import package_jobs

RESTART_TIMEOUT = 180.0
MOST_FAILURES = 10  # of a bounded job


@dataclass
class Deployment:
    """The job called `name`, with topics that begin with it; `settings`: further arguments of the job.

    An attempt after the first has results and transactions of its own, over the same clicks.
    """

    stack: Stack
    name: str
    partitions: int
    settings: list[str]
    job_id: str | None = None  # as last submitted
    attempt: int = 1

    @property
    def job_name(self) -> str:
        """The name of this attempt."""
        return self.name if self.attempt == 1 else f"{self.name}-{self.attempt}"

    @property
    def topics(self) -> JobTopics:
        """The topics of this job alone."""
        return JobTopics().prefixed(self.job_name)._replace(clicks=JobTopics().prefixed(self.name).clicks)

    @property
    def connection(self) -> dict[str, Any]:
        """How Kafka clients reach the topics."""
        return {"bootstrap_servers": self.stack.broker.bootstrap_servers}

    def submit(self, resume_from: str | None = None) -> str:
        """Submit the job; return its id. `resume_from`: URI of a savepoint or checkpoint."""
        own = ["--deployment", self.job_name, "--bootstrap-servers", self.stack.broker.bootstrap_servers]
        python_files = package_jobs(self.stack.home / f"{self.name}.zip")
        try:
            arguments = [*own, *self.topics.arguments(), *self.settings]
            self.job_id = self.stack.cluster.submit(JOB, arguments, python_files, resume_from)
        finally:
            python_files.unlink()
        return self.job_id

    def create_topics(self) -> None:
        """Create the topics that are missing."""
        self.stack.broker.create_topics(self.topics.partitions(self.partitions))

    def run_bounded(self, on_progress: Callable[[str, int], None]) -> None:
        """Submit the job and return when it is FINISHED; when its JobManager is lost, it is awaited and begun again.

        Somebody else must start the JobManager again (`local.keeper`). Raises LocalError when the job fails.

        It cannot be resumed from its checkpoint: a bounded Kafka source that a new JobManager restores never finishes
        (FLINK-31006). So the next attempt leaves the results of the lost one behind.
        """
        while True:
            jobmanager = self.stack.cluster.jobmanager.pid
            try:
                job_id = self.submit()
                return self.stack.cluster.await_job(job_id, partial(self._watch, job_id, on_progress))
            except LocalError:
                if not self._lost(jobmanager):
                    raise
                self._begin_again()

    def _begin_again(self) -> None:
        lost = self.topics
        self.attempt += 1
        self.stack.broker.delete_topics([topic for topic in lost if topic != lost.clicks])
        self.create_topics()

    def _watch(self, job_id: str, on_progress: Callable[[str, int], None], status: str, records: int) -> None:
        """Pass the progress on; a job that fails again and again would be restarted for ever."""
        on_progress(status, records)
        if status == "RESTARTING" and len(failures := self.stack.cluster.job_exceptions(job_id)) >= MOST_FAILURES:
            raise LocalError(f"The job failed {len(failures)} times, at last because of: {root_cause(failures[0])}.")

    def _lost(self, jobmanager: int | None) -> bool:
        """Whether that JobManager is gone; returns when the cluster can take jobs."""
        cluster = self.stack.cluster
        await_until(
            lambda: cluster.answers() and bool(cluster.taskmanager_ids()), "Restarting the JobManager", RESTART_TIMEOUT
        )
        return jobmanager is None or cluster.jobmanager.pid != jobmanager

    def end(self) -> None:
        """Cancel the job where it runs, and delete the topics; a stack that is down keeps its topics."""
        with suppress(LocalError, KafkaError):
            for job in self.stack.cluster.jobs():
                if job.name == self.job_name and job.status not in FINAL_STATES:
                    self.stack.cluster.cancel(job.job_id)
        with suppress(LocalError, KafkaError):
            self.stack.broker.delete_topics(self.topics)


@contextmanager
def deployment(stack: Stack, kind: str, partitions: int, settings: list[str]) -> Iterator[Deployment]:
    """A deployment with a new name that begins with `kind`, and its empty topics; both end with the context."""
    own = Deployment(stack, f"{kind}-{uuid.uuid4().hex[:12]}", partitions, settings)
    try:
        own.create_topics()
        yield own
    finally:
        own.end()
