"""A bounded run ends, whatever fails meanwhile, and counts every click once."""

from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from ingest.producer import send_lines
from local.deployment import deployment
from local.generator import generate
from local.keeper import kept_alive
from local.published import await_committed, recount_topics
from local.replay import SETTINGS
from local.stack import PARTITIONS, Stack
from local.traffic import Traffic
from tests.seeds import chosen_seed

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_a_run_whose_checkpoint_fails_is_begun_again_and_ends(stack: Stack, tmp_path: Path) -> None:
    generate(Traffic(200_000, chosen_seed()), tmp_path / "clicks.jsonl")
    with (
        kept_alive(stack),
        deployment(stack, "bounded", PARTITIONS, [*SETTINGS, "--checkpoint-interval", "1 s"]) as job,
    ):
        send_lines(tmp_path / "clicks.jsonl", job.topics.clicks, job.connection)
        broken: list[Path] = []

        def break_after_a_checkpoint(status: str, records: int) -> None:
            if not broken and stack.cluster.completed_checkpoints(str(job.job_id)):
                broken.append(stack.cluster.home / "checkpoints" / str(job.job_id))
                replace_by_a_file(broken[0], tmp_path)

        job.run_bounded(break_after_a_checkpoint)
        broken[0].unlink()
        await_committed(job.connection, job.topics)
        published, problems = recount_topics(job.connection, job.topics)
    assert job.attempt == 2
    assert problems == []
    assert published.terms["raw"] == 200_000


def test_clicks_of_ten_thousand_bytes_are_counted_without_a_restart(stack: Stack, tmp_path: Path) -> None:
    generate(Traffic(100_000, chosen_seed(), padding=10_000), tmp_path / "clicks.jsonl")
    with kept_alive(stack), deployment(stack, "large", PARTITIONS, SETTINGS) as job:
        send_lines(tmp_path / "clicks.jsonl", job.topics.clicks, job.connection)
        job.run_bounded(lambda status, records: None)
        await_committed(job.connection, job.topics)
        published, problems = recount_topics(job.connection, job.topics)
        failures = stack.cluster.job_exceptions(str(job.job_id))
    assert failures == []
    assert problems == []
    assert published.terms["raw"] == 100_000


def replace_by_a_file(directory: Path, aside: Path) -> None:
    """Leave a file where Flink needs a directory; it may be writing there, and making it anew, meanwhile."""
    for number in count():
        directory.rename(aside / f"{directory.name}-{number}")
        with suppress(FileExistsError):
            directory.touch(exist_ok=False)
            return
