"""Compiled code is kept by what it was compiled from: in any zip, and never beyond a change of it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local.submission import PROJECT

CONSTANT = "ADDED = {}"
FUNCTION = """
from udfs.compiled import kept
from udfs.constant import ADDED

@kept
def used(number):
    return number + ADDED
"""
PROGRAM = "from udfs.function import used; print(used(1), sum(used.stats.cache_hits.values()))"

READ_ONLY = """
from udfs.compiled import BySource
def refuse(locator):
    raise PermissionError
BySource.ensure_cache_path = refuse
"""
IN_A_WORKER = """
import builtins
from pyflink.fn_execution.beam.beam_sdk_worker_main import CustomPrint
builtins.print = CustomPrint(print).print
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_code_is_found_again_from_another_zip(tmp_path: Path, cache: Path) -> None:
    assert run(a_zip(tmp_path / "first"), cache) == "2 0"
    assert run(a_zip(tmp_path / "second"), cache) == "2 1"


def test_code_is_compiled_again_when_a_constant_of_it_has_changed(tmp_path: Path, cache: Path) -> None:
    assert run(a_zip(tmp_path / "first"), cache) == "2 0"
    assert run(a_zip(tmp_path / "second", adds=5), cache) == "6 0"


def test_kept_code_is_read_from_a_folder_that_cannot_be_written_to(tmp_path: Path, cache: Path) -> None:
    assert run(a_zip(tmp_path / "first"), cache, READ_ONLY) == "2 0"
    assert list(cache.glob("*/*")) == []
    assert run(a_zip(tmp_path / "first"), cache) == "2 0"
    assert run(a_zip(tmp_path / "second"), cache, READ_ONLY) == "2 1"


def test_a_worker_of_pyflink_can_use_it(tmp_path: Path, cache: Path) -> None:
    assert run(a_zip(tmp_path / "first"), cache, IN_A_WORKER) == "2 0"


def test_without_a_folder_each_process_compiles(tmp_path: Path) -> None:
    (tmp_path / "no-folder").touch()
    for _ in range(2):
        assert run(a_zip(tmp_path / "first"), tmp_path / "no-folder") == "2 0"


def a_zip(folder: Path, adds: int = 1) -> Path:
    """A job's packages, in a folder of their own."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "jobs.zip", "w") as archive:
        archive.write(PROJECT / "udfs" / "compiled.py", "udfs/compiled.py")
        archive.writestr("udfs/__init__.py", "")
        archive.writestr("udfs/constant.py", CONSTANT.format(adds))
        archive.writestr("udfs/function.py", FUNCTION)
    return folder / "jobs.zip"


def run(packages: Path, cache: Path, before: str = "") -> str:
    """Return what the program printed: the result, and how often kept code was found."""
    environment = os.environ | {"PYTHONPATH": str(packages), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-P", "-c", before + PROGRAM]
    done = subprocess.run(command, env=environment, cwd=packages.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
