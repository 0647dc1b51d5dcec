"""A job of the local stack: submitted once, found again by its id, resumed from its latest checkpoint."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster import Cluster
from local.job_client import FINAL_STATES
from local.submission import package_jobs


@dataclass(frozen=True)
class StackJob:
    """The job of the program `script`; what is known of it is kept in `state_file`."""

    name: str
    script: Path
    state_file: Path
    cluster: Cluster

    @property
    def job_id(self) -> str | None:
        """The job last submitted."""
        return self._state().get("job_id")

    def start(self, arguments: Callable[[], list[str]]) -> None:
        """Submit the job where it does not live; return when all of it runs.

        One that went down with its cluster resumes from its latest checkpoint.
        """
        if not self.lives():
            self._submit(arguments())
        self.cluster.await_running(str(self.job_id))

    def lives(self) -> bool:
        """Whether the cluster has it, and it has not ended."""
        return self.job_id in {job.job_id for job in self.cluster.jobs() if job.status not in FINAL_STATES}

    def status(self) -> tuple[str, str | None]:
        """Flink's status of it, and the address of its page."""
        if self.job_id is None or not self.cluster.answers():
            return "DOWN", None
        states = {job.job_id: job.status for job in self.cluster.jobs()}
        page = f"{self.cluster.rest_url}/#/job/running/{self.job_id}"
        return states.get(self.job_id, "DOWN"), page if self.job_id in states else None

    def _submit(self, arguments: list[str]) -> None:
        checkpoint = self._latest_checkpoint()
        python_files = package_jobs(self.state_file.with_suffix(".zip"))
        job_id = self.cluster.submit(self.script, arguments, python_files, checkpoint)
        draft = self.state_file.with_suffix(".draft")
        draft.write_text(json.dumps({"job_id": job_id, "resumed_from": checkpoint}), encoding="ascii")
        draft.replace(self.state_file)

    def _latest_checkpoint(self) -> str | None:
        """The last job's, or the one it resumed from itself when it completed none."""
        own = self.cluster.latest_checkpoint(self.job_id) if self.job_id else None
        return own or self._state().get("resumed_from")

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self.state_file.read_text(encoding="ascii"))) if self.state_file.exists() else {}
