"""What a cluster refuses before a job is submitted, and what its Python workers are told: no JVM is started."""

import errno
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local import cluster
from local.cluster import KEEP_MEMORY, Cluster
from local.processes import LocalError, free_port


def refused(home: Path) -> str:
    """The sentence a submission ends with; nothing was run, or there would be its log."""
    with pytest.raises(LocalError) as error:
        Cluster(home, free_port()).submit(Path("job.py"), [], Path("files.zip"))
    assert not (home / "logs").exists()
    return str(error.value)


def test_a_folder_that_takes_no_checkpoints_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    assert refused(tmp_path) == f"No checkpoint can be written to {tmp_path / 'checkpoints'}: File exists."


def test_a_disk_that_is_full_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, **options: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cluster.tempfile, "TemporaryFile", Full)
    assert refused(tmp_path) == f"No checkpoint can be written to {tmp_path / 'checkpoints'}: No space left on device."


def test_a_checkpoint_that_is_removed_while_the_latest_is_looked_for_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, glob = tmp_path / "checkpoints" / "abc", Path.glob
    (folder / "chk-2").mkdir(parents=True)
    (folder / "chk-2" / "_metadata").touch()
    removed = iter([folder / "chk-1" / "_metadata"])
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [*glob(path, pattern), *removed])
    assert Cluster(tmp_path, free_port()).latest_checkpoint("abc") == (folder / "chk-2").as_uri()


ALLOCATORS = ("glibc", "polars", "arrow")
BATCHES = """
import resource
import time
import numpy
import polars
import pyarrow

def page_faults(column):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    batch = [column() for _ in range(128)]  # 64 MB
    del batch
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

columns = [
    lambda: numpy.ones(2**16),
    lambda: polars.repeat(1, 2**16, eager=True),
    lambda: pyarrow.nulls(2**16, pyarrow.int64()),
]
for column in columns * 3:
    page_faults(column)
time.sleep(1)  # after 0.5 s Polars' allocator gives back what it does not use
print(*map(page_faults, columns))
"""


def page_faults(environment: Mapping[str, str]) -> list[int]:
    """Of one more batch by each allocator, after three and a pause, in a process with this environment."""
    every = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY} | environment
    answer = subprocess.run([sys.executable, "-c", BATCHES], env=every, capture_output=True, text=True, check=True)
    return [int(number) for number in answer.stdout.split()]


def test_the_memory_of_a_batch_is_kept_for_the_next_one() -> None:
    kept, given_back = page_faults(KEEP_MEMORY), page_faults({})
    few = [of_kept < of_given_back / 4 for of_kept, of_given_back in zip(kept, given_back, strict=True)]
    assert dict(zip(ALLOCATORS, few, strict=True)) == dict.fromkeys(ALLOCATORS, True), (kept, given_back)
