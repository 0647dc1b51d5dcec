"""Processes of the local stack: started detached, watched while they start, stopped with all their children."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

LOOPBACK = "127.0.0.1"
PRIVATE = 0o700
"""Mode of the directories: clicks, and the state made of them, hold addresses of people."""
# Popen objects are kept: one that is thrown away warns that its process still runs, which here it is meant to do.
_STARTED: list[subprocess.Popen[bytes]] = []
_GIVEN_PORTS: set[int] = set()


class LocalError(Exception):
    """Something the user can mend: one sentence that says what to do."""


@dataclass(frozen=True)
class Daemon:
    """A detached process that outlives its starter and is found again by its pid file.

    It leads a session of its own. Whatever it starts belongs to that session, so children are found even when
    their parent was killed.
    """

    name: str
    pid_file: Path
    log_file: Path

    def start(self, command: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        """Start the command, its output appended to the log file."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(os.environ if env is None else env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _STARTED.append(process)
        started = _started(psutil.Process(process.pid))
        self.pid_file.write_text(f"{process.pid} {started}\n", encoding="ascii")

    @property
    def pid(self) -> int | None:
        """The process id while the process runs, else None."""
        pid, started = self._recorded()
        try:
            process = psutil.Process(pid)
            runs = _started(process) == started and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, ValueError):
            return None
        return pid if runs else None

    def alive(self) -> bool:
        """Whether the process runs; a stopped (SIGSTOP) one counts as running."""
        return self.pid is not None

    def stop(self, timeout: float = 20) -> None:
        """Stop the process and all its children: politely first, after `timeout` seconds for good."""
        for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
            members = self._session()
            _signal_all(members, number)
            _await_end(members, patience)
        self.pid_file.unlink(missing_ok=True)

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of the log."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return "(no log)"

    def _recorded(self) -> tuple[int, float]:
        try:
            pid, started = self.pid_file.read_text(encoding="ascii").split()
        except (FileNotFoundError, ValueError):
            return -1, 0.0
        return int(pid), float(started)

    def _session(self) -> list[psutil.Process]:
        """The living processes of the session; none when its number, the leader's pid, has gone to a stranger."""
        leader, started = self._recorded()
        members = [process for process in psutil.process_iter() if _session_of(process) == leader]
        if any(process.pid == leader and _started(process) != started for process in members):
            return []
        return [process for process in members if _lives(process)]


def _started(process: psutil.Process) -> float:
    """When the process was started, in seconds since the system was: the time of day may be set anew meanwhile."""
    return round(process.create_time() - psutil.boot_time(), 2)


def _session_of(process: psutil.Process) -> int | None:
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(process.pid)
    return None


def _lives(process: psutil.Process) -> bool:
    """Whether any of its threads does: the last to end of a killed process holds its ports until then."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    return False


def _await_end(processes: list[psutil.Process], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while any(map(_lives, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for started in _STARTED:
        started.poll()


def _signal_all(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a stopped process would not act on the signal


def await_until(condition: Callable[[], bool], what: str, timeout: float, process: Daemon | None = None) -> None:
    """Poll `condition` until it holds.

    Raises LocalError when it does not hold within `timeout` seconds, and at once when `process` has died.
    """
    deadline = time.monotonic() + timeout
    log = f"; the log {process.log_file} ends with:\n" if process else ""
    while not condition():
        if process and not process.alive():
            raise LocalError(f"{what}: {process.name} stopped{log}{process.log_tail()}")
        if time.monotonic() > deadline:
            raise LocalError(f"{what}: not within {timeout:.0f} seconds{log}{process.log_tail() if process else ''}")
        time.sleep(0.2)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack of calls, as SIGINT does; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def free_port() -> int:
    """A TCP port on the loopback interface that nothing listens on; never one that this process was given before."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    if port in _GIVEN_PORTS:
        return free_port()
    _GIVEN_PORTS.add(port)
    return port


def port_in_use(port: int) -> bool:
    """Whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
        return False
