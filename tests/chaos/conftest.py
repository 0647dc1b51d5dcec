import time
from collections.abc import Iterator

import pytest

from local.deployment import Deployment, deployment
from local.stack import PARTITIONS, Stack
from local.traffic import MINUTE
from tests.chaos.attack import SETTINGS
from tests.seeds import chosen_seeds

NOW = time.time_ns() // 1_000_000 // MINUTE * MINUTE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a seed each of those that are wanted; its name shows it."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", chosen_seeds())


@pytest.fixture(scope="module")
def job(stack: Stack) -> Iterator[Deployment]:
    """A job that all attacks of a module share: its watermark only rises."""
    with deployment(stack, "chaos", PARTITIONS, SETTINGS) as job:
        stack.cluster.await_running(job.submit())
        yield job


@pytest.fixture(scope="module")
def starts() -> Iterator[int]:
    """Times at which an attack's clicks may begin, each after the one before."""
    return iter(range(NOW - 4 * 24 * 60 * MINUTE, NOW, 8 * MINUTE))
