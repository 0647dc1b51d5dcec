"""A bounded run ends, whatever fails meanwhile, and counts every click once."""

import shutil
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
                shutil.rmtree(broken[0])
                broken[0].touch()  # a file, where a directory for the next checkpoint should be

        job.run_bounded(break_after_a_checkpoint)
        broken[0].unlink()
        await_committed(job.connection, job.topics)
        published, problems = recount_topics(job.connection, job.topics)
    assert job.attempt == 2
    assert problems == []
    assert published.terms["raw"] == 200_000
