"""What the counts tell Prometheus, over a store of known windows."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from serving.answers import Answers
from serving.store import Store, StoreError
from serving.window_metrics import WindowMetrics
from tests.served import (
    a_count,
    a_ledger_row,
    a_ranking,
    a_reconciliation,
    minute,
    put,
    put_closed_windows,
)


def figures(store: Any) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(WindowMetrics(Answers(store)))
    return {metric.name.removeprefix("clickproof_"): metric.samples[0].value for metric in registry.collect()}


@pytest.fixture
def ten_minutes(store: Store) -> Store:
    put_closed_windows(store, range(10), {"a": 2})
    return store


def test_windows_that_add_up_raise_no_alarm(ten_minutes: Store) -> None:
    assert figures(ten_minutes) == {
        "store_up": 1,
        "windows_unbalanced": 0,
        "windows_unproven": 0,
        "newest_window_timestamp_seconds": minute(10) / 1000,
    }


def test_a_window_that_does_not_balance_is_told(ten_minutes: Store) -> None:
    put(ten_minutes, "ledger", [a_ledger_row(3, raw=9, counted=2, duplicate=2, late=1)])
    assert figures(ten_minutes)["windows_unbalanced"] == 1


def test_counts_that_were_never_committed_leave_their_window_unproven(ten_minutes: Store) -> None:
    put(ten_minutes, "ledger", [a_ledger_row(4, counted=9)])
    assert figures(ten_minutes)["windows_unproven"] == 1


def test_a_window_that_has_just_ended_may_be_incomplete(ten_minutes: Store) -> None:
    put(ten_minutes, "ledger", [a_ledger_row(5, counted=9)])
    assert figures(ten_minutes)["windows_unproven"] == 0
    put(ten_minutes, "counts", [a_count(10, "a", 1)])
    put(ten_minutes, "ledger", [a_ledger_row(10, counted=1)])
    put(ten_minutes, "top", [a_ranking(10)])
    assert figures(ten_minutes)["windows_unproven"] == 1


def test_a_reconciled_window_needs_no_other_proof_and_its_faults_are_told(ten_minutes: Store) -> None:
    put(ten_minutes, "ledger", [a_ledger_row(4, counted=9)])
    put(ten_minutes, "reconciliations", [a_reconciliation(0, 5, version=7, unexplained=3)])
    found = figures(ten_minutes)
    assert found["windows_unproven"] == 0
    assert found["unexplained_differences"] == 3
    assert found["reconciled_until_timestamp_seconds"] == minute(6) / 1000


def test_an_empty_store_has_nothing_to_tell_but_that_it_answers(store: Store) -> None:
    assert figures(store) == {"store_up": 1, "windows_unbalanced": 0, "windows_unproven": 0}


def test_a_store_that_fails_is_told_and_breaks_nothing() -> None:
    class Failing:
        def ask(self, *_: object) -> None:
            raise StoreError("gone")

    assert figures(Failing()) == {"store_up": 0}
