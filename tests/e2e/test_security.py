"""TLS and SCRAM to a real broker: who may is let in, who may not is told why, and no secret is to be seen anywhere."""

import copy
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ingest.producer import ProduceError, send_lines
from local.deployment import Deployment, deployment
from local.generator import generate
from local.processes import LocalError, await_until, free_port
from local.published import await_committed, decided_clicks, recount_topics
from local.stack import PARTITIONS, Stack
from local.traffic import Traffic
from tests.patience import PATIENCE
from tests.secure_broker import MECHANISM, USER, SecureBroker, an_authority

pytestmark = pytest.mark.e2e
CLICKS = 2_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    home = tmp_path_factory.mktemp("secure-kafka")
    broker = SecureBroker(home, free_port(), an_authority(home, "authority"), secrets.token_hex(16))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def secured(stack: Stack, broker: SecureBroker) -> Stack:
    """The shared cluster with this broker."""
    secured = copy.copy(stack)
    secured.broker = broker
    return secured


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    generate(Traffic(CLICKS), tmp_path / "clicks.jsonl")
    return tmp_path / "clicks.jsonl"


def settings(
    broker: SecureBroker, password_file: Path, password: str | None = None, ca: Path | None = None
) -> list[str]:
    password_file.write_text(password or broker.password)
    login = ["--sasl-mechanism", MECHANISM, "--sasl-username", USER, "--sasl-password-file", str(password_file)]
    return ["--security-protocol", "SASL_SSL", "--ssl-ca-file", str(ca or broker.authority), *login]


def refused(secured: Stack, options: list[str]) -> str:
    """The sentence a job with these options ends with; nothing of it is left on the cluster."""
    before = secured.cluster.jobs()
    with deployment(secured, "refused", 1, options) as job, pytest.raises(LocalError) as error:
        job.submit()
    assert secured.cluster.jobs() == before
    assert "\n" not in str(error.value)
    return str(error.value)


class CommandLines(threading.Thread):
    """Looks at every command line on the machine until it is stopped, and keeps those with a text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.found, self.stopped = text, set[str](), threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                line = " ".join(process.info["cmdline"] or ())
                self.found.update([line] if self.text in line else [])


def files_with(text: str, *folders: Path) -> list[Path]:
    """The log files that hold a text."""
    found = subprocess.run(
        ["grep", "-rlF", "--include=*.log", text, *map(str, folders)], capture_output=True, text=True
    )
    return [Path(line) for line in found.stdout.splitlines()]


def test_the_job_counts_over_tls_and_scram_and_shows_its_password_nowhere(
    secured: Stack, broker: SecureBroker, clicks: Path, tmp_path: Path
) -> None:
    looking = CommandLines(broker.password)
    looking.start()
    try:
        options = [*settings(broker, tmp_path / "password"), "--checkpoint-interval", "2 s"]
        with deployment(secured, "secured", PARTITIONS, options) as job:
            _count(job, clicks)
            shown = [str(secured.cluster._call(f"/jobs/{job.job_id}{page}")) for page in ("", "/config", "/plan")]
    finally:
        looking.stopped.set()
        looking.join()
    assert looking.found == set()
    assert files_with("password", secured.home, broker.home) != []  # they are read
    assert files_with(broker.password, secured.home, broker.home) == []
    assert not any(broker.password in page for page in shown)


def _count(job: Deployment, clicks: Path) -> None:
    job.stack.cluster.await_running(job.submit())
    send_lines(clicks, job.topics.clicks, job.connection)
    await_until(lambda: decided_clicks(job.connection, job.topics.ledger) == CLICKS, "Deciding the clicks", PATIENCE)
    await_committed(job.connection, job.topics)
    published, _ = recount_topics(job.connection, job.topics)  # the last windows are still open
    assert published.terms["raw"] == CLICKS


def test_a_wrong_password_is_one_sentence_and_nothing_is_started(
    secured: Stack, broker: SecureBroker, clicks: Path, tmp_path: Path
) -> None:
    said = refused(secured, settings(broker, tmp_path / "password", password="guessed"))
    assert f"sasl_password: {broker.bootstrap_servers} refused user {USER} or the password" in said
    with pytest.raises(ProduceError, match="refused the user or the password"):
        send_lines(clicks, "clicks", broker.connection | {"sasl_plain_password": "guessed"}, timeout=10)


def test_a_wrong_authority_is_one_sentence_and_nothing_is_started(
    secured: Stack, broker: SecureBroker, clicks: Path, tmp_path: Path
) -> None:
    stranger = an_authority(tmp_path, "stranger")
    said = refused(secured, settings(broker, tmp_path / "password", ca=stranger))
    assert f"ssl_ca_file: no authority in {stranger} signed the certificate of {broker.bootstrap_servers}" in said
    with pytest.raises(ProduceError, match="TLS"):
        send_lines(clicks, "clicks", broker.connection | {"ssl_cafile": str(stranger)}, timeout=10)


def test_a_topic_that_is_missing_is_one_sentence_and_nothing_is_started(stack: Stack) -> None:
    said = refused(stack, ["--ledger-topic", "nowhere"])
    assert f"ledger_topic: there is no topic nowhere at {stack.broker.bootstrap_servers}" in said


def test_nothing_of_the_system_listens_beyond_the_machine(stack: Stack, metrics_ports: tuple[int, int]) -> None:
    """But for Flink's reporter to Prometheus, and its channels to Python workers: it has no option for either."""
    stack.cluster.start_taskmanager()  # without Python workers
    for server in [stack.broker.daemon, stack.cluster.jobmanager, stack.cluster.taskmanager]:
        connections = psutil.Process(server.pid).net_connections("tcp")
        listening = [each.laddr for each in connections if each.status == "LISTEN"]
        own = {address.ip.removeprefix("::ffff:") for address in listening if address.port not in metrics_ports}
        assert own == {"127.0.0.1"}


def test_the_web_page_of_flink_takes_no_jobs(stack: Stack) -> None:
    with pytest.raises(LocalError, match="Flink refused POST /jars/upload"):
        stack.cluster._call("/jars/upload", "POST", {})


def test_only_the_owner_may_read_clicks_and_checkpoints(stack: Stack) -> None:
    for folder in (stack.home, stack.cluster.home / "checkpoints", stack.cluster.home / "savepoints"):
        assert folder.stat().st_mode & 0o077 == 0, folder
