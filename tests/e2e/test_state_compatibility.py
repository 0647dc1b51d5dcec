"""The savepoints of earlier releases, restored into today's code."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ingest.heartbeat import KafkaTopic
from ingest.producer import send_lines
from local.books import Cell, CountryCell
from local.generator import generate
from local.processes import await_until
from local.published import await_committed, published_windows, read_counts, recount_topics
from local.stack import PARTITIONS, Stack
from local.traffic import MINUTE, Traffic
from tests.patience import PATIENCE
from tests.savepoints import BEFORE, FIXTURES, await_decided, kept_deployment

pytestmark = pytest.mark.e2e

RELEASES = sorted(FIXTURES.glob("savepoint-*.zip"))
AFTER = Traffic(clicks=4_000, seed=7, minutes=4, start=BEFORE.start + MINUTE, ads=20)


def test_there_is_a_savepoint_of_a_release() -> None:
    assert RELEASES != []


@pytest.mark.long
@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("settings", [[], ["--dimensions", "country"]], ids=["as-it-was", "by-country"])
def test_a_savepoint_of_a_release_restores_and_ends_exact(
    release: Path, settings: list[str], stack: Stack, tmp_path: Path
) -> None:
    with zipfile.ZipFile(release) as fixture:
        fixture.extractall(tmp_path)
    sent, later = tmp_path / "sent.jsonl", tmp_path / "later.jsonl"
    generate(AFTER, later)
    later.write_bytes(sent.read_bytes() + later.read_bytes())  # each click of before once more: all are duplicates
    with kept_deployment(stack, *settings) as job:
        before = send_lines(sent, job.topics.clicks, job.connection)
        stack.cluster.await_running(job.submit((tmp_path / "savepoint").as_uri()))
        after = send_lines(later, job.topics.clicks, job.connection)
        end = AFTER.start + AFTER.span
        KafkaTopic(job.topics.clicks, job.connection).send(range(PARTITIONS), end + MINUTE)
        await_until(
            lambda: end - MINUTE in published_windows(job.connection, job.topics.top), "Publishing all", PATIENCE
        )
        await_decided(job, before + after)
        await_committed(job.connection, job.topics)
        published, problems = recount_topics(job.connection, job.topics._replace(country=None))
        by_country, _ = read_counts(job.connection, job.topics.country, "country") if settings else ({}, [])
    assert problems == []
    assert published.ledger[BEFORE.start]["duplicate"] >= before
    assert published.terms["raw"] == before + after
    # The window that was open at the savepoint has by country only what was counted since.
    since = {cell: clicks for cell, clicks in published.counts.items() if cell[0] > BEFORE.start}
    assert since == summed(by_country) if settings else by_country == {}


def summed(by_country: dict[CountryCell, int]) -> dict[Cell, int]:
    """Counts of the windows after the savepoint, over all countries."""
    sums: Counter[Cell] = Counter()
    for (start, ad_id, _), clicks in by_country.items():
        if start > BEFORE.start:
            sums[start, ad_id] += clicks
    return sums
