from datetime import UTC, datetime

import pytest

from tests.builders import MINUTE, NOON, SECOND, raw
from tests.flink.conftest import record
from udfs.heartbeats import HEARTBEAT_KEY

pytestmark = pytest.mark.flink

OUT_OF_ORDERNESS = 5 * SECOND
LAST_MS = MINUTE - 1


def at(milliseconds: int, user: str = "user-1", **overrides: object) -> tuple:
    """A click some milliseconds after noon."""
    return record(raw(click_timestamp=NOON + milliseconds, user_id=user, **overrides))


ODD_ADS = ["\x1e,\x1f", "😀", '"\\', "a\nb", " ", "\u0000", "{}"]
POISON = [b"", b"\xff\x1e", b'{"click_timestamp": 1e999999999}', b"[" * 30_000, b" " * 1_000_000, None]
ABSURD_TIMES = ["9" * 400, "-" + "9" * 400, "1e400", str(2**63 - 1), str(-(2**63)), "253402300800000", "NaN", "[1]"]


@pytest.fixture(scope="module")
def minute(run):
    """A minute of clicks, in batches of four: three of ad-1, two of ad-2, one of each odd ad, and three duplicates."""
    plain = [at(1, "a"), at(1, "a"), at(2, "b"), at(1, "a"), at(2, "b"), at(3, "c")]
    others = [at(4, "a", ad_id="ad-2"), at(5, "b", ad_id="ad-2"), *(at(6, ad_id=ad) for ad in ODD_ADS)]
    return run([*plain, *others], batch=4, top_ads=3)


@pytest.fixture(scope="module")
def rejects(run):
    """Poison, then clicks of absurd times, all with a key, and one valid click."""
    absurd = [raw().replace(str(NOON).encode(), literal.encode()) for literal in ABSURD_TIMES]
    return run([*(record(value, key=b"k", time=NOON) for value in POISON + absurd), at(0)])


def test_duplicates_within_and_across_batches_are_counted_once(minute):
    assert minute.clicks["ad-1", NOON] == 3
    assert minute.terms == {NOON: (15, 12, 3, 0, 0)}


def test_ad_ids_of_any_characters_pass_unchanged(minute):
    assert {ad for ad, _ in minute.clicks} == {"ad-1", "ad-2", *ODD_ADS}


def test_a_count_says_that_it_comes_from_the_stream(minute):
    assert ("ad-1", NOON, NOON + MINUTE, 3, 0, "stream") in minute.counts


def test_the_top_ads_of_a_window_are_ranked_by_clicks_then_name(minute):
    assert sorted(minute.top_ads) == [
        (NOON, 1, NOON + MINUTE, "ad-1", 3),
        (NOON, 2, NOON + MINUTE, "ad-2", 2),
        (NOON, 3, NOON + MINUTE, min(ODD_ADS), 1),
    ]


def test_an_invalid_record_keeps_its_key_and_bytes_and_tells_its_reason(rejects):
    poison = rejects.invalid[: len(POISON)]
    assert [(key, value) for key, value, _ in poison] == [(b"k", value) for value in POISON]
    reasons = [headers["clickproof.reason"].decode() for *_, headers in poison]
    assert reasons == ["not_json", "not_json", "missing_field", "not_json", "too_large", "not_json"]


def test_invalid_records_are_booked_on_the_minute_of_their_own_timestamp(rejects):
    invalid = len(POISON) + len(ABSURD_TIMES)
    assert rejects.terms == {NOON: (invalid + 1, 1, 0, 0, invalid)}


def test_a_blocked_click_is_filtered_and_has_no_part_in_the_dedupe(run, tmp_path):
    blocklist = tmp_path / "blocklist.csv"
    blocklist.write_text("field,value\nip,10.66.0.0/16\n")
    blocked = at(0, click_id="c", ip="10.66.0.1")
    published = run([blocked, at(1, click_id="c"), at(2, click_id="c")], batch=3, blocklist=blocklist)
    assert published.terms == {NOON: (2, 1, 1, 0, 0), NOON + 2 * MINUTE: (1, 0, 0, 0, 1)}
    ((_, value, headers),) = published.invalid
    assert (value, headers["clickproof.reason"]) == (blocked[1], b"filtered")


def test_clicks_of_one_ad_are_summed_over_buckets_and_subtasks(run):
    clicks = [at(user, f"user-{user}", ad_id=f"ad-{user % 3}") for user in range(300)]
    published = run(clicks + clicks, batch=100, parallelism=2, buckets=16)
    assert published.clicks == {(f"ad-{n}", NOON): 100 for n in range(3)}
    assert published.terms == {NOON: (600, 300, 300, 0, 0)}


def test_identities_that_may_not_be_in_memory_are_found_in_the_state(run):
    clicks = [at(minute * MINUTE, f"user-{user}", click_id=str(user)) for minute in range(3) for user in range(40)]
    published = run(clicks, buckets=1, max_identities_in_memory=0)  # a slice for each click, so that they are merged
    assert published.clicks == {("ad-1", NOON): 40}
    assert published.terms == {NOON: (40, 40, 0, 0, 0)} | {NOON + n * MINUTE: (40, 0, 40, 0, 0) for n in (1, 2)}


LATE = record(raw(click_timestamp=NOON + 2, country="DE"), key=b"any \xff")


@pytest.fixture(scope="module")
def boundary(run):
    """The first minute is closed by the fourth click, not yet by the second."""
    closing = LAST_MS + OUT_OF_ORDERNESS
    return run([at(0, "a"), at(closing - 1, "b"), at(1, "c"), at(closing, "d"), LATE])


def test_a_click_is_late_from_the_millisecond_the_watermark_reaches_its_windows_last(boundary):
    assert boundary.clicks == {("ad-1", NOON): 2, ("ad-1", NOON + MINUTE): 2}
    assert boundary.terms[NOON] == (3, 2, 0, 1, 0)


def test_clicks_of_windows_that_are_closed_from_the_start_are_late(run):
    """The second minute's first millisecond is on time, the one before it is not."""
    closed_until = datetime.fromtimestamp((NOON + MINUTE) / 1000, UTC)
    published = run([at(LAST_MS, "a"), at(MINUTE, "b"), at(0, "c")], closed_until=closed_until)
    assert published.clicks == {("ad-1", NOON + MINUTE): 1}
    assert published.terms == {NOON: (2, 0, 0, 2, 0), NOON + MINUTE: (1, 1, 0, 0, 0)}


def test_a_late_record_keeps_its_key_and_bytes_and_tells_its_origin(boundary):
    ((key, value, headers),) = boundary.late
    assert (key, value) == LATE[:2]
    assert headers == {
        "clickproof.reason": b"late",
        "clickproof.topic": b"clicks",
        "clickproof.partition": b"0",
        "clickproof.offset": b"4",
        "clickproof.timestamp": str(LATE[2]).encode(),
    }


def test_a_watermark_that_jumps_over_several_windows_publishes_each_in_order(run):
    published = run([at(0), at(61 * SECOND), at(121 * SECOND)], parallelism=1)
    assert [start for _, start, *_ in published.counts] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_future_timestamp_is_invalid_and_moves_no_watermark(run):
    future = record(raw(click_timestamp=NOON + 7 * MINUTE + 790), time=NOON + 2 * MINUTE + 789)
    published = run([at(0, "a"), future, at(0, "b")])
    assert published.terms == {NOON: (2, 2, 0, 0, 0), NOON + 2 * MINUTE: (1, 0, 0, 0, 1)}
    assert published.late == []


def test_a_click_as_far_ahead_as_the_clock_skew_allows_moves_the_watermark(run):
    ahead = record(raw(click_timestamp=NOON + 7 * MINUTE + 789), time=NOON + 2 * MINUTE + 789)
    assert run([at(0, "a"), ahead, at(0, "b")]).terms[NOON] == (2, 1, 0, 1, 0)


def test_a_heartbeat_moves_the_watermark_and_is_no_click(run):
    heartbeat = record(None, key=HEARTBEAT_KEY, time=NOON + 2 * MINUTE)
    published = run([at(0, "a"), heartbeat, at(0, "b")])
    assert published.terms == {NOON: (2, 1, 0, 1, 0)}
    assert published.invalid == []


def test_a_click_id_is_counted_again_only_beyond_the_horizon(run):
    minutes = [0, 10, 11, 20, 22]
    clicks = [
        record(raw(click_id="c", click_timestamp=NOON + minute * MINUTE), time=NOON + minute * MINUTE)
        for minute in minutes
    ]
    counted = {(start - NOON) // MINUTE for (_, start) in run(clicks).clicks}
    assert counted == {0, 11, 22}
