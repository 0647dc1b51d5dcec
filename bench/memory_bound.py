"""What a bound on the identities in memory costs: `python -m bench.memory_bound --clicks 1000000 --bounds 5000000,0`.

The streaming job over one topic, once with each `max_identities_in_memory`, every answer held against the recount. The
memory is the largest resident set of all Python workers together: most of it are their libraries and batches.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.contest import Contest, prepare
from bench.on_flink import FlinkSystem, clickproof
from bench.run import Run
from local.broker import Broker
from local.console import console, errors
from local.processes import exit_on_sigterm, free_port
from local.stack import JOB
from local.traffic import Traffic


@dataclass(frozen=True)
class Bounded:
    """The streaming job's arguments, with a bound."""

    most: int

    def __call__(self, contest: Contest, name: str, parallelism: int) -> list[str]:
        """Return them."""
        return [*clickproof(contest, name, parallelism), "--max-identities-in-memory", str(self.most)]


def main(
    clicks: Annotated[int, typer.Option(min=100_000)] = 1_000_000,
    bounds: Annotated[str, typer.Option(help="Identities per subtask, numbers with commas between them.")] = (
        "5000000,200000,50000"
    ),
    parallelism: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run the job with each bound, and show rate and memory."""
    table = Table("bound", "clicks/s", "CPU s/million", "Python workers, peak MB", "counts")
    with tempfile.TemporaryDirectory() as home, exit_on_sigterm():
        broker = Broker(Path(home) / "kafka", free_port())
        try:
            broker.start()
            errors.print(f"Generating {clicks:,} clicks")
            contest = prepare(Traffic(clicks, late=0, invalid=0, future=0), broker, Path(home))
            runs = {most: _run(most, contest, broker, Path(home), parallelism) for most in map(int, bounds.split(","))}
        finally:
            broker.stop()
    for most, run in runs.items():
        counts = ("exact" if run.exact else "WRONG") if run.finished else "not finished"
        cells = f"{run.clicks_per_s:,.0f}", f"{run.cpu_s_per_million:.1f}", f"{run.python_bytes / 1e6:,.0f}"
        table.add_row(f"{most:,}", *cells, counts)
    console.print(table)
    raise typer.Exit(0 if all(run.exact for run in runs.values()) else 1)


def _run(most: int, contest: Contest, broker: Broker, home: Path, parallelism: int) -> Run:
    errors.print(f"Bound {most:,}")
    return FlinkSystem(JOB, Bounded(most)).run(contest, broker, home, f"bound-{most}", parallelism)


if __name__ == "__main__":
    typer.run(main)
