from types import SimpleNamespace

import pytest

from local.deployment import Deployment
from local.processes import LocalError
from local.published import JobTopics


class FakeStack:
    """A cluster whose JobManager is lost at the attempts named, and a broker that remembers its topics."""

    def __init__(self, lost: set[int], dies: bool = False) -> None:
        self.topics: set[str] = set()
        self.attempts: list[str] = []
        self._lost, self._dies = lost, dies
        self.broker = SimpleNamespace(
            create_topics=self.topics.update, delete_topics=self.topics.difference_update, bootstrap_servers="x"
        )
        self.topics_of = lambda settings: JobTopics()
        self.cluster = SimpleNamespace(
            jobmanager=SimpleNamespace(pid=1),
            answers=lambda: True,
            taskmanager_ids=lambda: {"tm"},
            await_job=self._await,
        )

    def _await(self, *_: object) -> None:
        if len(self.attempts) in self._lost:
            self.cluster.jobmanager.pid += 1
            raise LocalError("Flink does not answer")
        if self._dies:
            raise LocalError("The job failed")


@pytest.fixture
def deployed(monkeypatch):
    def run(stack: FakeStack) -> Deployment:
        job = Deployment(stack, "replay-1", 4, [])  # type: ignore[arg-type]
        monkeypatch.setattr(Deployment, "submit", lambda self: stack.attempts.append(self.job_name))
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


def test_a_job_that_fails_under_a_living_jobmanager_is_not_begun_again(deployed):
    stack = FakeStack(lost=set(), dies=True)
    with pytest.raises(LocalError, match="The job failed"):
        deployed(stack)
    assert stack.attempts == ["replay-1"]
