"""Running the reconciliation's job (`jobs/reconcile.py`) on a stack, and reading what it found."""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.files import RESULTS
from local.bounded import run_to_end
from local.stack import Stack
from local.submission import PROJECT, package_jobs

JOB = PROJECT / "jobs" / "reconcile.py"
_TYPES = {"STRING": pl.String, "INT": pl.Int32, "BIGINT": pl.Int64}

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Recount:
    """The job's results (`jobs.files.RESULTS`)."""

    coverage: pl.DataFrame
    gaps: pl.DataFrame
    late: pl.DataFrame
    cells: pl.DataFrame
    spread: pl.DataFrame


def recount(stack: Stack, arguments: list[str], work: Path, on_progress: Progress) -> Recount:
    """Run the job with the arguments (`jobs.reconcile_settings`), its results in a new directory below `work`.

    Raises LocalError when it fails. It survives the loss of any process that somebody starts again.
    """
    results, python_files = work / "results", work / "jobs.zip"
    package_jobs(python_files)
    every = ["--bootstrap-servers", stack.broker.bootstrap_servers, "--results", results.as_uri(), *arguments]
    run_to_end(
        stack.cluster,
        submit=lambda: stack.cluster.submit(JOB, every, python_files),
        begin_again=lambda: shutil.rmtree(results, ignore_errors=True),
        on_progress=lambda status, records: on_progress(f"Recounting: {status}", records),
    )
    return Recount(**{name: _read(results / name, columns) for name, columns in RESULTS.items()})


def work_directory(stack: Stack) -> Path:
    """Return a new directory of the stack for one run."""
    work = stack.home / f"recount-{uuid.uuid4().hex[:12]}"
    work.mkdir()
    return work


def _read(directory: Path, columns: dict[str, str]) -> pl.DataFrame:
    schema = pl.Schema({name: _TYPES[type_] for name, type_ in columns.items()})
    files = sorted(file for file in directory.glob("*") if file.name[0] not in "._")
    return pl.read_parquet(files).cast(schema) if files else pl.DataFrame(schema=schema)
