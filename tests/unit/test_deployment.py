from collections.abc import Callable, Collection
from types import SimpleNamespace

import pytest

from local.deployment import Deployment
from local.processes import LocalError
from local.published import JobTopics


class FakeStack:
    """A cluster that fails at the attempts named, and a broker that remembers its topics.

    `lost`: with its JobManager; `stuck`: with the whole job; `dies`: with a task, at each attempt.
    """

    def __init__(self, lost: Collection[int] = (), stuck: Collection[int] = (), dies: bool = False) -> None:
        self.topics: set[str] = set()
        self.attempts: list[str] = []
        self.cancelled: list[str] = []
        self._lost, self._stuck, self._dies = lost, stuck, dies
        self.broker = SimpleNamespace(
            create_topics=self.topics.update, delete_topics=self.topics.difference_update, bootstrap_servers="x"
        )
        self.topics_of = lambda settings: JobTopics()
        self.cluster = SimpleNamespace(
            jobmanager=SimpleNamespace(pid=1),
            answers=lambda: True,
            taskmanager_ids=lambda: {"tm"},
            await_job=self._await,
            job_exceptions=lambda job_id: ["A task failed"],
            failed_as_a_whole=lambda job_id: len(self.attempts) in self._stuck,
            cancel=self.cancelled.append,
        )

    def submit(self, job: Deployment) -> str:
        self.attempts.append(job.job_name)
        return f"id-{len(self.attempts)}"

    def _await(self, job_id: str, on_progress: Callable[[str, int], None]) -> None:
        on_progress("RUNNING", 1)
        if len(self.attempts) in self._lost:
            self.cluster.jobmanager.pid += 1
            raise LocalError("Flink does not answer")
        if self._dies:
            raise LocalError("The job failed")


@pytest.fixture
def deployed(monkeypatch):
    def run(stack: FakeStack) -> Deployment:
        job = Deployment(stack, "replay-1", 4, [])  # type: ignore[arg-type]
        monkeypatch.setattr(Deployment, "submit", lambda self: stack.submit(self))
        job.create_topics()
        job.run_bounded(lambda status, records: None)
        return job

    return run


def test_a_run_that_lost_its_jobmanager_begins_again_with_results_of_its_own_over_the_same_clicks(deployed):
    stack = FakeStack(lost={1})
    job = deployed(stack)
    assert stack.attempts == ["replay-1", "replay-1-2"]
    assert stack.topics == set(job.topics.names)
    assert job.topics.clicks == "replay-1-clicks"
    assert all(topic.startswith("replay-1-2-") for topic in set(job.topics.names) - {job.topics.clicks})


def test_a_run_that_failed_as_a_whole_is_cancelled_and_begins_again(deployed):
    stack = FakeStack(stuck={1, 2})
    deployed(stack)
    assert stack.attempts == ["replay-1", "replay-1-2", "replay-1-3"]
    assert stack.cancelled == ["id-1", "id-2"]


def test_a_run_that_always_fails_as_a_whole_ends_with_the_cause(deployed):
    with pytest.raises(LocalError, match="as a whole: A task failed"):
        deployed(FakeStack(stuck=set(range(100))))


def test_a_job_that_fails_under_a_living_jobmanager_is_not_begun_again(deployed):
    stack = FakeStack(dies=True)
    with pytest.raises(LocalError, match="The job failed"):
        deployed(stack)
    assert stack.attempts == ["replay-1"]
