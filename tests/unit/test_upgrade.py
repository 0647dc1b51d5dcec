"""Going on with other code or settings, over a cluster that only remembers what it was told."""

import sys
import zipfile
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from local import cli
from local.cluster import Cluster
from local.job_client import Job
from local.processes import LocalError, free_port
from local.stack import HOME_VARIABLE, REST_PORT_VARIABLE
from local.stack_job import Release, StackJob
from local.submission import PROJECT
from local.upgrade import rescale, upgrade

PROGRAM = "jobs/click_stream.py"


class Submitted(NamedTuple):
    code: str
    settings: list[str]
    resumed_from: str | None


class FakeCluster(Cluster):
    """Jobs that complete a checkpoint at once, unless their code is to fail."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, rest_port=1)
        self.submitted: list[Submitted] = []
        self.states: dict[str, str] = {}
        self._completed_so_far = count(1)
        self.asked = 0
        self.failing: dict[str, str] = {}  # code that fails, and when: "submission", "start" or "later"

    def answers(self) -> bool:
        return True

    def jobs(self) -> list[Job]:
        return [Job(job_id, "stream", state) for job_id, state in self.states.items()]

    def job_status(self, job_id: str) -> str:
        return self.states[job_id]

    def job_exceptions(self, job_id: str) -> list[str]:
        """One that is to fail later does so when it has completed a checkpoint."""
        when, self.asked = self.failing.get(self._code(job_id)), self.asked + 1
        fails = when == "start" or (when == "later" and self.asked > 1)
        return ["java.lang.RuntimeException: cannot read the state"] if fails else []

    def submit(self, job: Path, arguments: list[str], python_files: Path, resume_from: str | None = None) -> str:
        assert job.name == "click_stream.py"
        code, job_id = job.read_text(), f"job-{len(self.submitted) + 1}"
        if self.failing.get(code) == "submission":
            raise LocalError("The job was not submitted: window: no such setting.")
        self.submitted.append(Submitted(code, arguments, resume_from))
        self.states[job_id] = "RUNNING"
        if self.failing.get(code) != "start":
            self._leave(self.home / "checkpoints" / job_id / "chk-1")
        return job_id

    def stop_with_savepoint(self, job_id: str, directory: Path) -> str:
        self.states[job_id] = "FINISHED"
        return self._leave(directory / "savepoint-1")

    def cancel(self, job_id: str) -> None:
        self.states[job_id] = "CANCELED"

    def completed_checkpoints(self, job_id: str) -> int:
        return 0 if self.failing.get(self._code(job_id)) == "start" else next(self._completed_so_far)

    def received(self, job_id: str) -> int:
        return 1

    def await_running(self, job_id: str) -> None:
        assert self.states[job_id] == "RUNNING"

    def free_slots(self) -> int:
        return 2

    def parallelism(self, job_id: str) -> int:
        return 2

    def _code(self, job_id: str) -> str:
        return self.submitted[int(job_id.removeprefix("job-")) - 1].code

    def _leave(self, directory: Path) -> str:
        directory.mkdir(parents=True)
        (directory / "_metadata").touch()
        return directory.as_uri()


class Versioned(StackJob):
    """A job whose code in the project is the text of a file."""

    def packaged(self, settings: list[str]) -> Release:
        packages = self.state_file.with_suffix(".new.zip")
        with zipfile.ZipFile(packages, "w") as target:
            target.writestr(PROGRAM, self.state_file.with_name("code").read_text())
        return Release(packages, settings)


@pytest.fixture
def cluster(tmp_path: Path) -> FakeCluster:
    return FakeCluster(tmp_path / "flink")


@pytest.fixture
def job(cluster: FakeCluster, tmp_path: Path) -> StackJob:
    """The job, running the old code."""
    (tmp_path / "code").write_text("old")
    job = Versioned("streaming job", PROJECT / PROGRAM, tmp_path / "job.json", cluster, lambda: ["--own"])
    job.start()
    (tmp_path / "code").write_text("new")
    return job


def quietly(step: str) -> None:
    assert step


def savepoint_of(cluster: FakeCluster, job_id: str) -> str:
    return (cluster.stopped_directory(job_id) / "savepoint-1").as_uri()


def test_an_upgrade_goes_on_from_the_savepoint_with_the_new_code(job: StackJob, cluster: FakeCluster) -> None:
    upgrade(job, quietly)
    assert cluster.submitted[-1] == Submitted("new", ["--own"], savepoint_of(cluster, "job-1"))
    assert cluster.states == {"job-1": "FINISHED", "job-2": "RUNNING"}
    assert job.job_id == "job-2"


def test_a_second_upgrade_that_fails_goes_back_to_the_first(job: StackJob, cluster: FakeCluster) -> None:
    upgrade(job, quietly)
    job.state_file.with_name("code").write_text("newer")
    cluster.failing["newer"] = "start"
    with pytest.raises(LocalError, match="runs as before"):
        upgrade(job, quietly)
    assert [submitted.code for submitted in cluster.submitted] == ["old", "new", "newer", "new"]


@pytest.mark.parametrize("when", ["submission", "start"])
def test_code_that_fails_before_it_commits_is_taken_back_to_the_savepoint(
    job: StackJob, cluster: FakeCluster, when: str
) -> None:
    cluster.failing["new"] = when
    with pytest.raises(
        LocalError, match=r"The streaming job runs as before, because going on failed: .*(state|setting)"
    ):
        upgrade(job, quietly)
    assert cluster.submitted[-1] == Submitted("old", ["--own"], savepoint_of(cluster, "job-1"))
    assert list(cluster.states.values()).count("RUNNING") == 1


def test_code_that_fails_after_it_committed_is_followed_from_its_own_checkpoint(
    job: StackJob, cluster: FakeCluster
) -> None:
    """From the savepoint, what it has committed would be published again."""
    cluster.failing["new"] = "later"
    with pytest.raises(LocalError, match="runs as before"):
        upgrade(job, quietly)
    assert cluster.submitted[-1].resumed_from == (cluster.home / "checkpoints" / "job-2" / "chk-1").as_uri()


def test_a_stopped_job_is_started_from_its_savepoint_and_not_from_an_older_checkpoint(
    job: StackJob, cluster: FakeCluster
) -> None:
    cluster.stop_with_savepoint("job-1", cluster.stopped_directory("job-1"))  # and then everything was killed
    job.start()
    assert cluster.submitted[-1].resumed_from == savepoint_of(cluster, "job-1")


def test_rescaling_changes_the_parallelism_and_not_the_code_and_lasts(job: StackJob, cluster: FakeCluster) -> None:
    rescale(job, 4, quietly)
    assert cluster.submitted[-1] == Submitted("old", ["--own", "--parallelism", "4"], savepoint_of(cluster, "job-1"))
    cluster.cancel("job-2")
    job.start()
    assert cluster.submitted[-1].settings == ["--own", "--parallelism", "4"]


def test_more_parallelism_than_slots_is_refused_and_nothing_is_stopped(job: StackJob, cluster: FakeCluster) -> None:
    with pytest.raises(LocalError, match="4 task slots"):
        rescale(job, 5, quietly)
    assert cluster.states == {"job-1": "RUNNING"}


def test_what_does_not_run_cannot_be_upgraded(job: StackJob, cluster: FakeCluster) -> None:
    cluster.cancel("job-1")
    with pytest.raises(LocalError, match="does not run: start it with clickproof up"):
        upgrade(job, quietly)
    assert len(cluster.submitted) == 1


@pytest.mark.parametrize("command", [["savepoint"], ["upgrade"], ["rescale", "4"]], ids=" ".join)
def test_a_system_that_is_down_is_one_sentence_on_stderr(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(REST_PORT_VARIABLE, str(free_port()))
    monkeypatch.setattr(sys, "argv", ["clickproof", *command])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err.strip().endswith("The streaming job does not run: start it with clickproof up.")


def test_when_going_back_fails_too_both_reasons_are_told(job: StackJob, cluster: FakeCluster) -> None:
    cluster.failing |= {"new": "start", "old": "start"}
    with pytest.raises(
        LocalError, match=r"is in trouble: going on failed \(cannot read.*, going back too: cannot read"
    ):
        upgrade(job, quietly)
