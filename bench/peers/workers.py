"""The processes of a peer: how many clicks each has read, and the memory they may take."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

MEMORY = 4 * 1024**3  # bytes of all processes together, as a TaskManager has them
WIDTH = 12

Task = dict[str, Any]


class Progress:
    """A number in a file, written over in one piece, so that whoever reads it meanwhile finds the old or the new."""

    def __init__(self, file: Path) -> None:
        """`file` is made; each process of a peer has its own."""
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)

    def tell(self, records: int) -> None:
        """Say that so many clicks were read by now."""
        os.pwrite(self._file, f"{records:{WIDTH}}".encode(), 0)


def run_workers(work: Callable[[Task, int, Progress], None], task: Task) -> None:
    """Call `work(task, number, progress)` in as many processes as the task wants; exit 1 when one of them fails."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(work, task, number)) for number in range(task["parallelism"])]
    for worker in workers:
        worker.start()
    running = list(workers)
    while running:
        wait([worker.sentinel for worker in running])
        running = [worker for worker in running if worker.exitcode is None]
        if any(worker.exitcode for worker in workers):
            for worker in running:
                worker.terminate()
            sys.exit(1)


def _work(work: Callable[[Task, int, Progress], None], task: Task, number: int) -> None:
    share = MEMORY // task["parallelism"]
    resource.setrlimit(resource.RLIMIT_DATA, (share, share))
    work(task, number, Progress(Path(task["home"]) / f"records-{number}"))
