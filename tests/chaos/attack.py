"""An attack: clicks flow, something dies at a chosen moment, and in the end every click is where it belongs."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import psutil
from kafka.errors import KafkaError

from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.deployment import Deployment
from local.generator import generate
from local.job_client import FINAL_STATES
from local.keeper import kept_alive
from local.processes import LocalError, await_until
from local.published import await_committed, decided_clicks, published_windows, recount_topics
from local.stack import PARTITIONS, Stack
from local.submission import PROJECT
from local.traffic import MINUTE, Traffic
from tests.chaos.reader import Reader
from tests.patience import PATIENCE

SETTINGS = ["--checkpoint-interval", "2 s", "--idle-timeout", "10 min"]
TARGETS = ("taskmanager", "worker", "jobmanager", "broker")
MOMENTS = ("in mid window", "during a checkpoint", "between checkpoint and commit")
RESULTS = PROJECT / "build" / "chaos.jsonl"
ADS = 50
WORKER = "pyflink"


def victim(stack: Stack, target: str) -> int:
    """The process id of a target, as soon as it runs: the fault before may have left it down."""
    pids: list[int] = []

    def runs() -> bool:
        pids[:] = _pids(stack, target)
        return bool(pids)

    await_until(runs, f"The {target} to be killed", PATIENCE)
    return max(pids)


def _pids(stack: Stack, target: str) -> list[int]:
    if target == "worker":
        return [each.pid for each in workers(stack)]
    daemons = {"broker": stack.broker.daemon, "jobmanager": stack.cluster.jobmanager}
    pid = daemons.get(target, stack.cluster.taskmanager).pid
    return [] if pid is None else [pid]


def workers(stack: Stack) -> list[psutil.Process]:
    """The Python workers of the TaskManager."""
    pid = stack.cluster.taskmanager.pid
    try:
        children = psutil.Process(pid).children(recursive=True) if pid else []
    except psutil.NoSuchProcess:
        return []
    return [each for each in children if _is_worker(each)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("python") and any(WORKER in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


@dataclass
class Attack:
    """One attack on a running job; `faults` are called one after the other, each when the one before is over.

    All but the first one are for the time in which clicks flow: no worker is missed, and started again, before the next
    click comes.
    """

    job: Deployment
    name: str
    seed: int
    start: int  # event time of the first click, epoch ms
    clicks: int = 20_000
    rate: int = 1_000  # clicks a second
    shares: dict[str, float] = field(default_factory=dict)  # of late clicks, duplicates and so on: see `Traffic`
    recoveries: list[float] = field(default_factory=list)
    _resumed_from: str | None = None

    @property
    def stack(self) -> Stack:
        return self.job.stack

    def run(self, folder: Path, faults: list[Callable[["Attack"], None]]) -> None:
        """Send clicks, let the faults happen, wait for the end, and assert that all is exact."""
        print(f"attack: {self.name}, TESTS_SEED={self.seed}")
        try:
            problems = self._problems(folder, faults)
        except LocalError as stuck:
            problems = [str(stuck)]
        self._note(problems)
        assert problems == []

    def _problems(self, folder: Path, faults: list[Callable[["Attack"], None]]) -> list[str]:
        """Attack, and return what is wrong in the end."""
        own_identities = crc32(f"{self.name} {self.seed}".encode())  # of all attacks on the job
        traffic = Traffic(self.clicks, own_identities, minutes=4, start=self.start, ads=ADS, **self.shares)
        file = folder / f"attack-{self.seed}.jsonl"
        generate(traffic, file)
        expected = self.decided() + self.clicks
        topics = [topic for topic in self.job.topics.names if topic != self.job.topics.clicks]
        with Reader(self.job.connection, topics) as reader:
            sending = threading.Thread(
                target=send_lines,
                args=(file, self.job.topics.clicks, self.job.connection, self.rate),
                kwargs={"timeout": PATIENCE},
            )
            sending.start()
            with kept_alive(self.stack):
                self._await_decided(expected - self.clicks + 1)
                for fault in faults:
                    if sending.is_alive() or not self.recoveries:
                        self._suffer(fault)
                sending.join()
                self._await_decided(expected)
                end = traffic.start + traffic.span
                KafkaTopic(self.job.topics.clicks, self.job.connection).send(range(PARTITIONS), end + MINUTE)
                self._await(
                    lambda: end - MINUTE in published_windows(self.job.connection, self.job.topics.top), "the end"
                )
            await_committed(self.job.connection, self.job.topics)
        published, problems = recount_topics(self.job.connection, self.job.topics)
        missing = [] if published.terms["raw"] == expected else [f"{published.terms['raw']} of {expected} are booked."]
        return [*missing, *problems, *reader.problems()]

    def decided(self) -> int:
        """The raw clicks in the ledger."""
        return decided_clicks(self.job.connection, self.job.topics.ledger)

    def _suffer(self, fault: Callable[["Attack"], None]) -> None:
        """Let the fault happen; it is over when the job has completed a checkpoint after it."""
        fault(self)
        since, before = time.monotonic(), self._latest_checkpoint()
        self._await(lambda: self._latest_checkpoint() not in (None, before), "recovering")
        self.recoveries.append(round(time.monotonic() - since, 1))
        print(f"recovered in {self.recoveries[-1]} s")

    def _latest_checkpoint(self) -> str | None:
        return self.stack.cluster.latest_checkpoint(str(self.job.job_id))

    def _await_decided(self, clicks: int) -> None:
        self._await(lambda: self.decided() >= clicks, f"deciding {clicks} clicks")

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        """Wait; a job that a JobManager took with it is submitted again, from its latest checkpoint."""
        await_until(lambda: self._tended() and _holds(condition), f"{self.name}: {what}", PATIENCE)

    def _tended(self) -> bool:
        """Whether the cluster has the job; the broker may be away for a moment, and so may Flink."""
        try:
            if not self.stack.broker.alive() or not self.stack.cluster.taskmanager_ids():
                return False
            living = {job.job_id for job in self.stack.cluster.jobs() if job.status not in FINAL_STATES}
            if self.job.job_id not in living:
                self._resumed_from = self._latest_checkpoint() or self._resumed_from
                self.stack.cluster.await_running(self.job.submit(self._resumed_from))
        except LocalError:
            return False
        return True

    def _note(self, problems: list[str]) -> None:
        RESULTS.parent.mkdir(exist_ok=True)
        line = {"attack": self.name, "seed": self.seed, "recoveries": self.recoveries, "problems": problems[:5]}
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _holds(condition: Callable[[], bool]) -> bool:
    """Whether it holds; while Kafka is away, it does not."""
    try:
        return condition()
    except KafkaError:
        return False


def kill(target: str, moment: str) -> Callable[[Attack], None]:
    """Return the fault that kills a target with SIGKILL at a moment."""

    def fault(attack: Attack) -> None:
        await_moment(attack, moment)
        os.kill(victim(attack.stack, target), signal.SIGKILL)

    return fault


def stall(target: str, seconds: float) -> Callable[[Attack], None]:
    """Return the fault that stops a target with SIGSTOP, and lets it go on later."""

    def fault(attack: Attack) -> None:
        pid = victim(attack.stack, target)
        os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(seconds)
        os.kill(pid, signal.SIGCONT)

    return fault


def await_moment(attack: Attack, moment: str) -> None:
    """Return at the moment: by what is in the folder of the job's checkpoints, looked at every millisecond."""
    if moment == MOMENTS[0]:
        threading.Event().wait(random.Random(attack.seed).uniform(0.2, 2.0))
        return
    folder = attack.stack.cluster.home / "checkpoints" / str(attack.job.job_id)
    pattern = "chk-*" if moment == MOMENTS[1] else "chk-*/_metadata"
    known, deadline = set(folder.glob(pattern)), time.monotonic() + PATIENCE
    while not set(folder.glob(pattern)) - known:
        assert time.monotonic() < deadline, f"no checkpoint in {PATIENCE} s"
        time.sleep(0.001)
