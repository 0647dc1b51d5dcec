"""A bounded run of the archive's job (`jobs/archive.py`): a topic as it is now, into Parquet files of one directory."""

import json
import shutil
from pathlib import Path

from local.bounded import Progress, run_to_end
from local.deployment import Deployment
from local.stack import ARCHIVE_JOB
from local.submission import package_jobs

OFFSETS = "_offsets.json"
"""Beside such an archive's files: by topic and partition the offset after the last record."""


def archive_topic(deployment: Deployment, ends: dict[int, int], target: Path, on_progress: Progress) -> None:
    """Write the records of the deployment's clicks to `target`, a new directory, with the offsets that must be there.

    `ends`: the offset after the last record, by partition. Raises LocalError when the job fails.
    """
    stack, topic = deployment.stack, deployment.topics.clicks
    work, python_files = target.with_name(f".{target.name}"), stack.home / f"{deployment.name}-archive.zip"
    package_jobs(python_files)
    arguments = [
        *("--bounded", "--deployment", deployment.name, "--parallelism", "1"),
        *("--bootstrap-servers", stack.broker.bootstrap_servers),
        *("--clicks-topic", topic, "--archive", work.absolute().as_uri()),
    ]
    try:
        run_to_end(
            stack.cluster,
            submit=lambda: stack.cluster.submit(ARCHIVE_JOB, arguments, python_files),
            begin_again=lambda: shutil.rmtree(work, ignore_errors=True),
            on_progress=on_progress,
        )
        _flatten(work, target)
        (target / OFFSETS).write_text(json.dumps({topic: ends}) + "\n", encoding="ascii")
    finally:
        python_files.unlink()


def _flatten(work: Path, target: Path) -> None:
    """Move the files out of the folders of their hours, which become part of their names."""
    target.mkdir()
    files = sorted(file for file in work.glob("hour=*/*") if file.name[0] not in "._") if work.exists() else []
    for number, file in enumerate(files):
        file.rename(target / f"{file.parent.name.removeprefix('hour=')}-{number}.parquet")
    shutil.rmtree(work, ignore_errors=True)
