"""What a bound on the identities in memory costs: `python -m bench.memory_bound --clicks 1000000 --bounds 5000000,0`.

The streaming job over one topic, once with each `max_identities_in_memory`, every answer held against the recount. The
memory is the largest resident set of all Python workers together: most of it are their libraries and batches.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench.contest import Contest, opened
from bench.on_flink import FlinkSystem, clickproof
from bench.results import verdict
from bench.run import Run
from local.broker import Broker
from local.console import console, errors
from local.stack import JOB


def main(
    clicks: Annotated[int, typer.Option(min=100_000)] = 1_000_000,
    bounds: Annotated[str, typer.Option(help="Identities per subtask, numbers with commas between them.")] = (
        "5000000,200000,50000"
    ),
    parallelism: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Run the job with each bound, and show rate and memory."""
    table = Table("bound", "clicks/s", "CPU s/million", "Python workers, peak MB", "counts")
    with opened(clicks) as (contest, broker, home):
        runs = {most: _run(most, contest, broker, home, parallelism) for most in map(int, bounds.split(","))}
    for most, run in runs.items():
        cells = f"{run.clicks_per_s:,.0f}", f"{run.cpu_s_per_million:.1f}", f"{run.python_bytes / 1e6:,.0f}"
        table.add_row(f"{most:,}", *cells, verdict(run.exact, run.finished))
    console.print(table)
    raise typer.Exit(0 if all(run.exact for run in runs.values()) else 1)


def _run(most: int, contest: Contest, broker: Broker, home: Path, parallelism: int) -> Run:
    errors.print(f"Bound {most:,}")
    bounded = partial(clickproof, more=["--max-identities-in-memory", str(most)])
    return FlinkSystem(JOB, bounded).run(contest, broker, home, f"bound-{most}", parallelism)


if __name__ == "__main__":
    typer.run(main)
