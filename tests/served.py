"""A store with rows put into it, the model that recounts it, and the API over it."""

import json
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from serving.answers import Answers
from serving.api import create_app
from serving.loading import SUM_UP
from serving.server import address
from serving.store import Store
from tests.builders import MINUTE, NOON

EMPTY = {"raw": 0, "counted": 0, "duplicate": 0, "late": 0, "invalid": 0}


class StillLoader:
    """A loader that has nothing to do."""

    def __init__(self) -> None:
        self.lag = {"clicks-per-minute": 0}
        self.idle_partitions: list[int] | None = []
        self.trouble: str | None = None
        self.rows: dict[str, int] = {"clicks-per-minute": 3}


def minute(number: int) -> int:
    """The start of a minute after noon."""
    return NOON + number * MINUTE


def window(number: int) -> dict[str, int]:
    return {"window_start": minute(number), "window_end": minute(number + 1)}


def a_count(number: int, ad_id: str, clicks: int, version: int = 0) -> dict[str, Any]:
    source = "batch" if version else "stream"
    return window(number) | {"ad_id": ad_id, "clicks": clicks, "version": version, "source": source}


def a_ranking(number: int, ad_id: str = "a", clicks: int = 1) -> dict[str, Any]:
    return window(number) | {"rank": 1, "ad_id": ad_id, "clicks": clicks}


def a_ledger_row(number: int, **terms: int) -> dict[str, Any]:
    """A row that balances unless `raw` says otherwise."""
    raw = sum(terms.values()) if "raw" not in terms else terms["raw"]
    return window(number) | EMPTY | terms | {"raw": raw, "version": raw}


def a_late_click(number: int, ad_id: str, offset: int, published: int = 1) -> dict[str, Any]:
    place = {"topic": "clicks", "partition": 0, "offset": offset, "published": published}
    return {"window_start": minute(number), "ad_id": ad_id, **place}


def a_reconciliation(first: int, last: int, version: int, **more: Any) -> dict[str, Any]:
    """Of the minutes from `first` to `last` inclusive."""
    fields = {"from": minute(first), "to": minute(last + 1), "version": version, "verdict": "explained"}
    terms = {"windows": last + 1 - first, "corrections": 0, "late": 0, "expired_duplicate": 0, "unexplained": 0}
    return fields | terms | {"published": 10} | more


def put(store: Store, table: str, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, and add up the windows."""
    store.insert(table, b"\n".join(json.dumps(row).encode() for row in rows))
    store.run(SUM_UP)


def put_closed_windows(store: Store, numbers: Iterable[int], ads: dict[str, int]) -> None:
    """Insert windows that are closed, each with the same clicks."""
    for number in numbers:
        put(store, "counts", [a_count(number, ad, clicks) for ad, clicks in ads.items()])
        put(store, "ledger", [a_ledger_row(number, counted=sum(ads.values()), duplicate=2, late=1)])
        put(store, "top", [a_ranking(number)])


@contextmanager
def serving(store: Store, token: str | None = None) -> Iterator[str]:
    """The API over the store on a free port; yields its address."""
    loader = StillLoader()
    app = create_app(Answers(store, lambda: loader.idle_partitions), loader, token)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join()
