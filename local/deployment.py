"""A streaming job beside others on one stack: topics, transactions and a name of its own."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kafka.errors import KafkaError

from local.bounded import Progress, run_to_end
from local.job_client import FINAL_STATES
from local.processes import LocalError
from local.published import JobTopics
from local.stack import JOB, Stack
from local.submission import package_jobs


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
        return self._topics.prefixed(self.job_name)._replace(clicks=self._topics.prefixed(self.name).clicks)

    @cached_property
    def _topics(self) -> JobTopics:
        return self.stack.topics_of(self.settings)

    @property
    def connection(self) -> dict[str, Any]:
        """How Kafka clients reach the topics."""
        return self.stack.broker.connection

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

    def run_bounded(self, on_progress: Progress) -> None:
        """Submit the job and return when it is FINISHED, however often it has to be begun again.

        Where it cannot be resumed from its checkpoint (`run_to_end`), the next attempt leaves the results of the lost
        one behind.
        """
        run_to_end(self.stack.cluster, self.submit, self._begin_again, on_progress)

    def _begin_again(self) -> None:
        lost = self.topics
        self.attempt += 1
        self.stack.broker.delete_topics([topic for topic in lost.names if topic != lost.clicks])
        self.create_topics()

    def end(self) -> None:
        """Cancel the job where it runs, and delete the topics; a stack that is down keeps its topics."""
        with suppress(LocalError, KafkaError):
            for job in self.stack.cluster.jobs():
                if job.name == self.job_name and job.status not in FINAL_STATES:
                    self.stack.cluster.cancel(job.job_id)
        with suppress(LocalError, KafkaError):
            self.stack.broker.delete_topics(self.topics.names)


@contextmanager
def deployment(stack: Stack, kind: str, partitions: int, settings: list[str]) -> Iterator[Deployment]:
    """A deployment with a new name that begins with `kind`, and its empty topics; both end with the context."""
    own = Deployment(stack, f"{kind}-{uuid.uuid4().hex[:12]}", partitions, settings)
    try:
        own.create_topics()
        yield own
    finally:
        own.end()
