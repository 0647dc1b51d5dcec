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


PACKING = """
import resource
import polars as pl
import pyarrow as pa
from tests.builders import NOON, raw
from udfs.packing import RECORD, Packing, pack
clicks = [raw(click_id=str(number)) for number in range(25_000)]
for batch in range(36):
    if batch == 24:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    values = pa.array(clicks, pa.binary()).to_pandas().tolist()
    columns = {"key": None, "value": values, "partition": 0, "offset": 0, "timestamp": NOON}
    for parcel in pack(pl.DataFrame(columns, RECORD, strict=False), Packing(60_000, 300_000, 16)):
        pa.array([parcel.packed], pa.binary())
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(environment: Mapping[str, str]) -> int:
    """Of twelve batches, after twenty-four others, in a process with this environment."""
    every = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY} | environment
    answer = subprocess.run([sys.executable, "-c", PACKING], env=every, capture_output=True, text=True, check=True)
    return int(answer.stdout)


def test_the_memory_of_a_batch_is_kept_for_the_next_one() -> None:
    assert page_faults(KEEP_MEMORY) < page_faults({}) / 4
