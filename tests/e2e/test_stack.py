import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import cli
from local.job_client import FINAL_STATES
from local.processes import LocalError, await_until, free_port, port_in_use
from local.stack import HOME_VARIABLE, KAFKA_PORT_VARIABLE, REST_PORT_VARIABLE, TOPICS, Stack
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

HOLDER = """
import time
from local.stack import temporary_stack
with temporary_stack() as stack:
    stack.up()
    print(stack.home, flush=True)
    time.sleep(600)
"""


def processes_naming(path: Path) -> list[int]:
    """Processes with the path in their command line or environment, however detached."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(path) in word for word in [*process.cmdline(), *process.environ().values()]):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def product(stack: Stack) -> Iterator[Stack]:
    """The shared stack with the streaming job and the heartbeat, which end with the test."""
    stack.up()
    yield stack
    stack.heartbeat.stop()
    for job in stack.cluster.jobs():
        if job.status not in FINAL_STATES:
            stack.cluster.cancel(job.job_id)
    stack.broker.delete_topics(TOPICS.names)


def test_bringing_up_what_is_up_changes_nothing(product: Stack) -> None:
    before = product.status()
    product.up()
    assert product.status() == before
    assert {component.state for component in before if component.component != "archive"} == {"RUNNING"}


def test_a_killed_taskmanager_comes_back_alone(stack: Stack) -> None:
    jobmanager, killed = stack.cluster.jobmanager.pid, stack.cluster.taskmanager.pid
    os.kill(killed or 0, signal.SIGKILL)
    await_until(lambda: not stack.cluster.alive(), "Losing the TaskManager", PATIENCE)
    stack.cluster.start_taskmanager()
    assert stack.cluster.alive()
    assert stack.cluster.taskmanager.pid != killed
    assert stack.cluster.jobmanager.pid == jobmanager


def test_a_killed_broker_comes_back_with_its_topics(stack: Stack) -> None:
    stack.broker.create_topics({"survivor": 3})
    os.kill(stack.broker.daemon.pid or 0, signal.SIGKILL)
    await_until(lambda: not stack.broker.alive(), "Losing the broker", PATIENCE)
    stack.broker.start()
    assert stack.broker.partitions("survivor") == 3
    stack.broker.delete_topics(["survivor"])


def test_creating_topics_again_changes_nothing(stack: Stack) -> None:
    stack.broker.create_topics({"again": 2})
    stack.broker.create_topics({"again": 5})
    assert stack.broker.partitions("again") == 2
    stack.broker.delete_topics(["again"])


def test_a_job_that_fails_before_it_starts_is_reported_in_its_own_words(stack: Stack, tmp_path: Path) -> None:
    job, python_files = tmp_path / "broken.py", tmp_path / "none.zip"
    job.write_text("raise SystemExit('window: must be longer than nothing')")
    python_files.write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(LocalError, match="window: must be longer than nothing") as error:
        stack.cluster.submit(job, [], python_files)
    assert "\n" not in str(error.value)


@pytest.mark.long
def test_sigterm_leaves_no_process_port_or_file(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        home = Path(holder.stdout.readline().strip())
        listening = sorted(int(line) for line in ports_of(home))
        holder.send_signal(signal.SIGTERM)
        assert holder.wait(60) == 128 + signal.SIGTERM
    assert len(listening) >= 3  # Kafka, its controller, Flink's REST API and more
    assert [port for port in listening if port_in_use(port)] == []
    assert processes_naming(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def ports_of(home: Path) -> set[int]:
    """The ports that the processes of a stack listen on."""
    connections = [psutil.Process(pid).net_connections("tcp") for pid in processes_naming(home)]
    return {each.laddr.port for some in connections for each in some if each.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("variable", [KAFKA_PORT_VARIABLE, REST_PORT_VARIABLE])
def test_a_port_in_use_is_a_clear_error_and_nothing_is_started(tmp_path: Path, variable: str) -> None:
    ports = {KAFKA_PORT_VARIABLE: free_port(), REST_PORT_VARIABLE: free_port()}
    home = tmp_path / "home"
    with (
        socket.create_server(("127.0.0.1", ports[variable])),
        pytest.raises(LocalError, match=rf"Port {ports[variable]} is in use .* set {variable} to a free port"),
    ):
        Stack(home, ports[KAFKA_PORT_VARIABLE], ports[REST_PORT_VARIABLE]).start()
    assert not home.exists()


def test_a_missing_java_is_one_sentence_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(KAFKA_PORT_VARIABLE, str(free_port()))
    monkeypatch.setenv(REST_PORT_VARIABLE, str(free_port()))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["clickproof", "up"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "Install Java 17 or newer" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_a_home_with_other_files_is_never_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    stack = Stack(tmp_path, free_port(), free_port())
    with pytest.raises(LocalError, match="holds other files"):
        stack.start()
    stack.down()
    assert (tmp_path / "thesis.tex").exists()
