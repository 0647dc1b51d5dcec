"""Counts by country on a MiniCluster, held against a recount that shares no code with the job."""

import json
import random
from collections import Counter

import pytest

from tests.builders import MINUTE, NOON, SECOND, raw
from tests.flink.conftest import Published, record

pytestmark = pytest.mark.flink

COUNTRIES = [..., None, "", "DE", "FR", "de", "😀", '"\\,\x1e']
SEED = 4


def some_clicks(count: int) -> list[tuple]:
    """Clicks of four minutes, a third of them copies of earlier ones with a country of their own, some long over."""
    chance = random.Random(SEED)
    sent: list[dict[str, object]] = []
    for n in range(count):
        if sent and chance.random() < 0.3:
            click = sent[-chance.randint(1, min(60, len(sent)))]
        else:
            time = NOON + n * 4 * MINUTE // count - (3 * MINUTE if chance.random() < 0.05 else 0)
            click = {"ad_id": f"ad-{chance.randrange(4)}", "user_id": f"user-{n}", "click_timestamp": time}
            click |= {"click_id": f"click-{n}"} if chance.random() < 0.3 else {}
        sent.append(click)
    return [record(raw(**click, country=chance.choice(COUNTRIES)), time=NOON + 5 * MINUTE) for click in sent]


def recounted(records: list[tuple], late: set[int]) -> Counter[tuple[str, int, str]]:
    """Clicks by (ad, window's start, country) of the first copy; which records were late is believed."""
    counts: Counter[tuple[str, int, str]] = Counter()
    seen = set()
    for offset, (_, value, _) in enumerate(records):
        click = json.loads(value)
        names = ("click_id",) if "click_id" in click else ("click_timestamp", "user_id", "ad_id", "ip")
        identity = tuple(click[name] for name in names)
        if offset not in late and identity not in seen:
            seen.add(identity)
            minute = click["click_timestamp"] // 60_000 * 60_000
            counts[click["ad_id"], minute, click.get("country") or ""] += 1
    return counts


def summed(published: Published) -> dict[tuple[str, int], int]:
    """The counts by country, summed over the countries."""
    sums: Counter[tuple[str, int]] = Counter()
    for ad, _, start, _, clicks, *_ in published.counts_by_country:
        sums[ad, start] += clicks
    return dict(sums)


@pytest.fixture(scope="module")
def records() -> list[tuple]:
    return some_clicks(600)


@pytest.fixture(scope="module")
def published(run, records) -> Published:
    return run(records, batch=7, buckets=4, dimensions=["country"])


def test_every_count_by_country_is_that_of_the_recount_and_published_once(published, records):
    late = {int(headers["clickproof.offset"]) for *_, headers in published.late}
    found = [((ad, start, country), clicks) for ad, country, start, _, clicks, *_ in published.counts_by_country]
    assert dict(found) == recounted(records, late)
    assert len(found) == len(dict(found)) > 50


def test_over_the_countries_the_counts_of_an_ad_add_up_to_its_count(published):
    assert summed(published) == published.clicks
    raw_clicks, counted, duplicate, late, _ = (sum(terms) for terms in zip(*published.terms.values(), strict=True))
    assert sum(published.clicks.values()) == counted
    assert min(duplicate, late) > 20
    assert raw_clicks == 600


def test_counts_of_all_subtasks_add_up(run, records):
    published = run(records, batch=50, parallelism=2, buckets=16, dimensions=["country"])
    assert len(published.counts) > 10
    assert summed(published) == published.clicks


def test_a_count_by_country_is_published_like_a_count(run):
    clicks = [record(raw(country="DE")), record(raw(country="FR")), record(raw(user_id="2", country="FR"))]
    published = run([*clicks, record(raw(click_timestamp=NOON + MINUTE + 5 * SECOND))], dimensions=["country"])
    assert sorted(published.counts_by_country)[-2:] == [
        ("ad-1", "DE", NOON, NOON + MINUTE, 1, 0, "stream"),
        ("ad-1", "FR", NOON, NOON + MINUTE, 1, 0, "stream"),
    ]
