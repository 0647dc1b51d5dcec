from collections.abc import Iterator

import pytest

from local.processes import free_port
from local.stack import Stack, temporary_stack


@pytest.fixture(scope="session")
def metrics_ports() -> tuple[int, int]:
    """Where the shared stack's managers report to Prometheus."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def stack(metrics_ports: tuple[int, int]) -> Iterator[Stack]:
    """Broker and Flink cluster, shared by all tests: each brings topics of its own and ends its jobs."""
    with temporary_stack(metrics_ports=",".join(map(str, metrics_ports))) as stack:
        yield stack
