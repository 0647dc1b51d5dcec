"""A bounded run of the archive's job (`jobs/archive.py`): a topic as it is now, into Parquet files."""

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from audit.archive_files import archive_files
from local.bounded import Progress, run_to_end
from local.stack import ARCHIVE_JOB, Stack
from local.submission import package_jobs

OFFSETS = "_offsets.json"
"""Beside an archive's files: by topic and partition the offset after the last record."""


def archive_topic(stack: Stack, topic: str, directory: Path, on_progress: Progress) -> None:
    """Write the topic's records to a new directory, in a folder for each hour. Raises LocalError when the job fails."""
    name = f"archive-{uuid.uuid4().hex[:12]}"
    python_files = package_jobs(stack.home / f"{name}.zip")
    arguments = [
        *("--bounded", "--deployment", name, "--parallelism", "1"),
        *("--bootstrap-servers", stack.broker.bootstrap_servers),
        *("--clicks-topic", topic, "--archive", directory.absolute().as_uri()),
    ]
    try:
        run_to_end(
            stack.cluster,
            submit=lambda: stack.cluster.submit(ARCHIVE_JOB, arguments, python_files),
            begin_again=lambda: shutil.rmtree(directory, ignore_errors=True),
            on_progress=lambda status, records: on_progress(f"Archive {status}", records),
        )
    finally:
        python_files.unlink()


def flatten(archive: Path, target: Path, ends: Mapping[str, Mapping[int, int]]) -> None:
    """Move an archive's files to a new directory, their hours in their names, with the offsets that must be there.

    `ends`: the offset after the last record, by topic and partition.
    """
    target.mkdir()
    for number, file in enumerate(archive_files(archive)):
        file.rename(target / f"{file.parent.name.removeprefix('hour=')}-{number}.parquet")
    (target / OFFSETS).write_text(json.dumps(ends) + "\n", encoding="ascii")
