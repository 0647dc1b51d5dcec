"""What a checkpoint costs and how long a recovery takes, by the size of the state: `python -m bench.recovery`.

One streaming job, whose horizon is so long that it forgets nothing, is given ever more unique clicks. At each size,
when a checkpoint holds them all, its TaskManager is killed with SIGKILL and started again: the recovery is the time
until the next checkpoint has completed. In the end every count is held against the recount.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import psutil
import typer
from rich.table import Table

from bench.results import RESULTS, write
from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.console import console, errors
from local.deployment import Deployment, deployment
from local.generator import generate
from local.job_client import Checkpoint
from local.keeper import kept_alive
from local.processes import LocalError, await_until
from local.published import await_committed, decided_clicks, published_windows, recount_topics
from local.stack import PARTITIONS, temporary_stack
from local.traffic import MINUTE, START, Traffic

PATIENCE = 600.0
MINUTES = 5  # of event time, for each size
FORGETS_NOTHING = ["--dedupe-horizon", "24 h"]


def main(
    identities: Annotated[str, typer.Option(help="Sizes of the state, ascending, with commas between them.")] = (
        "100000,1000000,3000000"
    ),
    out: Annotated[Path, typer.Option(help="Directory of recovery.json.")] = RESULTS,
) -> None:
    """Measure at each size, show the table, and write recovery.json."""
    sizes = [int(size) for size in identities.split(",")]
    with temporary_stack() as stack, deployment(stack, "recovery", PARTITIONS, FORGETS_NOTHING) as job:
        stack.cluster.await_running(job.submit())
        with kept_alive(stack):
            rows = [_measure(job, number, size) for number, size in enumerate(sizes)]
        problems = _recount(job, len(sizes))
    write(rows, out / "recovery.json")
    table = Table(*rows[0], title="A TaskManager killed, by the identities in its state")
    for row in rows:
        table.add_row(*(f"{cell:,}" for cell in row.values()))
    console.print(table)
    console.print("Every count is that of the recount." if not problems else "\n".join(problems))
    raise typer.Exit(1 if problems else 0)


def _measure(job: Deployment, number: int, identities: int) -> dict[str, float]:
    """Bring the state to its size, kill, and return the figures."""
    decided = decided_clicks(job.connection, job.topics.ledger)
    errors.print(f"{identities:,} identities")
    _send(job, number, identities - decided)
    _await(lambda: decided_clicks(job.connection, job.topics.ledger) >= identities, "Deciding the clicks")
    whole = _next_checkpoint(job)
    python_bytes = sum(each.memory_info().rss for each in _workers(job))
    os.kill(_taskmanager(job), signal.SIGKILL)
    killed = monotonic()
    _next_checkpoint(job)
    return {
        "identities": identities,
        "state_mb": round(whole.state_bytes / 1e6, 1),
        "bytes_each": round(whole.state_bytes / identities, 1),
        "checkpoint_s": round(whole.seconds, 2),
        "python_mb": round(python_bytes / 1e6),
        "recovery_s": round(monotonic() - killed, 1),
    }


def _send(job: Deployment, number: int, clicks: int) -> None:
    file = job.stack.home / "clicks.jsonl"
    none: dict[str, Any] = dict.fromkeys(("duplicates", "late", "invalid", "future"), 0)
    generate(Traffic(clicks, number, minutes=MINUTES, start=START + number * MINUTES * MINUTE, **none), file)
    send_lines(file, job.topics.clicks, job.connection)
    file.unlink()


def _recount(job: Deployment, sizes: int) -> list[str]:
    """Close the last window, and return what is wrong with the counts."""
    end = START + sizes * MINUTES * MINUTE
    KafkaTopic(job.topics.clicks, job.connection).send(range(PARTITIONS), end + MINUTE)
    _await(lambda: end - MINUTE in published_windows(job.connection, job.topics.top), "Publishing the last window")
    await_committed(job.connection, job.topics)
    return recount_topics(job.connection, job.topics)[1]


def _next_checkpoint(job: Deployment) -> Checkpoint:
    """Return the next checkpoint that completes."""
    client, job_id = job.stack.cluster, str(job.job_id)
    known, found = client.checkpoint_statistics(job_id), list[Checkpoint]()

    def completed() -> bool:
        try:
            last = client.checkpoint_statistics(job_id)
        except LocalError:  # a JobManager that has its hands full does not answer in time
            return False
        if last is not None and last != known:
            found.append(last)
        return bool(found)

    _await(completed, "A checkpoint")
    return found[0]


def _workers(job: Deployment) -> list[psutil.Process]:
    children = psutil.Process(_taskmanager(job)).children(recursive=True)
    return [each for each in children if each.name().startswith("python")]


def _taskmanager(job: Deployment) -> int:
    pid = job.stack.cluster.taskmanager.pid
    if pid is None:
        raise LocalError("The TaskManager does not run.")
    return pid


def _await(condition: Callable[[], bool], what: str) -> None:
    await_until(condition, what, PATIENCE)


if __name__ == "__main__":
    typer.run(main)
