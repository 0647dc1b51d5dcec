"""A job of the local stack: submitted once, found again by its id, resumed from what it left."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster import Cluster
from local.job_client import FINAL_STATES
from local.processes import LocalError
from local.submission import PROJECT, package_jobs


@dataclass(frozen=True)
class Release:
    """What is submitted: a zip of packages with the job's program in it, and settings on top of the stack's own."""

    packages: Path
    settings: list[str]


@dataclass(frozen=True)
class StackJob:
    """The job of the program `script`; what is known of it is kept in `state_file`. `arguments`: the stack's own."""

    name: str
    script: Path
    state_file: Path
    cluster: Cluster
    arguments: Callable[[], list[str]]

    @property
    def job_id(self) -> str | None:
        """The job last submitted."""
        return self._state().get("job_id")

    @property
    def settings(self) -> list[str]:
        """The settings it was last submitted with, on top of the stack's own."""
        return list(self._state().get("settings", []))

    def start(self) -> None:
        """Submit the project's code where the job does not live; return when all of it runs.

        One that went down with its cluster resumes from its latest checkpoint, one that was stopped from its savepoint.
        """
        if not self.lives():
            self.submit(self.packaged(self.settings))
        self.cluster.await_running(str(self.job_id))

    def lives(self) -> bool:
        """Whether the cluster has it, and it has not ended."""
        return self.job_id in {job.job_id for job in self.cluster.jobs() if job.status not in FINAL_STATES}

    def living(self) -> str:
        """The id of the living job. Raises LocalError when there is none."""
        if not self.cluster.answers() or not self.lives():
            raise LocalError(f"The {self.name} does not run: start it with clickproof up.")
        return str(self.job_id)

    def status(self) -> tuple[str, str | None]:
        """Flink's status of it, and the address of its page."""
        if self.job_id is None or not self.cluster.answers():
            return "DOWN", None
        states = {job.job_id: job.status for job in self.cluster.jobs()}
        page = f"{self.cluster.rest_url}/#/job/running/{self.job_id}"
        return states.get(self.job_id, "DOWN"), page if self.job_id in states else None

    def packaged(self, settings: list[str]) -> Release:
        """The project's code as it is now."""
        return Release(package_jobs(self.state_file.with_suffix(".new.zip")), settings)

    def submitted(self) -> Release:
        """What was submitted last."""
        return Release(self.state_file.with_suffix(".zip"), self.settings)

    def submit(self, release: Release) -> None:
        """Submit a release, from what the job left last; return without waiting for it to run."""
        resume_from = self._left()
        arguments = [*self.arguments(), *release.settings]
        job_id = self.cluster.submit(self._program(release), arguments, release.packages, resume_from)
        if release.packages != self.submitted().packages:
            release.packages.replace(self.submitted().packages)
        draft = self.state_file.with_suffix(".draft")
        state = {"job_id": job_id, "resumed_from": resume_from, "settings": release.settings}
        draft.write_text(json.dumps(state), encoding="ascii")
        draft.replace(self.state_file)

    def _program(self, release: Release) -> Path:
        """The job's program as the release has it, under its own name, which Python imports it by."""
        directory = self.state_file.with_suffix("")
        directory.mkdir(exist_ok=True)
        program = directory / self.script.name
        with zipfile.ZipFile(release.packages) as packages:
            program.write_bytes(packages.read(self.script.relative_to(PROJECT).as_posix()))
        return program

    def _left(self) -> str | None:
        """What the last job left, or the one it resumed from itself when it left nothing."""
        own = self.cluster.latest_checkpoint(self.job_id) if self.job_id else None
        return own or self._state().get("resumed_from")

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self.state_file.read_text(encoding="ascii"))) if self.state_file.exists() else {}
