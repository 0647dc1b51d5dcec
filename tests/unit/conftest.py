import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.settings import load
from serving.store import Store

IN_MEMORY = Path("/dev/shm")  # where a store need not wait for the disk, which it does after each insert


@pytest.fixture
def store_folder() -> Iterator[Path]:
    """A temporary folder for a store."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Store]:
    """An embedded store, which no other tests may meet: a process can hold one at a time."""
    with (
        tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder,
        Store(load({"store": folder}, environment={})) as store,
    ):
        yield store


@pytest.fixture
def store(embedded: Store) -> Store:
    """The store, empty."""
    embedded.clear()
    return embedded
