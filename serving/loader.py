"""The loader: the committed records of the result topics, in batches, into the store.

At least once, with rows that are the same when they come again: killed anywhere, it goes on (`serving.loading`).
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from kafka.errors import KafkaError

from serving.feed import Feed
from serving.loading import BLOCKS, TABLES, Loading
from serving.settings import ServingError, Settings, Topics
from serving.store import Store, StoreError

RETRY = 2.0  # seconds, as all here
LOOK = 5.0  # between looks for new topics and idle partitions
MEASURE = 1.0  # between the measurings of the lag
TOPICS = Topics()
log = logging.getLogger("clickproof.loader")


class Loader:
    """Keeps a store up to date; `lag`, `idle_partitions`, `rows` and `trouble` say how it fares."""

    def __init__(
        self, store: Store, settings: Settings, topics: Topics = TOPICS, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: seconds since 1970."""
        self.lag: dict[str, int] = {}  # records that are committed and not read yet, by topic
        self.idle_partitions: list[int] | None = None  # of the clicks; None while nobody knows
        self.rows: Counter[str] = Counter()  # loaded since the start, by topic
        self.trouble: str | None = "The loader has not started."
        self._store = store
        self._settings = settings
        self._topics = topics
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Load until `stop` is set; Kafka or a store that is away is waited for. Raises ServingError."""
        try:
            while not stop.is_set():
                self._run_once(stop)
        except ServingError as error:
            self._note(f"Loading ended: {error}")
            raise

    def load_all(self, on_progress: Callable[[int], None] = lambda rows: None) -> int:
        """Load what is committed by now; return the number of rows. Raises KafkaError, StoreError and ServingError."""
        with self._feed() as feed, self._loading(feed) as loading:
            loading.discover()
            ends = feed.committed()
            while not feed.reached(ends) or loading.unfinished:
                loading.step()
                on_progress(self.rows.total())
        return self.rows.total()

    def _run_once(self, stop: threading.Event) -> None:
        """Load until `stop` is set, or Kafka or the store fails."""
        try:
            with self._feed() as feed, self._loading(feed) as loading:
                looked, measured = -LOOK, -MEASURE
                while not stop.is_set():
                    now = time.monotonic()
                    if now >= looked + LOOK:
                        loading.discover()
                        self._look(feed)
                        looked = now
                    loading.step()
                    if now >= measured + MEASURE:
                        self._measure(feed)
                        measured = now
                    self.trouble = None
        except (KafkaError, StoreError) as error:
            self._note(f"Loading waits: {error}")
            stop.wait(RETRY)

    def _feed(self) -> Feed:
        return Feed(self._settings.kafka, [getattr(self._topics, name) for name in TABLES], self._named(BLOCKS))

    def _loading(self, feed: Feed) -> "Loading":
        tables = {getattr(self._topics, name): name for name in TABLES}
        return Loading(self._store, feed, tables, self.rows)

    def _named(self, tables: Iterable[str]) -> list[str]:
        return [getattr(self._topics, table) for table in tables]

    def _look(self, feed: Feed) -> None:
        since = int(self._clock() * 1000) - self._settings.idle_timeout_ms
        self.idle_partitions = feed.idle_partitions(self._topics.clicks, since)

    def _measure(self, feed: Feed) -> None:
        lag: Counter[str] = Counter(dict.fromkeys(self._named(TABLES), 0))
        positions = feed.positions()
        for partition, end in feed.committed().items():
            lag[partition.topic] += max(end - positions[partition], 0)
        self.lag = dict(lag)

    def _note(self, trouble: str) -> None:
        """Log a trouble when it begins."""
        if self.trouble != trouble:
            log.warning(trouble)
        self.trouble, self.lag, self.idle_partitions = trouble, {}, None
