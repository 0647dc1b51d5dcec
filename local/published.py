"""What a streaming job published, read from its topics as its users read them, and held against a recount."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from kafka import TopicPartition

from jobs.setting_sources import SettingsError
from jobs.settings import load
from local.books import TERMS, Cell, CountryCell
from local.processes import LocalError
from local.recount import Rejected, recount, rejected
from local.topics import await_readable, read_topic
from udfs.ledger import Terms

RECONCILIATIONS = "clicks-reconciliations"
"""The topic that says which spans were reconciled."""
BY_COUNTRY = "clicks-per-minute-country"


class JobTopics(NamedTuple):
    """The topics of a streaming job: what it reads, and its results; `country` where it counts by country."""

    clicks: str = "clicks"
    counts: str = "clicks-per-minute"
    top: str = "clicks-top"
    late: str = "clicks-late"
    invalid: str = "clicks-invalid"
    ledger: str = "clicks-ledger"
    country: str | None = None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [name for name in self if name is not None]

    def prefixed(self, prefix: str) -> "JobTopics":
        """The same topics of another run."""
        return JobTopics(*(f"{prefix}-{name}" for name in self.names))

    def partitions(self, clicks: int) -> dict[str, int]:
        """Each topic's number of partitions: `clicks` of the clicks, one of each result."""
        return dict.fromkeys(self.names, 1) | {self.clicks: clicks}

    def arguments(self) -> list[str]:
        """The topics as the job's arguments."""
        return [
            word for field, name in zip(self._fields, self.names, strict=False) for word in (f"--{field}-topic", name)
        ]


def topics_of(settings: Sequence[str], environment: Mapping[str, str]) -> JobTopics:
    """The topics of a streaming job with these arguments, in this environment. Raises LocalError for bad settings."""
    try:
        return JobTopics(country=BY_COUNTRY if load(settings, environment).by_country else None)
    except SettingsError as error:
        raise LocalError(f"{error}.") from None


@dataclass(frozen=True)
class Published:
    """The results of a run; `twice` holds the counts that were published more than once, which must not be."""

    counts: dict[Cell, int] = field(default_factory=dict)
    twice: list[Cell | CountryCell] = field(default_factory=list)
    late: list[Rejected] = field(default_factory=list)
    invalid: list[Rejected] = field(default_factory=list)
    ledger: dict[int, dict[str, int]] = field(default_factory=dict)  # the last row of each minute
    by_country: dict[CountryCell, int] | None = None  # where the job counts by country

    @property
    def terms(self) -> dict[str, int]:
        """The ledger of the run as a whole."""
        return {term: sum(row[term] for row in self.ledger.values()) for term in TERMS}

    def contradictions(self) -> Iterator[str]:
        """What cannot be right whatever the clicks were, a sentence each."""
        terms, counted = self.terms, sum(self.counts.values())
        for start, ad_id, *_ in self.twice:
            yield f"The count of ad {ad_id!r} in window {start} was published more than once."
        if not Terms(**terms).balanced:
            yield f"The ledger does not balance: {terms}."
        if terms["counted"] != counted:
            yield f"The ledger has {terms['counted']} clicks counted, the counts add up to {counted}."
        if self.by_country is not None and (by_country := sum(self.by_country.values())) != counted:
            yield f"The counts add up to {counted}, those by country to {by_country}."
        for term, records in (("late", self.late), ("invalid", self.invalid)):
            if terms[term] != len(records):
                yield f"The ledger has {terms[term]} {term} clicks, their topic has {len(records)}."


def read_published(connection: dict[str, Any], topics: JobTopics) -> Published:
    """Read all results that are committed. Raises KafkaError."""
    counts, twice = read_counts(connection, topics.counts)
    late, invalid = ([*map(rejected, read_topic(connection, topic))] for topic in (topics.late, topics.invalid))
    published = Published(counts, twice, late, invalid, read_ledger(connection, topics.ledger))
    if topics.country is None:
        return published
    by_country, again = read_counts(connection, topics.country, "country")
    return replace(published, by_country=by_country, twice=[*twice, *again])


def read_ledger(connection: dict[str, Any], topic: str) -> dict[int, dict[str, int]]:
    """The ledger's terms by the minute's start, as last published."""
    rows = (json.loads(record.value or b"") for record in read_topic(connection, topic))
    return {row["window_start"]: {term: row[term] for term in TERMS} for row in rows}


def read_counts(connection: dict[str, Any], topic: str, *dimensions: str) -> tuple[dict[Any, int], list[Any]]:
    """The counts by window, ad and further parts of the key, and those that were published more than once."""
    counts: dict[Any, int] = {}
    published: Counter[Any] = Counter()
    for record in read_topic(connection, topic):
        key, value = json.loads(record.key or b""), json.loads(record.value or b"")
        cell = (key["window_start"], key["ad_id"], *(key[name] for name in dimensions))
        counts[cell] = value["clicks"]
        published[cell] += 1
    return counts, [cell for cell, times in published.items() if times > 1]


def counts_in_force(connection: dict[str, Any], topic: str) -> dict[Cell, int]:
    """The counts with the highest version of each ad and window; a correction to nothing leaves none."""
    latest: dict[Cell, tuple[int, int]] = {}
    for record in read_topic(connection, topic):
        value = json.loads(record.value or b"")
        cell, count = (value["window_start"], value["ad_id"]), (value["version"], value["clicks"])
        latest[cell] = count if cell not in latest or count[0] >= latest[cell][0] else latest[cell]
    return {cell: clicks for cell, (_, clicks) in latest.items() if clicks}


def decided_clicks(connection: dict[str, Any], topic: str) -> int:
    """The raw clicks in the ledger: so many went one way or the other."""
    return sum(terms["raw"] for terms in read_ledger(connection, topic).values())


def published_windows(connection: dict[str, Any], topic: str) -> set[int]:
    """The starts of the windows in the topic of the top ads.

    They are ranked when every subtask has counted; the counts themselves come from each as it gets there.
    """
    return {json.loads(record.key or b"")["window_start"] for record in read_topic(connection, topic)}


def await_committed(connection: dict[str, Any], topics: JobTopics) -> None:
    """Return when no transaction is open on the results (`local.topics.await_readable`)."""
    await_readable(connection, [TopicPartition(topic, 0) for topic in topics.names if topic != topics.clicks])


def recount_topics(connection: dict[str, Any], topics: JobTopics) -> tuple[Published, list[str]]:
    """Return the results and what an independent recount of the raw clicks finds wrong with them: nothing if exact."""
    published = read_published(connection, topics)
    results = (published.counts, published.late, published.invalid, published.ledger)
    problems = recount(read_topic(connection, topics.clicks), *results, by_country=published.by_country)
    return published, [*published.contradictions(), *problems]
