"""The whole system on one machine: broker, Flink cluster, streaming job and heartbeat under one home directory."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.broker import Broker
from local.cluster import Cluster
from local.java import require_java
from local.job_client import FINAL_STATES
from local.processes import Daemon, LocalError, exit_on_sigterm, free_port, port_in_use
from local.published import JobTopics
from local.submission import PROJECT, package_jobs

JOB = PROJECT / "jobs" / "click_stream.py"
TOPICS = JobTopics()
PARTITIONS = 4  # of the clicks topic

# Names that start so are no settings of the jobs.
HOME_VARIABLE = "CLICKPROOF_LOCAL_HOME"
KAFKA_PORT_VARIABLE = "CLICKPROOF_LOCAL_KAFKA_PORT"
REST_PORT_VARIABLE = "CLICKPROOF_LOCAL_REST_PORT"


@dataclass(frozen=True)
class Component:
    """A row of `status`; `address` and `pid` are None for what does not run or has none."""

    component: str
    state: str
    address: str | None
    pid: int | None


class Stack:
    """The local system. It is disposable: `down` removes its home, with every click and count in it."""

    def __init__(self, home: Path, kafka_port: int, rest_port: int, slots: int = 4) -> None:
        self.home = home.absolute()
        self.broker = Broker(self.home / "kafka", kafka_port)
        self.cluster = Cluster(self.home / "flink", rest_port, slots)
        self.heartbeat = Daemon("heartbeat", self.home / "heartbeat.pid", self.home / "heartbeat.log")
        self._state_file = self.home / "stack.json"
        self._ports = {"kafka_port": kafka_port, "rest_port": rest_port}

    def start(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Start the broker and the cluster alone, where they do not run yet; return when both are healthy."""
        self._check_machine()
        self._claim_home()
        on_step("Starting Kafka")
        self.broker.start()
        on_step("Starting the Flink cluster")
        self.cluster.start()

    def up(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Start all that does not run yet, with topics, streaming job and heartbeat; return when all is healthy.

        A job that went down with its cluster resumes from its latest checkpoint. `on_step` hears what is being done.
        """
        self.start(on_step)
        self.start_job(on_step)
        on_step("Starting the heartbeat")
        self.start_heartbeat()

    def start_job(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Create the topics that are missing, and start the streaming job where it does not live."""
        on_step("Creating the topics")
        self.broker.create_topics(TOPICS.partitions(PARTITIONS))
        on_step("Starting the streaming job")
        if not self._job_lives():
            self._submit_job()
        self.cluster.await_running(str(self._job_id))

    def start_heartbeat(self) -> None:
        """Start the heartbeat where it does not run: from now on no click is on time that is older than its window."""
        if not self.heartbeat.alive():
            options = ["--bootstrap-servers", self.broker.bootstrap_servers, "--topic", TOPICS.clicks]
            self.heartbeat.start([sys.executable, "-m", "ingest.heartbeat", *options], cwd=PROJECT)

    def down(self) -> None:
        """Stop everything and remove the home; nothing happens where no stack is."""
        if not self._state_file.exists():
            return
        for part in (self.heartbeat, self.cluster, self.broker):
            part.stop()
        shutil.rmtree(self.home)

    def status(self) -> list[Component]:
        """What runs, and where."""
        return [
            _component("Kafka", self.broker.daemon, self.broker.bootstrap_servers),
            _component("JobManager", self.cluster.jobmanager, self.cluster.rest_url),
            _component("TaskManager", self.cluster.taskmanager, None),
            self._job_component(),
            _component("heartbeat", self.heartbeat, None),
        ]

    @property
    def _job_id(self) -> str | None:
        """The streaming job last submitted."""
        return self._state().get("job_id")

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self._state_file.read_text(encoding="ascii"))) if self._state_file.exists() else {}

    def _save_state(self, **job: str | None) -> None:
        draft = self._state_file.with_suffix(".draft")
        draft.write_text(json.dumps({**self._ports, **job}), encoding="ascii")
        draft.replace(self._state_file)

    def _check_machine(self) -> None:
        """Refuse what could not work before anything is started."""
        require_java()
        _require_port(self.broker.daemon, self.broker.port, KAFKA_PORT_VARIABLE)
        _require_port(self.cluster.jobmanager, self.cluster.rest_port, REST_PORT_VARIABLE)

    def _claim_home(self) -> None:
        """Make the home a stack's own: `down` removes no directory that was not claimed, and empty, before."""
        state = self._state()
        if not state:
            self.home.mkdir(parents=True, exist_ok=True)
            if any(self.home.iterdir()):
                raise LocalError(f"{self.home} holds other files: set {HOME_VARIABLE} to an empty or new directory.")
            self._save_state()
        elif any(state[name] != port for name, port in self._ports.items()):
            ports = f"{state['kafka_port']} and {state['rest_port']}"
            raise LocalError(f"The stack in {self.home} has the ports {ports}: stop it before choosing others.")

    def _job_lives(self) -> bool:
        alive = {job.job_id for job in self.cluster.jobs() if job.status not in FINAL_STATES}
        return self._job_id in alive

    def _submit_job(self) -> None:
        checkpoint = self._latest_checkpoint()
        arguments = ["--bootstrap-servers", self.broker.bootstrap_servers]
        python_files = package_jobs(self.home / "jobs.zip")
        job_id = self.cluster.submit(JOB, arguments, python_files, checkpoint)
        self._save_state(job_id=job_id, resumed_from=checkpoint)

    def _latest_checkpoint(self) -> str | None:
        """The last job's, or the one it resumed from itself when it completed none."""
        own = self.cluster.latest_checkpoint(self._job_id) if self._job_id else None
        return own or self._state().get("resumed_from")

    def _job_component(self) -> Component:
        job_id = self._job_id
        if job_id is None or not self.cluster.answers():
            return Component("streaming job", "DOWN", None, None)
        states = {job.job_id: job.status for job in self.cluster.jobs()}
        page = f"{self.cluster.rest_url}/#/job/running/{job_id}"
        return Component("streaming job", states.get(job_id, "DOWN"), page if job_id in states else None, None)


def default_stack() -> Stack:
    """The stack in `.clickproof/` of the project, or where the environment says."""
    home = Path(os.environ.get(HOME_VARIABLE) or PROJECT / ".clickproof")
    return Stack(home, _port(KAFKA_PORT_VARIABLE, 9092), _port(REST_PORT_VARIABLE, 8081))


@contextmanager
def temporary_stack(slots: int = 4) -> Iterator[Stack]:
    """Broker and cluster on free ports in a temporary home; gone on exit, be it by an exception, SIGINT or SIGTERM."""
    home = Path(tempfile.mkdtemp(prefix="clickproof-"))
    stack = Stack(home, free_port(), free_port(), slots)
    with exit_on_sigterm():
        try:
            stack.start()
            yield stack
        finally:
            stack.down()


def _component(name: str, daemon: Daemon, address: str | None) -> Component:
    pid = daemon.pid
    return Component(name, "RUNNING" if pid else "DOWN", address if pid else None, pid)


def _require_port(daemon: Daemon, port: int, variable: str) -> None:
    if daemon.alive():
        return
    daemon.stop()  # what is left of a killed one may still hold the port
    if port_in_use(port):
        raise LocalError(f"Port {port} is in use by another program: stop it, or set {variable} to a free port.")


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise LocalError(f"Set {variable} to a port number from 1 to 65535: it is {value!r}.")
    return int(value)
