from datetime import UTC, datetime

import pytest

from audit.spans import DAY, Span, archived_until, span_of
from jobs.setting_types import epoch_milliseconds
from local.processes import LocalError

NEW_YEAR = 1_767_225_600_000
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_default_span_is_yesterday():
    assert span_of(None, None, NOW) == Span(NEW_YEAR, NEW_YEAR + DAY)


def test_a_span_without_an_end_is_a_day():
    assert span_of("2025-12-31", None, NOW) == Span(NEW_YEAR - DAY, NEW_YEAR)


@pytest.mark.parametrize(
    ("first", "end", "reason"),
    [
        ("yesterday", None, "'yesterday' is no time"),
        ("2026-01-02", None, "is not over yet"),
        ("2026-01-01T02:00", "2026-01-01T01:00", "ends before it begins"),
        ("2026-01-01T00:00:30", None, "whole minute"),
    ],
)
def test_a_span_that_cannot_be_reconciled_is_refused(first, end, reason):
    with pytest.raises(LocalError, match=reason):
        span_of(first, end, NOW)


def test_an_empty_span_is_a_span():
    assert span_of("2026-01-01", "2026-01-01", NOW) == Span(NEW_YEAR, NEW_YEAR)


def test_all_records_but_those_of_the_last_two_files_must_be_archived():
    assert archived_until(Span(NEW_YEAR, NEW_YEAR + DAY), NOW) == epoch_milliseconds(NOW) - 10 * 60_000


def test_all_records_of_a_span_that_ended_just_now_must_be_archived():
    end = epoch_milliseconds(NOW) // 60_000 * 60_000
    assert archived_until(Span(NEW_YEAR, end), NOW) == end
