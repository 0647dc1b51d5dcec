"""Systems that are processes of their own, in the peers' environment: bench/peers/pyproject.toml and pom.xml."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka import KafkaAdminClient

from bench.contest import Contest
from bench.meter import metered
from bench.on_flink import PEERS, peer
from bench.run import Run
from local.broker import Broker
from local.console import errors
from local.java import require_java
from local.processes import LOOPBACK, LocalError
from local.published import JobTopics
from local.submission import PROJECT

PYTHON = PROJECT / "build" / "peers-venv" / "bin" / "python"
JARS = PROJECT / "build" / "peers-jars"
LAST_WORDS = 2_000  # characters of a failed program's log


@dataclass(frozen=True)
class ProcessSystem:
    """A program that is given a task, tells how many clicks it has read, and ends after the last one.

    With `updates` it publishes a count again when it has changed: the last one is in force.
    """

    program: Path
    updates: bool = False

    def run(self, contest: Contest, broker: Broker, home: Path, name: str, parallelism: int) -> Run:
        """Run the program over the clicks. One that fails is said to, and has not finished."""
        counts, folder = JobTopics().prefixed(name).counts, home / name
        folder.mkdir()
        broker.create_topics({counts: 1})
        began = time.monotonic()
        with _started([str(self.program), *peer(contest, name, parallelism, home=str(folder))], folder) as process:
            with metered(process.pid, partial(told_records, folder)) as meter:
                finished = _finished(process, folder, contest.seconds)
            wall = time.monotonic() - began
        exact = contest.is_exact(counts, self.updates) if finished else None
        broker.delete_topics(_topics_of(contest, name))
        return Run.of(meter, contest.clicks, wall, exact, finished)


PROCESSES = {
    "spark": ProcessSystem(PEERS / "spark_query.py"),
    "bytewax": ProcessSystem(PEERS / "bytewax_dataflow.py"),
    "quixstreams": ProcessSystem(PEERS / "quix_application.py", updates=True),
}


def told_records(folder: Path) -> int:
    """Return how many clicks a system's processes have read, all together, as each tells in a file."""
    return sum(int(file.read_bytes() or b"0") for file in folder.glob("records*"))


@contextmanager
def _started(program: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the program's process; it and whatever it started are gone on exit."""
    if not PYTHON.exists():
        raise LocalError(f"The peers' environment is missing in {PYTHON.parents[1]}: run make build/.peers.")
    own = {"JAVA_HOME": str(require_java()), "PEERS_JARS": str(JARS), "SPARK_LOCAL_IP": LOOPBACK}
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(
            [str(PYTHON), *program],
            env={**os.environ, **own},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _log(folder: Path) -> Path:
    return folder / "log"


def _finished(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> bool:
    """Whether the program ended within so many seconds, and well."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    if code:
        last_words = _log(folder).read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]
        errors.print(f"{folder.name} failed; its log ends with:\n{last_words}", markup=False)
    return code == 0


def _topics_of(contest: Contest, name: str) -> list[str]:
    """The topics of a run, with those that its system made for itself."""
    with KafkaAdminClient(**contest.connection) as admin:
        return [topic for topic in admin.list_topics() if name in topic]
