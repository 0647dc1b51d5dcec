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


def test_duplicates_within_and_across_batches_are_counted_once(run):
    published = run([at(1, "a"), at(1, "a"), at(2, "b"), at(1, "a"), at(2, "b"), at(3, "c")], batch=4)
    assert published.clicks == {("ad-1", NOON): 3}
    assert published.terms == {NOON: (6, 3, 3, 0, 0)}


def test_clicks_of_one_ad_are_summed_over_buckets_and_subtasks(run):
    clicks = [at(user, f"user-{user}", ad_id=f"ad-{user % 3}") for user in range(300)]
    published = run(clicks + clicks, batch=100, parallelism=2, buckets=16)
    assert published.clicks == {(f"ad-{n}", NOON): 100 for n in range(3)}
    assert published.terms == {NOON: (600, 300, 300, 0, 0)}


def test_a_click_is_late_from_the_millisecond_the_watermark_reaches_its_windows_last(run):
    closing = LAST_MS + OUT_OF_ORDERNESS
    published = run([at(0, "a"), at(closing - 1, "b"), at(1, "c"), at(closing, "d"), at(2, "e")])
    assert published.clicks == {("ad-1", NOON): 2, ("ad-1", NOON + MINUTE): 2}
    assert published.terms[NOON] == (3, 2, 0, 1, 0)
    assert [value for _, value, _ in published.late] == [at(2, "e")[1]]


def test_a_late_record_keeps_its_key_and_bytes_and_tells_its_origin(run):
    late = record(raw(click_timestamp=NOON, country="DE"), key=b"any \xff")
    ((key, value, headers),) = run([at(5 * MINUTE), late]).late
    assert (key, value) == late[:2]
    assert headers == {
        "clickproof.reason": b"late",
        "clickproof.topic": b"clicks",
        "clickproof.partition": b"0",
        "clickproof.offset": b"1",
        "clickproof.timestamp": str(late[2]).encode(),
    }


def test_a_watermark_that_jumps_over_several_windows_publishes_each_in_order(run):
    published = run([at(0), at(61 * SECOND), at(121 * SECOND)], parallelism=1)
    assert [start for _, start, *_ in published.counts] == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]


def test_a_future_timestamp_is_invalid_and_moves_no_watermark(run):
    future = record(raw(click_timestamp=NOON + 7 * MINUTE + 1), time=NOON + 2 * MINUTE)
    published = run([at(0, "a"), future, at(0, "b")])
    assert published.terms == {NOON: (2, 2, 0, 0, 0), NOON + 2 * MINUTE: (1, 0, 0, 0, 1)}
    assert published.late == []


def test_a_click_as_far_ahead_as_the_clock_skew_allows_moves_the_watermark(run):
    ahead = record(raw(click_timestamp=NOON + 7 * MINUTE), time=NOON + 2 * MINUTE)
    assert run([at(0, "a"), ahead, at(0, "b")]).terms[NOON] == (2, 1, 0, 1, 0)


def test_a_heartbeat_moves_the_watermark_and_is_no_click(run):
    heartbeat = record(None, key=HEARTBEAT_KEY, time=NOON + 2 * MINUTE)
    published = run([at(0, "a"), heartbeat, at(0, "b")])
    assert published.terms == {NOON: (2, 1, 0, 1, 0)}
    assert published.invalid == []


def test_an_invalid_record_keeps_its_bytes_and_is_booked_on_its_own_minute(run):
    poison = [b"", b"\xff\x1e", b'{"click_timestamp": 1e999999999}', b"[" * 30_000, b" " * 1_000_000, None]
    published = run([record(value, key=b"k", time=NOON) for value in poison] + [at(0)])
    assert sorted(published.invalid, key=lambda row: int(row[2]["clickproof.offset"]))
    assert [(key, value) for key, value, _ in published.invalid] == [(b"k", value) for value in poison]
    reasons = [headers["clickproof.reason"].decode() for *_, headers in published.invalid]
    assert reasons == ["not_json", "not_json", "missing_field", "not_json", "too_large", "not_json"]
    assert published.terms == {NOON: (7, 1, 0, 0, 6)}


def test_absurd_timestamps_never_stop_the_job(run):
    literals = ["9" * 400, "-" + "9" * 400, "1e400", str(2**63 - 1), str(-(2**63)), "253402300800000", "NaN", "[1]"]
    values = [raw().replace(str(NOON).encode(), literal.encode()) for literal in literals]
    published = run([record(value, time=NOON) for value in values] + [at(0)])
    assert published.terms == {NOON: (9, 1, 0, 0, 8)}


def test_a_click_id_is_counted_again_only_beyond_the_horizon(run):
    minutes = [0, 10, 11, 20, 22]
    clicks = [
        record(raw(click_id="c", click_timestamp=NOON + minute * MINUTE), time=NOON + minute * MINUTE)
        for minute in minutes
    ]
    counted = {(start - NOON) // MINUTE for (_, start) in run(clicks).clicks}
    assert counted == {0, 11, 22}


def test_the_top_ads_of_a_window_are_ranked_by_clicks_then_name(run):
    clicks = [at(n, f"user-{n}", ad_id=ad) for n, ad in enumerate(["c", "a", "b", "b", "c", "d"])]
    published = run(clicks, top_ads=3)
    assert sorted(published.top_ads) == [
        (NOON, 1, NOON + MINUTE, "b", 2),
        (NOON, 2, NOON + MINUTE, "c", 2),
        (NOON, 3, NOON + MINUTE, "a", 1),
    ]


def test_a_count_says_that_it_comes_from_the_stream(run):
    assert run([at(0)]).counts == [("ad-1", NOON, NOON + MINUTE, 1, 0, "stream")]


def test_ad_ids_of_any_characters_pass_unchanged(run):
    ads = ["\x1e,\x1f", "😀", '"\\', "a\nb", " ", "\u0000", "{}"]
    published = run([at(n, f"user-{n}", ad_id=ad) for n, ad in enumerate(ads)], batch=10)
    assert {ad for ad, _ in published.clicks} == set(ads)
