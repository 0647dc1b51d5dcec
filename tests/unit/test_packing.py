import polars as pl
import pytest

from tests.builders import MINUTE, NOON, raw
from udfs.blocklist import Blocklist, Span
from udfs.clicks import judge
from udfs.packing import RECORD, Clicks, Packing, Rejects, buckets_of, pack, unpack

PACKING = Packing(window=MINUTE, max_clock_skew=5 * MINUTE, buckets=4)
ONE_BUCKET = Packing(window=MINUTE, max_clock_skew=5 * MINUTE, buckets=1)


def records(*values: bytes | None) -> pl.DataFrame:
    rows = [(b"key", value, 1, offset, NOON) for offset, value in enumerate(values)]
    return pl.DataFrame(rows, schema=RECORD, orient="row")


def parts(*values: bytes | None, packing: Packing = PACKING) -> list[Clicks | Rejects]:
    return [part for parcel in pack(records(*values), packing) for part in unpack(parcel.packed)]


def ads(parts: list[Clicks | Rejects]) -> list[tuple[int, list[str]]]:
    return [(part.window_start, part.ad_ids) for part in parts if isinstance(part, Clicks)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_000])
def test_a_batch_of_any_size_has_a_row_for_each_parcel(size):
    values = [raw(user_id=f"user-{n}") if n % 3 else b"not json" for n in range(size)]
    parcels = list(pack(records(*values), PACKING))
    packed = [part for parcel in parcels for part in unpack(parcel.packed)]
    assert len(parcels) <= size
    assert sum(len(ad_ids) for _, ad_ids in ads(packed)) == size - values.count(b"not json")
    assert sum(len(part.records) for part in packed if isinstance(part, Rejects)) == values.count(b"not json")


def test_invalid_records_are_packed_with_their_reasons():
    rejects, clicks = parts(raw(), b"{}", None, packing=ONE_BUCKET)
    assert rejects.records.rows() == [
        ("missing_field", b"key", b"{}", 1, 1, NOON),
        ("not_json", b"key", None, 1, 2, NOON),
    ]
    assert clicks.ad_ids == ["ad-1"]


def test_filtered_clicks_are_packed_with_the_invalid_records():
    packing = Packing(MINUTE, 5 * MINUTE, 1, Blocklist(countries={"ZZ": [Span(until=NOON + 1)]}))
    rejects, clicks = parts(raw(country="ZZ"), b"{}", raw(country="DE"), packing=packing)
    assert [row[0] for row in rejects.records.rows()] == ["filtered", "missing_field"]
    assert clicks.ad_ids == ["ad-1"]


def test_clicks_take_their_countries_along_only_when_they_are_packed_by_country():
    clicks = [raw(country="DE"), raw(user_id="2"), raw(user_id="3", country="FR", click_timestamp=NOON + MINUTE)]
    by_country = Packing(MINUTE, 5 * MINUTE, 1, by_country=True)
    assert [part.countries for part in parts(b"{}", *clicks, packing=by_country)[1:]] == [["DE", ""], ["FR"]]
    assert [part.countries for part in parts(b"{}", *clicks, packing=ONE_BUCKET)[1:]] == [None, None]


def test_a_filtered_click_is_packed_as_an_invalid_one_when_clicks_are_packed_by_country():
    packing = Packing(MINUTE, 5 * MINUTE, 1, Blocklist(countries={"ZZ": [Span(until=NOON + 1)]}), by_country=True)
    rejects, clicks = parts(raw(country="ZZ"), raw(country="DE"), packing=packing)
    assert rejects.records.rows() == [("filtered", b"key", raw(country="ZZ"), 1, 0, NOON)]
    assert clicks.countries == ["DE"]


def test_equal_identities_meet_in_one_bucket():
    assert ads(parts(*[raw(country=country) for country in ("DE", "FR", "IT")])) == [(NOON, ["ad-1"] * 3)]


def test_the_columnar_bucket_is_that_of_the_identity():
    values = [raw(user_id=f"user-{n}") for n in range(50)]
    found = {
        identity.tobytes(): parcel.bucket
        for parcel in pack(records(*values), PACKING)
        for part in unpack(parcel.packed)
        for identity in part.identities
    }
    assert found == {(i := judge(value, NOON).identity()): buckets_of(i, 4)[0] for value in values}


def test_clicks_are_parted_by_window():
    values = [raw(click_timestamp=NOON + n * MINUTE, user_id=str(n)) for n in (0, 2, 0, 2)]
    assert ads(parts(*values, packing=ONE_BUCKET)) == [(NOON, ["ad-1", "ad-1"]), (NOON + 2 * MINUTE, ["ad-1", "ad-1"])]


def test_a_window_with_many_clicks_has_parcels_of_its_own():
    many = [raw(click_timestamp=NOON + n % 2 * MINUTE, user_id=str(n)) for n in range(200)]
    few = [raw(click_timestamp=NOON - n * MINUTE, user_id="few") for n in (3, 2)]
    parcels = pack(records(*few, *many), ONE_BUCKET)
    assert [[(part.window_start, len(part.ad_ids)) for part in unpack(parcel.packed)] for parcel in parcels] == [
        [(NOON, 100)],
        [(NOON + MINUTE, 100)],
        [(NOON - 3 * MINUTE, 1), (NOON - 2 * MINUTE, 1)],
    ]


def test_an_identity_in_several_windows_keeps_the_order_it_came_in():
    values = [raw(click_timestamp=NOON + n * MINUTE, ad_id=f"ad-{n}", click_id="c-1") for n in (2, 0, 1)]
    assert [ad_ids for _, ad_ids in ads(parts(*values))] == [["ad-2"], ["ad-0"], ["ad-1"]]


@pytest.mark.parametrize("others", [1, 100])
def test_it_keeps_its_order_beside_clicks_that_came_before_it(others):
    windows = [NOON, NOON + MINUTE]
    other = [raw(ad_id="o", user_id=str(n), click_timestamp=window) for n in range(others) for window in windows]
    own = [raw(click_timestamp=NOON + n * MINUTE, ad_id=f"ad-{n}", click_id="c-1") for n in (1, 0)]
    assert ads(parts(*other, *own, packing=ONE_BUCKET)) == [
        (NOON, ["o"] * others),
        (NOON + MINUTE, [*["o"] * others, "ad-1"]),
        (NOON, ["ad-0"]),
    ]


def test_clicks_take_their_own_records_along():
    clicks = [raw(), raw(user_id="user-2"), raw(click_timestamp=NOON - MINUTE)]
    _, earlier, later = parts(b"not json", clicks[0], None, clicks[1], clicks[2], packing=ONE_BUCKET)
    assert list(earlier.records()) == [(b"key", clicks[2], 1, 4, NOON)]
    assert list(later.records()) == [(b"key", clicks[0], 1, 1, NOON), (b"key", clicks[1], 1, 3, NOON)]
