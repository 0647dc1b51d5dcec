"""A store that an older program made becomes one of this program, with all that is known of its windows."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest

from serving.answers import Answers
from serving.models import Windows
from serving.schema import MIGRATIONS
from serving.settings import ServingError, load
from serving.store import Store
from serving.windows import Span
from tests.served import a_count, a_ledger_row, a_ranking, minute

SUM_UP_OF_FIRST = """
    INSERT INTO sums SELECT window_start, sum(clicks), countIf(clicks > 0), now64(6) FROM counts FINAL
    WHERE window_start < {end:UInt64} GROUP BY window_start"""


@pytest.fixture
def first(store_folder: Path) -> Path:
    """A store of the first version: minute 0 closed, minute 1 not added up, minute 2 not ranked."""
    rows = {
        "counts": [a_count(number, ad, 5) for number in range(3) for ad in "ab"],
        "ledger": [a_ledger_row(0, counted=1), *(a_ledger_row(number, counted=10, late=2) for number in range(3))],
        "top": [a_ranking(0), a_ranking(1), a_ranking(2) | {"rank": 2}],
    }
    with (
        patch("serving.store.MIGRATIONS", MIGRATIONS[:1]),
        patch("serving.store.EXPIRING", {}),
        opened(store_folder) as store,
    ):
        for table, some in rows.items():
            store.insert(table, b"\n".join(json.dumps(row).encode() for row in some))
        store.run(SUM_UP_OF_FIRST, {"end": minute(1)})
    return store_folder


def opened(folder: Path) -> Store:
    return Store(load({"store": str(folder)}, environment={}))


def windows(store: Store) -> Windows:
    return Answers(store).windows(Span(minute(0), minute(3)))


def test_windows_stand_as_they_did(first: Path) -> None:
    with opened(first) as store:
        found = windows(store)
    assert [window.verdict for window in found.windows] == ["closed", "provisional", "provisional"]
    assert [(window.clicks, window.ads) for window in found.windows] == [(10, 2), (0, 0), (0, 0)]
    assert [(window.ledger.counted, window.ledger.late) for window in found.windows] == [(10, 2)] * 3
    assert found.published_until == minute(3)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_a_migration_that_was_interrupted_is_done_again(first: Path, version: int) -> None:
    broken = (*MIGRATIONS[:version], (*MIGRATIONS[version], "SELECT nothing"))
    with patch("serving.store.MIGRATIONS", broken), pytest.raises(ServingError):
        opened(first)
    with opened(first) as store:
        assert [window.verdict for window in windows(store).windows] == ["closed", "provisional", "provisional"]
        assert store.ask("SELECT max(version) FROM migrations", {}) == [(len(MIGRATIONS),)]
