"""What the topics hold, as rows of the store: JSON objects, a line each."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from serving.blocks import NEWLINE
from serving.settings import ServingError
from serving.windows import window_of

PREFIX = "clickproof."  # of the headers that the job adds
Row = dict[str, Any]


def lines(records: Iterable[Any]) -> bytes:
    """The rows of blocks (`serving.blocks`), which are rows as they come."""
    return NEWLINE.join(record.value for record in records if record.value)


def late(record: Any) -> Row:
    """The row of a record of the late topic."""
    click = json.loads(record.value)
    return {"window_start": window_of(click["click_timestamp"]), "ad_id": click["ad_id"], **_origin(record)}


def invalid(record: Any) -> Row:
    """The row of a record of the invalid topic: it is booked on the minute of its own timestamp."""
    headers = _headers(record)
    return {"window_start": window_of(int(headers["timestamp"])), "reason": headers["reason"], **_origin(record)}


def reconciliation(record: Any) -> Row:
    """The row of a record of the reconciliations."""
    return {**json.loads(record.value), "published": record.timestamp}


def written_by(build: Callable[[Any], Row]) -> Callable[[Iterable[Any]], bytes]:
    """Return what makes rows of records, one by one; it raises ServingError for a record that is none of the job's."""

    def rows(records: Iterable[Any]) -> Iterator[bytes]:
        for record in records:
            try:
                yield json.dumps(build(record)).encode()
            except (KeyError, TypeError, ValueError) as error:
                place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
                raise ServingError(f"The record at {place} was not written by Clickproof: {error!r}.") from error

    return lambda records: NEWLINE.join(rows(records))


def _origin(record: Any) -> Row:
    headers = _headers(record)
    place = {name: int(headers[name]) for name in ("partition", "offset")}
    return {"topic": headers["topic"], **place, "published": record.timestamp}


def _headers(record: Any) -> dict[str, str]:
    return {name.removeprefix(PREFIX): value.decode() for name, value in record.headers if name.startswith(PREFIX)}
