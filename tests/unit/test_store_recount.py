"""The answers about random rows, against a recount in plain Python."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import ranking
from serving.answers import Answers
from serving.loading import SUM_UP
from serving.models import VERDICTS
from serving.store import Store
from serving.windows import Span
from tests.served import a_count, a_late_click, a_ledger_row, a_ranking, a_reconciliation, minute, put

TERMS = ("counted", "duplicate", "late", "invalid")
NUMBERS = st.integers(0, 4)  # minutes
FEW = st.integers(0, 3)
ADS = st.sampled_from(["a", "b", "Z", "é", "a/b", "'", "\\", '"', "%2F", "..", "😀", "a b"])
COUNTS = st.lists(st.tuples(NUMBERS, ADS, st.integers(0, 50), FEW), max_size=40)
NEAR = st.lists(st.tuples(NUMBERS, ADS, st.integers(0, 9), FEW), max_size=40)
LATE = st.lists(st.tuples(NUMBERS, ADS, st.integers(0, 9), st.integers(1, 9)), max_size=25)
# Minute, how far the ledger is from what was counted and from its balance, late clicks, version.
LEDGER = st.lists(st.tuples(NUMBERS, *[st.sampled_from([0, 0, 0, 1])] * 2, FEW, FEW), max_size=12)
RANKED = st.lists(st.tuples(NUMBERS, st.integers(1, 2)), max_size=8)
# First minute, minutes, version, when it was published, unexplained.
RECONCILED = st.lists(
    st.tuples(NUMBERS, FEW, st.integers(1, 99), st.integers(1, 9), FEW), max_size=3, unique_by=lambda each: each[2]
)
SPANS = st.builds(lambda first, length: Span(minute(first), minute(first + length)), NUMBERS, st.integers(1, 5))
thoroughly = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@thoroughly
@given(rows=COUNTS, late=LATE, some=SPANS, n=st.integers(1, 5))
def test_counts_equal_a_recount(store: Store, rows: list[Any], late: list[Any], some: Span, n: int) -> None:
    store.clear()
    put_in_parts(store, "counts", [a_count(*row) for row in rows])
    put_in_parts(store, "late", [a_late_click(*row) for row in late])
    answers, model = Answers(store), recount(rows, some.windows)
    totals = by_ad(model)
    ranked = sorted((-clicks, ad.encode()) for ad, clicks in totals.items() if clicks)[:n]
    assert [(-ad.clicks, ad.ad_id.encode()) for ad in answers.top(n, some).ads] == ranked
    for ad in {row[1] for row in [*rows, *late]} | {"none"}:
        found = answers.clicks(ad, some)
        known = Counter(start for start, name, _ in known_late(late, some) if name == ad)
        assert (found.clicks, found.late) == (totals[ad], known.total())
        assert [(each.clicks, each.late) for each in found.windows] == [
            (model.get((start, ad), 0), known[start]) for start in some.windows
        ]


@thoroughly
@given(rows=COUNTS, unsummed=COUNTS, booked=LEDGER, ranked=RANKED, reconciled=RECONCILED, wanted=st.integers(0, 4))
def test_windows_stand_as_a_recount_says(
    store: Store, rows: Any, unsummed: Any, booked: Any, ranked: Any, reconciled: Any, wanted: int
) -> None:
    store.clear()
    put_in_parts(store, "counts", [a_count(*row) for row in rows])
    sums = summed(rows)
    ledger = {}
    for number, off, unbalanced, late, version in booked:
        terms = {"counted": sums[number][0] + off, "duplicate": 2, "late": late, "invalid": 1}
        row = a_ledger_row(number, **terms, raw=sum(terms.values()) + unbalanced) | {"version": version}
        put(store, "ledger", [row])
        if version >= ledger.get(number, row)["version"]:
            ledger[number] = row
    put(store, "top", [a_ranking(number) | {"rank": rank} for number, rank in ranked])
    put(store, "reconciliations", as_reconciliations(reconciled))
    store.insert("counts", lines([a_count(*row) for row in unsummed]))
    found = Answers(store).windows(Span(minute(0), minute(wanted + 1)))
    newest = max((number for number, _ in ranked), default=None)
    verdicts = []
    for number, window in enumerate(found.windows):
        row = ledger.get(number, a_ledger_row(number))
        balanced = row["raw"] == sum(row[term] for term in TERMS)
        passed = (number, 1) in ranked or (row["counted"] == 0 and newest is not None and number < newest)
        holds = passed and balanced and row["counted"] == sums[number][0] and number not in {one[0] for one in unsummed}
        covering = covers(reconciled, number)
        verdicts.append("reconciled" if covering else "closed" if holds else "provisional")
        assert (window.clicks, window.ads) == sums[number]
        assert window.ledger.model_dump() == {term: row[term] for term in ("raw", *TERMS)}
        assert (window.balanced, window.verdict) == (balanced, verdicts[-1])
        assert (window.reconciliation and window.reconciliation.version) == (covering and covering[2])
    assert found.verdict == min(verdicts, key=VERDICTS.index)
    assert found.late == sum(row["late"] for number, row in ledger.items() if number <= wanted)
    told = {covering for number in range(wanted + 1) if (covering := covers(reconciled, number))}
    assert found.unexplained == sum(each[4] for each in told)
    assert found.published_until == (None if newest is None else minute(newest + 1))


@thoroughly
@given(rows=NEAR, late=LATE, reconciled=RECONCILED, some=SPANS, n=st.integers(1, 3), spare=st.sampled_from([0, 0, 100]))
def test_late_clicks_could_change_the_list_as_a_recount_says(
    store: Store, rows: list[Any], late: list[Any], reconciled: list[Any], some: Span, n: int, spare: int
) -> None:
    store.clear()
    put_in_parts(store, "counts", [a_count(*row) for row in rows])
    put_in_parts(store, "late", [a_late_click(*row) for row in late])
    put(store, "reconciliations", as_reconciliations(reconciled))
    totals = by_ad(recount(rows, some.windows))
    places = sorted((-clicks, ad.encode()) for ad, clicks in totals.items() if clicks)[:n]
    judged = {minute(number): each[3] for number in range(20) if (each := covers(reconciled, number))}
    still_open = Counter(ad for start, ad, published in known_late(late, some) if published > judged.get(start, 0))
    outside = {ad: more for ad, more in still_open.items() if ad.encode() not in {name for _, name in places}}
    last = places[-1] if len(places) == n else (0, b"")
    with patch.object(ranking, "SPARE", spare):
        found = Answers(store).top(n, some)
    assert [(-ad.clicks, ad.ad_id.encode()) for ad in found.ads] == places
    assert found.late_could_change_cut is any((-totals[ad] - more, ad.encode()) < last for ad, more in outside.items())


def put_in_parts(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows in two steps, so that what replaces and what is replaced can be in different parts."""
    for some in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        store.insert(table, lines(some))
    store.run(SUM_UP)


def recount(rows: Iterable[Any], starts: Iterable[int]) -> dict[tuple[int, str], int]:
    """Of each window and ad, the count of the highest version, of equal ones the last."""
    newest: dict[tuple[int, str], tuple[int, int]] = {}
    for number, ad, clicks, version in rows:
        cell = (minute(number), ad)
        if version >= newest.get(cell, (0, 0))[0]:
            newest[cell] = (version, clicks)
    return {cell: clicks for cell, (_, clicks) in newest.items() if cell[0] in starts}


def by_ad(counts: dict[tuple[int, str], int]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (_, ad), clicks in counts.items():
        totals[ad] += clicks
    return totals


def summed(rows: list[Any]) -> defaultdict[int, tuple[int, int]]:
    """The clicks of each minute, and its ads that have some."""
    sums: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for number in range(5):
        counts = recount(rows, [minute(number)]).values()
        sums[number] = sum(counts), sum(clicks > 0 for clicks in counts)
    return sums


def known_late(late: list[Any], some: Span) -> list[tuple[int, str, int]]:
    """Late clicks in the span by window and ad, each origin once, as it came last, and when that was published."""
    newest = {(minute(number), ad, offset): published for number, ad, offset, published in late}
    return [(start, ad, published) for (start, ad, _), published in newest.items() if start in some.windows]


def as_reconciliations(reconciled: list[Any]) -> list[dict[str, Any]]:
    return [
        a_reconciliation(first, first + more, version, published=published, unexplained=unexplained)
        for first, more, version, published, unexplained in reconciled
    ]


def covers(reconciled: list[Any], number: int) -> Any:
    """The newest reconciliation that covers a minute, if any."""
    found = [each for each in reconciled if each[0] <= number <= each[0] + each[1]]
    return max(found, key=lambda each: each[2:4], default=None)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)
