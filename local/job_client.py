"""The jobs of a Flink cluster, through its REST API (docs/ops/rest_api in Flink's documentation)."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from local.processes import LocalError, await_until

FINAL_STATES = frozenset({"FINISHED", "FAILED", "CANCELED"})
POLL_SECONDS = 0.5
START_TIMEOUT = 180.0
STOP_TIMEOUT = 120.0


@dataclass(frozen=True)
class Job:
    """A job as the cluster lists it; `status` as Flink names it: RUNNING, RESTARTING, FINISHED and so on."""

    job_id: str
    name: str
    status: str


@dataclass(frozen=True)
class Checkpoint:
    """A completed checkpoint: `state_bytes` of all state it refers to, and the `seconds` from trigger to completion."""

    number: int
    state_bytes: int
    seconds: float


class JobClient:
    """Watches and stops the jobs of the cluster at `rest_url`."""

    def __init__(self, rest_url: str) -> None:
        self.rest_url = rest_url

    def answers(self) -> bool:
        """Whether the REST API answers."""
        try:
            self._call("/overview")
        except LocalError:
            return False
        return True

    def taskmanager_ids(self) -> set[str]:
        """The registered TaskManagers; a killed one stays until the JobManager misses its heartbeats."""
        return {manager["id"] for manager in self._call("/taskmanagers")["taskmanagers"]}

    def free_slots(self) -> int:
        """The task slots that no job has taken."""
        return int(self._call("/overview")["slots-available"])

    def jobs(self) -> list[Job]:
        """Every job since the JobManager started, finished ones too."""
        return [Job(job["jid"], job["name"], job["state"]) for job in self._call("/jobs/overview")["jobs"]]

    def job_status(self, job_id: str) -> str:
        """Flink's status of the job."""
        return str(self._call(f"/jobs/{job_id}")["state"])

    def job_seconds(self, job_id: str) -> float:
        """How long the job has run, or ran until it ended."""
        return float(self._call(f"/jobs/{job_id}")["duration"]) / 1000

    def await_running(self, job_id: str) -> None:
        """Return when every task of the job runs. Raises LocalError, with the root cause, when that does not happen."""
        deadline = time.monotonic() + START_TIMEOUT
        while not self._all_tasks_run(job_id):
            if self.job_status(job_id) in FINAL_STATES or time.monotonic() > deadline:
                raise LocalError(f"Job {job_id} does not run{self._cause(job_id)}.")
            time.sleep(POLL_SECONDS)

    def job_exceptions(self, job_id: str) -> list[str]:
        """The stack traces that failed or restarted the job, latest first."""
        history = self._call(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return [entry["stacktrace"] for entry in history]

    def failed_as_a_whole(self, job_id: str) -> bool:
        """Whether ever something else than one of its tasks failed, such as a checkpoint, and took all of it along."""
        history = self._call(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return any(entry.get("taskName") is None for entry in history)

    def source_records(self, job_id: str) -> int:
        """The records its sources have read since the tasks last (re)started: for progress, not for proof."""
        vertices = self._call(f"/jobs/{job_id}")["vertices"]
        return sum(
            self._source_records(f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics") for vertex in vertices
        )

    def await_job(
        self, job_id: str, on_progress: Callable[[str, int], None] | None = None, timeout: float | None = None
    ) -> None:
        """Return when the job is FINISHED, calling `on_progress` with its status and records read meanwhile.

        Raises LocalError with the root cause when it FAILED or was CANCELED, or with `timeout` seconds gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.job_status(job_id)) not in FINAL_STATES:
            if deadline is not None and time.monotonic() > deadline:
                raise LocalError(f"Job {job_id} is still {status} after {timeout:.0f} seconds{self._cause(job_id)}.")
            if on_progress:
                on_progress(status, self.source_records(job_id))
            time.sleep(POLL_SECONDS)
        if status != "FINISHED":
            raise LocalError(f"Job {job_id} ended as {status}{self._cause(job_id)}.")

    def cancel(self, job_id: str) -> None:
        """Cancel the job; return when it has ended."""
        self._call(f"/jobs/{job_id}", "PATCH")
        self._await_end(job_id)

    def stop_with_savepoint(self, job_id: str, directory: Path) -> str:
        """Stop the job; return the URI of the savepoint, written below `directory`, it can be resumed from."""
        body = {"targetDirectory": directory.absolute().as_uri(), "drain": False}
        location = self._savepoint(job_id, "stop", body)
        self._await_end(job_id)
        return location

    def take_savepoint(self, job_id: str, directory: Path) -> str:
        """Take a savepoint of the job, which runs on; return its URI, below `directory`."""
        body = {"target-directory": directory.absolute().as_uri(), "cancel-job": False}
        return self._savepoint(job_id, "savepoints", body)

    def parallelism(self, job_id: str) -> int:
        """The highest parallelism of the job's tasks: so many slots it takes."""
        return max(int(vertex["parallelism"]) for vertex in self._call(f"/jobs/{job_id}")["vertices"])

    def completed_checkpoints(self, job_id: str) -> int:
        """How many checkpoints the job has completed since it was submitted."""
        return int(self._call(f"/jobs/{job_id}/checkpoints")["counts"]["completed"])

    def checkpoint_statistics(self, job_id: str) -> Checkpoint | None:
        """Of the checkpoint that the job completed last; None before its first one."""
        last = self._call(f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
        return last and Checkpoint(last["id"], last["state_size"], last["end_to_end_duration"] / 1000)

    def received(self, job_id: str) -> int:
        """The records that tasks behind the sources have received since they (re)started: heartbeats come to none."""
        vertices = self._call(f"/jobs/{job_id}")["vertices"]
        behind = [vertex for vertex in vertices if not vertex["name"].startswith("Source:")]
        return sum(int(vertex["metrics"]["read-records"]) for vertex in behind)

    def _savepoint(self, job_id: str, trigger: str, body: dict[str, Any]) -> str:
        request = self._call(f"/jobs/{job_id}/{trigger}", "POST", body)["request-id"]
        path = f"/jobs/{job_id}/savepoints/{request}"
        await_until(lambda: self._completed(path), f"Taking a savepoint of job {job_id}", STOP_TIMEOUT)
        operation = self._call(path)["operation"]
        if "failure-cause" in operation:
            cause = root_cause(operation["failure-cause"]["stack-trace"])
            raise LocalError(f"Job {job_id} took no savepoint and runs on: {cause}.")
        return str(operation["location"])

    def _await_end(self, job_id: str) -> None:
        await_until(lambda: self.job_status(job_id) in FINAL_STATES, f"Stopping job {job_id}", STOP_TIMEOUT)

    def _all_tasks_run(self, job_id: str) -> bool:
        job = self._call(f"/jobs/{job_id}")
        return job["state"] == "RUNNING" and all(vertex["status"] == "RUNNING" for vertex in job["vertices"])

    def _completed(self, operation: str) -> bool:
        return bool(self._call(operation)["status"]["id"] == "COMPLETED")

    def _source_records(self, metrics: str) -> int:
        names = [metric["id"] for metric in self._call(metrics)]
        sources = [name for name in names if re.fullmatch(r"Source__[^.]*\.numRecordsOut", name)]
        wanted = urllib.parse.quote(",".join(sources))
        return sum(int(metric["sum"]) for metric in self._call(f"{metrics}?get={wanted}&agg=sum")) if sources else 0

    def _cause(self, job_id: str) -> str:
        exceptions = self.job_exceptions(job_id)
        return f": {root_cause(exceptions[0])}" if exceptions else ""

    def _call(self, path: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.rest_url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as refusal:
            reason = root_cause(json.loads(refusal.read())["errors"][-1])
            raise LocalError(f"Flink refused {method} {path}: {reason}.") from refusal
        except (OSError, HTTPException) as failure:
            raise LocalError(
                f"Flink does not answer at {self.rest_url}: start it, or see its log ({failure})."
            ) from failure


def root_cause(trace: str) -> str:
    """The message that ends a Java or Python stack trace: its last line at the margin, without the class's name."""
    lines = [line for line in trace.splitlines() if line.strip() and not line[0].isspace()]
    message = re.sub(r"^(Caused by: |: )?([\w.$]*(Error|Exception)\w*: )?", "", lines[-1]) if lines else trace
    return message.strip().rstrip(".")
