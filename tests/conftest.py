from collections.abc import Iterator

import pytest

from local.stack import Stack, temporary_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Broker and Flink cluster, shared by all tests: each brings topics of its own and ends its jobs."""
    with temporary_stack() as stack:
        yield stack
