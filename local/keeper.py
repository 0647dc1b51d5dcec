"""Keeps a stack's processes alive: what is killed is started again; what was stopped on purpose stays so."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from local.processes import Daemon, LocalError
from local.stack import Stack

INTERVAL = 1.0


@contextmanager
def kept_alive(stack: Stack) -> Iterator[None]:
    """While in the context, start broker, JobManager and TaskManager again whenever one was killed.

    Jobs that a JobManager took with it are their owners' to submit again.
    """
    left = threading.Event()
    keeper = threading.Thread(target=_keep, args=(stack, left), name="keeper")
    keeper.start()
    try:
        yield
    finally:
        left.set()
        keeper.join()


def _keep(stack: Stack, left: threading.Event) -> None:
    """An attempt that fails is made again: the killed process may not have let go of its port yet."""
    while not left.wait(INTERVAL):
        try:
            _revive(stack)
        except LocalError:
            continue


def _revive(stack: Stack) -> None:
    """Start what was killed; return when it is healthy again."""
    if _was_killed(stack.broker.daemon):
        stack.broker.start()
    if _was_killed(stack.cluster.jobmanager) or _was_killed(stack.cluster.taskmanager):
        stack.cluster.start()


def _was_killed(daemon: Daemon) -> bool:
    """Whether it died with its pid file in place, which stopping removes."""
    return daemon.pid_file.exists() and not daemon.alive()
