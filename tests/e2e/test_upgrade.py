"""A job that goes on with other code or settings, on a real cluster, without losing or repeating a click."""

import zipfile
from pathlib import Path

import pytest

from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.deployment import Deployment, deployment
from local.generator import generate
from local.processes import LocalError, await_until
from local.published import await_committed, decided_clicks, published_windows, recount_topics
from local.stack import JOB, PARTITIONS, Stack
from local.stack_job import Release, StackJob
from local.traffic import MINUTE, Traffic
from local.upgrade import OnStep, rescale, upgrade
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.deploy]

SETTINGS = ["--checkpoint-interval", "2 s", "--idle-timeout", "6 s"]
TRAFFIC = Traffic(clicks=9_000, seed=9, minutes=4, ads=50)
BROKEN = """
def _break(self, context):
    raise RuntimeError("this release is broken")

DedupeClicks.open = _break
"""


class Breaking(StackJob):
    """A job whose code in the project fails when it opens its operator."""

    def packaged(self, settings: list[str]) -> Release:
        release = super().packaged(settings)
        with zipfile.ZipFile(release.packages) as packages:
            files = {name: packages.read(name) for name in packages.namelist()}
        with zipfile.ZipFile(release.packages, "w") as packages:
            for name, content in files.items():
                packages.writestr(name, content + (BROKEN.encode() if name == "udfs/dedupe.py" else b""))
        return release


def send(topics: Deployment, lines: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    send_lines(file, topics.topics.clicks, topics.connection)


def await_decided(topics: Deployment, clicks: int) -> None:
    ledger = topics.topics.ledger
    await_until(lambda: decided_clicks(topics.connection, ledger) == clicks, f"Deciding {clicks} clicks", PATIENCE)


def test_a_job_with_a_savepoint_taken_rescaled_and_back_from_a_broken_release_counts_each_click_once(
    stack: Stack, tmp_path: Path
) -> None:
    generate(TRAFFIC, tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_bytes().split(b"\n")[:-1]
    with deployment(stack, "upgrade", PARTITIONS, SETTINGS) as topics:
        connection = ["--bootstrap-servers", stack.broker.bootstrap_servers]
        arguments = ["--deployment", topics.name, *connection, *topics.topics.arguments(), *SETTINGS]
        known = ("streaming job", JOB, tmp_path / "job.json", stack.cluster, lambda: arguments)

        def sending(lines: list[bytes]) -> OnStep:
            """Send the lines while nothing runs."""
            left = [lines]
            return lambda step: send(topics, left.pop(), tmp_path) if step.startswith("Submitting") and left else None

        StackJob(*known).start()
        send(topics, lines[:3_000], tmp_path)
        await_decided(topics, 3_000)
        savepoint = stack.cluster.take_savepoint(StackJob(*known).living(), tmp_path / "savepoints")
        assert (Path(savepoint.removeprefix("file:")) / "_metadata").is_file()
        rescale(StackJob(*known), 1, sending(lines[3_000:6_000]))
        assert stack.cluster.parallelism(StackJob(*known).living()) == 1
        await_decided(topics, 6_000)
        with pytest.raises(LocalError, match=r"runs as before, because going on failed: .*this release is broken"):
            upgrade(Breaking(*known), sending(lines[6_000:]))
        await_decided(topics, 9_000)
        KafkaTopic(topics.topics.clicks, topics.connection).send(range(PARTITIONS), TRAFFIC.start + 5 * MINUTE)
        last = TRAFFIC.start + 3 * MINUTE
        await_until(lambda: last in published_windows(topics.connection, topics.topics.top), "Publishing", PATIENCE)
        await_committed(topics.connection, topics.topics)
        published, problems = recount_topics(topics.connection, topics.topics)
    assert problems == []
    assert published.terms["raw"] == len(lines)
    assert published.twice == []
