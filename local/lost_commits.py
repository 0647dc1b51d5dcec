"""Commits that were lost: Flink's Kafka sink only logs that a transaction had expired, or was fenced, before it.

The counts in it were never published, and no later checkpoint brings them: a reconciliation does.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from local.console import Json, console
from local.processes import LocalError
from local.stack import default_stack

# Of org.apache.flink.connector.kafka.sink.internal.KafkaCommitter in flink-sql-connector-kafka 5.0.0-2.2
_LOST = re.compile(
    r"^(?P<time>\S+ \S+) .*?(?:Unable to commit transaction \((?P<unable>.*?)\) because"
    r"|Transaction \((?P<failed>.*?)\) encountered error and data has been potentially lost)"
)
FOUND = 2
"""Exit code when a commit was lost."""


class LostCommit(NamedTuple):
    """When it was noticed, as the log says, and the transaction as the connector prints it."""

    time: str
    transaction: str


def lost_commits(log: Path) -> Iterator[LostCommit]:
    """Yield the lost commits in a TaskManager's log. Raises OSError."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _LOST.match(line):
                yield LostCommit(found["time"], found["unable"] or found["failed"])


def report_lost_commits(
    logs: Annotated[list[Path] | None, typer.Argument(help="TaskManagers' logs. Default: the local one's.")] = None,
    as_json: Json = False,
) -> None:
    """Look for commits that were lost: exit code 2 when there are any. A reconciliation repairs the counts."""
    lost = [each for log in logs or [default_stack().cluster.taskmanager.log_file] for each in _read(log)]
    if as_json:
        console.print_json(data=[each._asdict() for each in lost])
    else:
        for each in lost:
            console.print(f"{each.time}  {each.transaction}", soft_wrap=True, markup=False, highlight=False)
        console.print(f"{len(lost)} commits lost{': run clickproof reconcile --publish' if lost else ''}")
    if lost:
        raise typer.Exit(FOUND)


def _read(log: Path) -> list[LostCommit]:
    try:
        return list(lost_commits(log))
    except OSError as error:
        raise LocalError(f"Cannot read {log}: {error.strerror}.") from error
