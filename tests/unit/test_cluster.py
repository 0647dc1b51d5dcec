"""What a cluster refuses before a job is submitted: no JVM is started."""

import errno
import os
from pathlib import Path

import pytest

from local import cluster
from local.cluster import Cluster
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
