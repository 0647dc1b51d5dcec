"""The whole system on one machine: broker, Flink cluster, streaming job and heartbeat under one home directory."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.broker import Broker
from local.cluster import Cluster
from local.installation import installation
from local.java import require_java
from local.processes import PRIVATE, Daemon, LocalError, exit_on_sigterm, free_port, port_in_use
from local.published import JobTopics, topics_of
from local.stack_job import StackJob
from local.submission import PROJECT

JOB = PROJECT / "jobs" / "click_stream.py"
ARCHIVE_JOB = PROJECT / "jobs" / "archive.py"
TOPICS = JobTopics()
PARTITIONS = 4  # of the clicks topic
ARCHIVING = ["--archive-roll-interval", "1 min", "--parallelism", "1"]
SLOTS = 6  # for the streaming job, the archive, and a run of either over files

# Names that start so are no settings of the jobs.
HOME_VARIABLE = "CLICKPROOF_LOCAL_HOME"
KAFKA_PORT_VARIABLE = "CLICKPROOF_LOCAL_KAFKA_PORT"
REST_PORT_VARIABLE = "CLICKPROOF_LOCAL_REST_PORT"
METRICS_PORTS_VARIABLE = "CLICKPROOF_LOCAL_METRICS_PORTS"


@dataclass(frozen=True)
class Component:
    """A row of `status`; `address` and `pid` are None for what does not run or has none."""

    component: str
    state: str
    address: str | None
    pid: int | None


class Stack:
    """The local system. It is disposable: `down` removes its home, with every click and count in it."""

    def __init__(
        self, home: Path, kafka_port: int, rest_port: int, slots: int = SLOTS, metrics_ports: str | None = None
    ) -> None:
        """`metrics_ports`: two or more, as Flink takes them, for JobManager and TaskManager; None: no metrics."""
        self.home = home.absolute()
        self.broker = Broker(self.home / "kafka", kafka_port)
        self.cluster = Cluster(self.home / "flink", rest_port, slots, _reporting(metrics_ports))
        self.heartbeat = Daemon("heartbeat", self.home / "heartbeat.pid", self.home / "heartbeat.log")
        stream, archive = self.home / "stream-job.json", self.home / "archive-job.json"
        self.stream = StackJob("streaming job", JOB, stream, self.cluster, self._connection)
        self.archive = StackJob("archive", ARCHIVE_JOB, archive, self.cluster, self._archiving)
        self._state_file = self.home / "stack.json"
        self._ports = {"kafka_port": kafka_port, "rest_port": rest_port}

    def start(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Start the broker and the cluster alone, where they do not run yet; return when both are healthy."""
        self._check_machine()
        self._claim_home()
        on_step("Starting Kafka and Flink")
        with ThreadPoolExecutor(1) as beside:
            broker = beside.submit(self.broker.start)
            self.cluster.start()
            broker.result()

    def up(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Start all that does not run yet, with topics, streaming job and heartbeat; return when all is healthy.

        A job that went down with its cluster resumes from its latest checkpoint; so does the archive, if it was ever
        started. `on_step` hears what is being done.
        """
        self.start(on_step)
        self.start_job(on_step)
        if self.archive.job_id:
            self.start_archive(on_step)
        on_step("Starting the heartbeat")
        self.start_heartbeat()

    def start_job(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Create the topics that are missing, and start the streaming job where it does not live."""
        self._create_topics(on_step)
        on_step("Starting the streaming job")
        self.stream.start()

    def start_archive(self, on_step: Callable[[str], None] = lambda step: None) -> None:
        """Create the topics that are missing, and start the archive where it does not live."""
        self._create_topics(on_step)
        on_step("Starting the archive")
        self.archive.start()

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
            _job_component(self.stream),
            _job_component(self.archive),
            _component("heartbeat", self.heartbeat, None),
        ]

    def topics_of(self, settings: list[str]) -> JobTopics:
        """The topics of a streaming job with these settings on the cluster."""
        return topics_of(settings, {**os.environ, "FLINK_CONF_DIR": str(self.cluster.home / "conf")})

    @property
    def archive_directory(self) -> Path:
        """Where the archive's files are."""
        return self.home / "archive"

    def _create_topics(self, on_step: Callable[[str], None]) -> None:
        on_step("Creating the topics")
        topics = self.topics_of([*self.stream.arguments(), *self.stream.settings])
        self.broker.create_topics(topics.partitions(PARTITIONS))

    def _connection(self) -> list[str]:
        return ["--bootstrap-servers", self.broker.bootstrap_servers]

    def _archiving(self) -> list[str]:
        return [*self._connection(), "--archive", self.archive_directory.as_uri(), *ARCHIVING]

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self._state_file.read_text(encoding="ascii"))) if self._state_file.exists() else {}

    def _check_machine(self) -> None:
        """Refuse what could not work before anything is started."""
        require_java()
        _require_port(self.broker.daemon, self.broker.port, KAFKA_PORT_VARIABLE)
        _require_port(self.cluster.jobmanager, self.cluster.rest_port, REST_PORT_VARIABLE)

    def _claim_home(self) -> None:
        """Make the home a stack's own: `down` removes no directory that was not claimed, and empty, before."""
        state = self._state()
        if not state:
            self.home.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            if any(self.home.iterdir()):
                raise LocalError(f"{self.home} holds other files: set {HOME_VARIABLE} to an empty or new directory.")
            draft = self._state_file.with_suffix(".draft")
            draft.write_text(json.dumps(self._ports), encoding="ascii")
            draft.replace(self._state_file)
        elif any(state[name] != port for name, port in self._ports.items()):
            ports = f"{state['kafka_port']} and {state['rest_port']}"
            raise LocalError(f"The stack in {self.home} has the ports {ports}: stop it before choosing others.")


def default_stack() -> Stack:
    """The stack in `.clickproof/` of the project, or where the environment says."""
    home = Path(os.environ.get(HOME_VARIABLE) or installation() / ".clickproof")
    ports = _port(KAFKA_PORT_VARIABLE, 9092), _port(REST_PORT_VARIABLE, 8081)
    return Stack(home, *ports, metrics_ports=os.environ.get(METRICS_PORTS_VARIABLE) or None)


@contextmanager
def temporary_stack(slots: int = SLOTS, metrics_ports: str | None = None) -> Iterator[Stack]:
    """Broker and cluster on free ports in a temporary home; gone on exit, be it by an exception, SIGINT or SIGTERM."""
    home = Path(tempfile.mkdtemp(prefix="clickproof-"))
    stack = Stack(home, free_port(), free_port(), slots, metrics_ports)
    with exit_on_sigterm():
        try:
            stack.start()
            yield stack
        finally:
            stack.down()


def _reporting(ports: str | None) -> dict[str, object]:
    """Flink's options: its Prometheus reporter listens on all interfaces, so on this machine only when asked to."""
    if ports is None:
        return {"metrics.reporters": "none"}
    if not re.fullmatch(r"\d+([-,]\d+)+", ports):
        raise LocalError(f"Set {METRICS_PORTS_VARIABLE} to two ports such as 9249-9250: it is {ports!r}.")
    return {"metrics.reporter.prometheus.port": ports}


def _component(name: str, daemon: Daemon, address: str | None) -> Component:
    pid = daemon.pid
    return Component(name, "RUNNING" if pid else "DOWN", address if pid else None, pid)


def _job_component(job: StackJob) -> Component:
    state, page = job.status()
    return Component(job.name, state, page, None)


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
