"""A standalone Flink cluster on the loopback interface, run from the wheel that carries Flink."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from local.installation import installation
from local.java import require_java
from local.job_client import JobClient
from local.processes import LOOPBACK, PRIVATE, Daemon, LocalError, await_until, free_port, port_in_use
from local.submission import run_job

START_TIMEOUT = 180.0
PROBE_BYTES = 1024 * 1024  # more than a disk that is full has left

# It would come before the packages a job is submitted with.
NOT_FOR_JOBS = frozenset({"PYTHONPATH"})
# A batch takes megabytes and gives them back. These keep them for the next batch, which would have to ask the kernel
# for them again, page by page: of glibc, of Polars, which then needs no threads that give it back, and of Arrow, which
# takes glibc's in place of its own.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # glibc takes no higher one
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "MALLOC_ARENA_MAX": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
# A submission ends before code compiled with more care would pay.
CLIENT_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Cluster(JobClient):
    """A JobManager and one TaskManager whose configuration, state, logs and temporary files live under `home`."""

    def __init__(
        self, home: Path, rest_port: int, slots: int = 4, settings: Mapping[str, object] | None = None
    ) -> None:
        """`settings`: Flink options laid over flink-conf/config.yaml, such as taskmanager.memory.process.size."""
        super().__init__(f"http://{LOOPBACK}:{rest_port}")
        self.home = home.absolute()
        self.rest_port = rest_port
        self.slots = slots
        self.jobmanager = Daemon("JobManager", self.home / "jobmanager.pid", self.home / "logs" / "jobmanager.log")
        self.taskmanager = Daemon("TaskManager", self.home / "taskmanager.pid", self.home / "logs" / "taskmanager.log")
        self._settings = settings or {}

    def alive(self) -> bool:
        """Whether the processes of both managers run."""
        return self.jobmanager.alive() and self.taskmanager.alive()

    def start(self) -> None:
        """Start what does not run yet; return when the TaskManager offers its slots."""
        if not self.jobmanager.alive():
            self.stop()  # what is left of a killed one may still hold the port
            self._start_jobmanager()
        if not self.taskmanager.alive():
            self.start_taskmanager()

    def start_taskmanager(self) -> None:
        """Start the TaskManager, the first time or after it was killed; return when it offers its slots."""
        self.taskmanager.stop()
        known = self.taskmanager_ids()
        # In `home`: Python workers import from their directory before anything submitted.
        environment = self.environment() | KEEP_MEMORY
        self.taskmanager.start([self._script("taskmanager.sh"), "start-foreground"], environment, self.home)
        await_until(
            lambda: bool(self.taskmanager_ids() - known), "Starting the TaskManager", START_TIMEOUT, self.taskmanager
        )

    def submit(self, job: Path, arguments: list[str], python_files: Path, resume_from: str | None = None) -> str:
        """Submit a PyFlink program, detached; return the job's id. `resume_from`: URI of a savepoint or checkpoint.

        `python_files`: the zip of the packages it imports. Paths in `arguments` are absolute, as everything runs in
        `home`. Raises LocalError with the program's own last words.
        """
        self._require_checkpoints()
        program = ["-pyfs", str(python_files.absolute()), "-py", str(job.absolute()), *arguments]
        resume = ["-s", resume_from] if resume_from else []
        command = [self._script("flink"), "run", "-d", *resume, *program]
        environment = self.environment()
        environment["JVM_ARGS"] += f" {CLIENT_OPTIONS}"
        return run_job(command, environment, self.home, self._directory("logs") / f"submit-{job.stem}.log")

    def stop(self) -> None:
        """Stop the processes and the jobs in them; checkpoints and savepoints stay."""
        self.taskmanager.stop()
        self.jobmanager.stop()

    def latest_checkpoint(self, job_id: str) -> str | None:
        """The URI of the last completed checkpoint the job left, or of the savepoint it was stopped with, if any."""
        checkpoints = (self._directory("checkpoints") / job_id).glob("chk-*/_metadata")
        savepoints = self.stopped_directory(job_id).glob("savepoint-*/_metadata")
        try:
            latest = max([*checkpoints, *savepoints], key=_completion, default=None)
        except FileNotFoundError:  # the job removed one, as it does when a newer one is complete
            return self.latest_checkpoint(job_id)
        return latest.parent.as_uri() if latest else None

    def stopped_directory(self, job_id: str) -> Path:
        """Where the savepoint belongs that a job is stopped with, so that it is found again by the job's id."""
        return self.savepoints / "stopped" / job_id

    @property
    def savepoints(self) -> Path:
        """The directory of the savepoints."""
        return self._directory("savepoints")

    def environment(self) -> dict[str, str]:
        """The environment of every Flink command of this cluster."""
        return {
            "NUMBA_CACHE_DIR": str(installation() / "build" / "compiled"),
            **{name: value for name, value in os.environ.items() if name not in NOT_FOR_JOBS},
            "JAVA_HOME": str(require_java()),
            "JVM_ARGS": f"-Djava.io.tmpdir={self._directory('tmp')} -XX:-UsePerfData",
            "TMPDIR": str(self._directory("tmp")),
            "FLINK_HOME": str(flink_home()),
            "FLINK_CONF_DIR": str(self.home / "conf"),
            "FLINK_LIB_DIR": str(self.home / "lib"),
            "FLINK_OPT_DIR": str((flink_home() / "opt").resolve()),  # Flink follows no link there
            "FLINK_PLUGINS_DIR": str(flink_home() / "plugins"),
            "FLINK_LOG_DIR": str(self._directory("logs")),
            "FLINK_PID_DIR": str(self._directory("tmp")),
        }

    def _require_checkpoints(self) -> None:
        """Refuse a job that could never complete a checkpoint: its counts would never be seen."""
        try:
            with tempfile.TemporaryFile(dir=self._directory("checkpoints")) as probe:
                probe.write(bytes(PROBE_BYTES))
        except OSError as error:
            folder = self.home / "checkpoints"
            raise LocalError(f"No checkpoint can be written to {folder}: {error.strerror}.") from error

    def _start_jobmanager(self) -> None:
        if port_in_use(self.rest_port):
            raise LocalError(f"Port {self.rest_port} is in use: free it, or choose another port for Flink.")
        self._write_configuration()
        self._link_jars()
        self.jobmanager.start([self._script("jobmanager.sh"), "start-foreground"], self.environment())
        await_until(self.answers, "Starting the JobManager", START_TIMEOUT, self.jobmanager)

    def _write_configuration(self) -> None:
        """Copy the project's configuration, laying over it what depends on this machine."""
        conf, yaml = self._directory("conf"), YAML(typ="safe", pure=True)
        own = installation() / "flink-conf"
        shutil.copytree(own, conf, dirs_exist_ok=True, ignore=shutil.ignore_patterns("pom.xml", "target"))
        common = yaml.load(own / "config.yaml")
        yaml.width = 1_000_000
        yaml.default_flow_style = False
        yaml.dump({**common, **self._machine_settings(), **self._settings}, conf / "config.yaml")

    def _machine_settings(self) -> dict[str, object]:
        return {
            "classloader.resolve-order": "parent-first",  # see _link_jars
            "rest.port": self.rest_port,
            "rest.bind-port": self.rest_port,
            "jobmanager.rpc.port": free_port(),
            "taskmanager.numberOfTaskSlots": self.slots,
            "io.tmp.dirs": str(self._directory("tmp")),
            "execution.checkpointing.dir": self._directory("checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": self._directory("savepoints").as_uri(),
            "python.executable": sys.executable,
            "python.client.executable": sys.executable,
        }

    def _link_jars(self) -> None:
        """Flink's own jars, flink-python and the connectors in one lib directory, to be loaded once.

        `flink run -py` ships flink-python with every job. Loaded from there it would stay in memory after the job: the
        metaspace of a TaskManager is full after six starts. `pipeline.jars` would displace it.
        """
        jars = installation() / "build" / "jars" / "flink"
        connectors = list(jars.glob("*.jar"))
        if not connectors:
            raise LocalError(f"The Kafka connector is missing in {jars}: run make setup.")
        lib, own = self._directory("lib"), flink_home()
        for jar in [*own.glob("lib/*.jar"), *own.glob("opt/flink-python-*.jar"), *connectors]:
            (lib / jar.name).unlink(missing_ok=True)
            (lib / jar.name).symlink_to(jar)

    def _script(self, name: str) -> str:
        return str(flink_home() / "bin" / name)

    def _directory(self, name: str) -> Path:
        directory = self.home / name
        directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        return directory


def _completion(metadata: Path) -> tuple[int, int]:
    """When a checkpoint or savepoint was completed; of checkpoints at the same moment, their number."""
    number = metadata.parent.name.removeprefix("chk-")
    return metadata.stat().st_mtime_ns, int(number) if number.isdecimal() else 0


def flink_home() -> Path:
    """The directory of Flink's scripts and jars, inside the apache-flink wheel."""
    wheel = importlib.util.find_spec("pyflink")
    if wheel is None or wheel.origin is None:
        raise LocalError("Flink is missing in this Python environment: run make setup.")
    return Path(wheel.origin).parent
