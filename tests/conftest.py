import os
from collections.abc import Generator, Iterator

import pytest

from local.processes import free_port
from local.stack import Stack, temporary_stack
from tests.diagnosis import diagnosis
from tests.seeds import SEED, chosen_seed

# The Java processes of a test end before code compiled with more care would pay.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


def pytest_configure() -> None:
    """Give all processes of a run one seed: each must find the same tests."""
    os.environ[SEED] = str(chosen_seed())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a test that fails on a stack what the stack was doing."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    stack = fixtures.get("stack") or getattr(fixtures.get("job"), "stack", None)
    if report.when == "call" and report.failed and stack is not None:
        report.sections.append(("The stack", diagnosis(stack)))
    return report


@pytest.fixture(scope="session")
def metrics_ports() -> tuple[int, int]:
    """Where the shared stack's managers report to Prometheus."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def stack(metrics_ports: tuple[int, int]) -> Iterator[Stack]:
    """Broker and Flink cluster, shared by all tests: each brings topics of its own and ends its jobs."""
    with temporary_stack(metrics_ports=",".join(map(str, metrics_ports))) as stack:
        yield stack
