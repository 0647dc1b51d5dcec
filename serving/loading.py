"""The way of records into the store: rows first, and after them, in the same store, how far the topics were read.

A window's ranking and a reconciliation speak about other records: they are written only when everything that had been
written to the other topics before is in the store. So no verdict runs ahead of what it is about.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from kafka import TopicPartition

from serving import rows
from serving.blocks import NEWLINE
from serving.feed import Feed, Place
from serving.store import Store

SUM = 1.0  # seconds between the summings of windows, at least

Rows = Callable[[Iterable[Any]], bytes]
BLOCKS = ("counts", "ledger", "top")
"""The tables whose rows are the records' values."""
CLAIMS = ("top", "reconciliations")
"""The tables whose rows speak about the others."""
TABLES: dict[str, Rows] = dict.fromkeys(BLOCKS, rows.lines) | {
    "late": rows.written_by(rows.late),
    "invalid": rows.written_by(rows.invalid),
    "reconciliations": rows.written_by(rows.reconciliation),
}

_DIRTY = """
    SELECT window_start FROM windows WHERE about IN ('counts', 'sum')
    GROUP BY window_start HAVING maxIf(version, about = 'counts') >= maxIf(version, about = 'sum')"""
SUM_UP = f"""
    INSERT INTO windows (window_start, about, version, clicks, ads) WITH toUnixTimestamp64Micro(now64(6)) AS now
    SELECT window_start, 'sum', now, sum(clicks), countIf(clicks > 0) FROM counts FINAL
    WHERE window_start IN ({_DIRTY}) GROUP BY window_start
    SETTINGS do_not_merge_across_partitions_select_final = 1"""


class Loading:
    """One feed's way into the store; to be used as a context. Rows are written while the next ones are read."""

    def __init__(self, store: Store, feed: Feed, tables: Mapping[str, str], loaded: Counter[str]) -> None:
        """`tables`: by topic. `loaded` counts the rows that are written, by topic."""
        self._store = store
        self._feed = feed
        self._tables = tables
        self._loaded = loaded
        self._claims: dict[str, list[Any]] = {}  # read and not written
        self._fence: dict[TopicPartition, int] = {}  # what must be written before them
        self._unsummed, self._summed = True, -SUM
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._writing: Future[None] | None = None

    def __enter__(self) -> "Loading":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being written."""
        self._writer.shutdown()

    @property
    def unfinished(self) -> bool:
        """Whether something that was read is not in the store."""
        return self._writing is not None or bool(self._claims) or self._unsummed

    def discover(self) -> None:
        """Read the topics and partitions that have come into being, too."""
        self._settle()
        stored = self._store.ask("SELECT topic, topic_id, partition, position FROM positions FINAL", {})
        self._feed.discover({(topic, identity, number): at for topic, identity, number, at in stored})

    def step(self) -> None:
        """Load what has come, waiting a moment for it. Raises KafkaError, StoreError and ServingError."""
        records = self._feed.poll()
        claims = {topic: found for topic, found in records.items() if self._tables[topic] in CLAIMS}
        self._write({topic: found for topic, found in records.items() if topic not in claims})
        if claims:
            self._hold(claims)
        ready = bool(self._claims) and self._feed.reached(self._fence)
        if self._unsummed and (ready or time.monotonic() >= self._summed + SUM):
            self._sum_up()
        if ready:
            self._release()

    def _hold(self, claims: dict[str, list[Any]]) -> None:
        """Keep claims back until what is written of the facts now, though it be not committed yet, is loaded.

        A transaction is committed to one topic a little before another, so what is committed would not be enough.
        """
        self._claims = claims
        self._feed.hold(self._topics(claims=True), True)
        self._fence = self._feed.written(self._topics(claims=False))

    def _release(self) -> None:
        self._write(self._claims)
        self._settle()
        self._claims = {}
        self._feed.hold(self._topics(claims=True), False)

    def _topics(self, claims: bool) -> list[str]:
        return [topic for topic, table in self._tables.items() if (table in CLAIMS) == claims]

    def _write(self, records: Mapping[str, list[Any]]) -> None:
        """Begin to write the records' rows, and after them how far their topics are read."""
        blocks = {topic: TABLES[self._tables[topic]](found) for topic, found in records.items()}
        self._settle()
        if records:
            self._writing = self._writer.submit(self._insert, blocks, self._feed.places(records))

    def _insert(self, blocks: Mapping[str, bytes], places: Mapping[Place, int]) -> None:
        for topic, block in blocks.items():
            if block:
                self._store.insert(self._tables[topic], block)
                self._loaded[topic] += block.count(NEWLINE) + 1
                self._unsummed |= self._tables[topic] == "counts"
        self._store.insert("positions", _position_rows(places))

    def _settle(self) -> None:
        """Wait for what is being written; raise what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _sum_up(self) -> None:
        self._settle()
        self._store.run(SUM_UP)
        self._unsummed, self._summed = False, time.monotonic()


def _position_rows(places: Mapping[Place, int]) -> bytes:
    names = ("topic", "topic_id", "partition")
    rows = (dict(zip(names, place, strict=True)) | {"position": at} for place, at in places.items())
    return NEWLINE.join(json.dumps(row).encode() for row in rows)
