import polars as pl
import pytest

from tests.builders import MINUTE, NOON, raw
from udfs.clicks import judge
from udfs.packing import NO_BUCKET, RECORD, Packing, bucket_of, pack, unpack

PACKING = Packing(window=MINUTE, max_clock_skew=5 * MINUTE, buckets=4)


def records(*values: bytes | None) -> pl.DataFrame:
    rows = [(b"key", value, 1, offset, NOON) for offset, value in enumerate(values)]
    return pl.DataFrame(rows, schema=RECORD, orient="row")


def parts(packed: pl.DataFrame) -> list[tuple[int, list[str]]]:
    payloads = packed.filter(pl.col("bucket") != NO_BUCKET)["packed"]
    return [(part.window_start, part.ad_ids) for payload in payloads for part in unpack(payload)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_000])
def test_a_batch_of_any_size_has_room_for_its_buckets_and_rejects(size):
    values = [raw(user_id=f"user-{n}") if n % 3 else b"not json" for n in range(size)]
    packed = pack(records(*values), PACKING)
    assert len(packed) == size
    assert packed["reason"].drop_nulls().to_list() == ["not_json"] * values.count(b"not json")
    assert sum(len(ads) for _, ads in parts(packed)) == size - values.count(b"not json")


def test_an_invalid_record_has_its_reason_in_its_own_row():
    packed = pack(records(raw(), b"{}", None), PACKING)
    assert packed["reason"].to_list() == [None, "missing_field", "not_json"]


def test_equal_identities_meet_in_one_bucket():
    packed = pack(records(*[raw(country=country) for country in ("DE", "FR", "IT")]), PACKING)
    assert [ads for _, ads in parts(packed)] == [["ad-1"] * 3]


def test_the_columnar_bucket_is_that_of_the_identity():
    values = [raw(user_id=f"user-{n}") for n in range(50)]
    packed = pack(records(*values), PACKING).filter(pl.col("bucket") != NO_BUCKET)
    found = {i: bucket for bucket, payload, _ in packed.rows() for part in unpack(payload) for i in part.identities}
    assert found == {(i := judge(value, NOON).identity()): bucket_of(i, 4) for value in values}


def test_clicks_are_parted_by_window():
    values = [raw(click_timestamp=NOON + n * MINUTE, user_id=str(n)) for n in (0, 2, 0, 2)]
    assert parts(pack(records(*values), Packing(MINUTE, 5 * MINUTE, 1))) == [
        (NOON, ["ad-1", "ad-1"]),
        (NOON + 2 * MINUTE, ["ad-1", "ad-1"]),
    ]


def test_an_identity_in_several_windows_keeps_the_order_it_came_in():
    values = [raw(click_timestamp=NOON + n * MINUTE, ad_id=f"ad-{n}", click_id="c-1") for n in (2, 0, 1)]
    assert [ads for _, ads in parts(pack(records(*values), PACKING))] == [["ad-2"], ["ad-0"], ["ad-1"]]


def test_clicks_take_their_records_along():
    packed = pack(records(b"not json", raw(), None, raw(user_id="user-2")), Packing(MINUTE, 5 * MINUTE, 1))
    (part,) = unpack(packed["packed"].drop_nulls()[0])
    assert part.records.rows() == [(b"key", raw(), 1, 1, NOON), (b"key", raw(user_id="user-2"), 1, 3, NOON)]
