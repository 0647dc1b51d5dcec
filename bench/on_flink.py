"""Systems that are jobs of a standalone Flink cluster, each with a TaskManager of its own."""

import json
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.contest import PARTITIONS, TOPIC, Contest
from bench.meter import metered
from bench.run import Run
from local.broker import Broker
from local.cluster import Cluster
from local.job_client import FINAL_STATES
from local.processes import free_port
from local.published import JobTopics
from local.stack import JOB
from local.submission import PROJECT, package_jobs

PEERS = PROJECT / "bench" / "peers"
FRESH_METRICS = {"metrics.fetcher.update-interval": "1 s"}
WITHOUT_PYTHON = {"taskmanager.memory.process.size": "6g", "taskmanager.memory.managed.size": "3g"}
"""The same memory for a job without Python workers: what those take beside the TaskManager goes to the state."""
BUNDLES = {"python.fn-execution.bundle.size": "10000"}
"""Of a job for each click: as fast as with the default, 1,000; at 100,000 its source seldom tells what it has read."""
PACKAGES = {"python.pythonpath": sysconfig.get_path("purelib")}
"""Where Python within the JVM finds its packages: it does not know of virtual environments."""


@dataclass(frozen=True)
class FlinkSystem:
    """A job, and its arguments for (contest, name, parallelism); without `publishes` it has no counts to be checked.

    `settings`: of its cluster, beside those of `flink-conf/config.yaml`.
    """

    job: Path
    arguments: Callable[[Contest, str, int], list[str]]
    publishes: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    def run(self, contest: Contest, broker: Broker, home: Path, name: str, parallelism: int) -> Run:
        """Run the job over the clicks, on a fresh cluster."""
        topics = JobTopics().prefixed(name)
        broker.create_topics(topics.partitions(PARTITIONS))
        with _cluster(home / name, parallelism, self.settings) as cluster:
            python_files = package_jobs(home / f"{name}.zip")
            began = time.monotonic()
            job_id = cluster.submit(self.job, self.arguments(contest, name, parallelism), python_files)
            records = partial(cluster.source_records, job_id)
            with metered(cluster.taskmanager.pid or 0, records) as meter:
                finished = _finished(cluster, job_id, contest.seconds)
            wall = time.monotonic() - began
            restarted = bool(cluster.job_exceptions(job_id))
        exact = contest.is_exact(topics.counts) if finished and self.publishes else None
        broker.delete_topics(topics.names)
        return Run.of(meter, contest.clicks, wall, exact, finished, restarted)


def clickproof(contest: Contest, name: str, parallelism: int, more: Sequence[str] = ()) -> list[str]:
    """The streaming job's arguments, as a replay has them, and `more`."""
    topics = JobTopics().prefixed(name)._replace(clicks=TOPIC)
    own = ["--deployment", name, "--bootstrap-servers", contest.bootstrap_servers]
    return [*own, *topics.arguments(), "--bounded", "--idle-timeout", "24 h", "--parallelism", str(parallelism), *more]


def peer(contest: Contest, name: str, parallelism: int, **more: object) -> list[str]:
    """A peer's task."""
    task = {
        "bootstrap_servers": contest.bootstrap_servers,
        "topic": TOPIC,
        "counts_topic": JobTopics().prefixed(name).counts,
        "name": name,
        "parallelism": parallelism,
    }
    return [json.dumps(task | more)]


FLINK = {
    "clickproof": FlinkSystem(JOB, clickproof),
    "flink-sql": FlinkSystem(PEERS / "flink_sql.py", peer, settings=WITHOUT_PYTHON),
    "textbook-process": FlinkSystem(PEERS / "textbook.py", partial(peer, mode="process"), settings=BUNDLES),
    "textbook-thread": FlinkSystem(PEERS / "textbook.py", partial(peer, mode="thread"), settings=BUNDLES | PACKAGES),
    "ceiling": FlinkSystem(PEERS / "ceiling.py", peer, publishes=False),
}


@contextmanager
def _cluster(home: Path, slots: int, settings: Mapping[str, str]) -> Iterator[Cluster]:
    cluster = Cluster(home, free_port(), slots, {**FRESH_METRICS, **settings})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _finished(cluster: Cluster, job_id: str, seconds: float) -> bool:
    """Whether the job ended within so many seconds; it is cancelled else. Raises LocalError when it failed."""
    end = time.monotonic() + seconds
    while cluster.job_status(job_id) not in FINAL_STATES:
        if time.monotonic() > end:
            cluster.cancel(job_id)
            return False
        time.sleep(0.2)
    cluster.await_job(job_id)
    return True
