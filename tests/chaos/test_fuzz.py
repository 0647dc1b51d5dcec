"""Row 8 of docs/reliability.md: a million values with bytes changed, and bombs, through the whole system."""

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from local.recount import recount_files
from local.replay import replay
from local.stack import Stack
from tests.builders import NOON
from tests.chaos.attack import workers
from tests.fuzz import fuzzed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]
VALUES = int(os.environ.get("TESTS_FUZZED") or 1_000_000)
MOST_MEMORY = 1_500_000_000


class Memory(threading.Thread):
    """Watches how much memory each Python worker has (bytes, resident)."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack, self.stopped, self.most = stack, threading.Event(), 0

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for worker in workers(self.stack):
                try:
                    self.most = max(self.most, worker.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue


def test_no_value_stops_the_job_or_fills_the_memory(stack: Stack, tmp_path: Path, seed: int) -> None:
    file, now = tmp_path / "fuzzed.jsonl", int(time.time() * 1000)
    with file.open("wb") as lines:
        lines.writelines(value + b"\n" for value in fuzzed(seed, VALUES, NOON))
    restarts: set[str] = set()
    memory = Memory(stack)
    memory.start()
    try:
        result = replay(file, tmp_path / "out", stack, 2, lambda doing, done: restarts.add(doing))
    finally:
        memory.stopped.set()
        memory.join()
    assert recount_files(file, tmp_path / "out", now) == []
    assert result.ledger["raw"] == VALUES
    assert "Job RESTARTING" not in restarts
    assert 0 < memory.most < MOST_MEMORY
