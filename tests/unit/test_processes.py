import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.processes import Daemon, LocalError, await_until, free_port, port_in_use
from tests.patience import PATIENCE

FOR_EVER = 1e6  # seconds: a test that waited for them would be ended

PARENT_OF_A_CHILD_DEAF_TO_SIGTERM = """
import subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", deaf])
time.sleep(60)
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon("sleeper", tmp_path / "sleeper.pid", tmp_path / "sleeper.log")
    yield daemon
    daemon.stop(timeout=1)


def sleep(daemon: Daemon) -> psutil.Process:
    daemon.start([sys.executable, "-c", "import time; time.sleep(60)"])
    return psutil.Process(daemon.pid)


def start_parent(daemon: Daemon) -> list[psutil.Process]:
    """A process and its child, which ignores SIGTERM."""
    daemon.start([sys.executable, "-c", PARENT_OF_A_CHILD_DEAF_TO_SIGTERM])
    await_until(lambda: "deaf" in daemon.log_tail(), "starting the child", PATIENCE, daemon)
    parent = psutil.Process(daemon.pid)
    return [parent, *parent.children()]


def running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_started_process_is_found_again_by_its_pid_file(daemon: Daemon) -> None:
    process = sleep(daemon)
    again = Daemon(daemon.name, daemon.pid_file, daemon.log_file)
    assert again.alive()
    assert again.pid == process.pid


def test_a_stopped_process_is_gone_and_so_is_its_pid_file(daemon: Daemon) -> None:
    process = sleep(daemon)
    daemon.stop()
    assert not running(process)
    assert not daemon.pid_file.exists()


def test_stopping_twice_does_nothing(daemon: Daemon) -> None:
    sleep(daemon)
    daemon.stop()
    daemon.stop()
    assert not daemon.alive()


def test_children_deaf_to_sigterm_are_stopped_too(daemon: Daemon) -> None:
    family = start_parent(daemon)
    daemon.stop(timeout=1)
    assert [process for process in family if running(process)] == []


def test_children_of_a_killed_process_are_stopped_too(daemon: Daemon) -> None:
    parent, child = start_parent(daemon)
    parent.kill()
    await_until(lambda: not daemon.alive(), "dying", PATIENCE)
    assert running(child)
    daemon.stop(timeout=1)
    assert not running(child)


def test_a_suspended_process_is_stopped_at_once(daemon: Daemon) -> None:
    process = sleep(daemon)
    process.suspend()
    daemon.stop(timeout=FOR_EVER)
    assert not running(process)


def test_a_stranger_that_inherited_the_process_id_is_left_alone(daemon: Daemon) -> None:
    stranger = sleep(daemon)
    gone = Daemon("gone", daemon.pid_file.with_name("gone.pid"), daemon.log_file)
    gone.pid_file.write_text(f"{stranger.pid} 0.5\n")
    assert not gone.alive()
    gone.stop()
    assert running(stranger)


def test_a_process_that_dies_while_awaited_is_reported_at_once_with_its_last_words(daemon: Daemon) -> None:
    daemon.start([sys.executable, "-c", "raise SystemExit('no disk left')"])
    with pytest.raises(LocalError, match="no disk left"):
        await_until(lambda: False, "Starting the sleeper", FOR_EVER, daemon)


def test_awaiting_what_never_comes_ends_with_the_timeout() -> None:
    with pytest.raises(LocalError, match=r"Waiting for rain: not within 0 seconds"):
        await_until(lambda: False, "Waiting for rain", 0)


def test_a_free_port_is_not_in_use_until_something_listens() -> None:
    port = free_port()
    assert not port_in_use(port)
    with socket.create_server(("127.0.0.1", port)):
        assert port_in_use(port)


def test_a_suspended_process_still_gets_to_say_goodbye(daemon: Daemon) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit()));"
    daemon.start([sys.executable, "-c", code + "print('ready', flush=True); time.sleep(60)"])
    await_until(lambda: "ready" in daemon.log_tail(), "starting", PATIENCE, daemon)
    os.kill(daemon.pid or 0, signal.SIGSTOP)
    daemon.stop()
    assert daemon.log_tail(1) == "bye"
