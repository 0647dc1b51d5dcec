"""All systems that `make bench` measures, by the name of their rows."""

from pathlib import Path
from typing import Protocol

from bench.contest import Contest
from bench.on_flink import FLINK
from bench.on_processes import PROCESSES
from bench.run import Run
from local.broker import Broker


class System(Protocol):
    """Counts the clicks of a contest."""

    def run(self, contest: Contest, broker: Broker, home: Path, name: str, parallelism: int) -> Run:
        """Count them; `name` is of this run alone."""
        ...


SYSTEMS: dict[str, System] = {**FLINK, **PROCESSES}
