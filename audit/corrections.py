"""Corrections of published counts: all of a reconciliation in one Kafka transaction, so readers see all or none."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from audit.differences import CAUSES
from audit.report import Report
from audit.spans import Span
from audit.transactions import commit
from local.processes import LocalError
from local.published import RECONCILIATIONS
from local.topics import read_topic

TRANSACTION_TIMEOUT_MS = 900_000
_ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\\\")  # of a control character, or of a backslash


@dataclass(frozen=True)
class Reconciled:
    """What readers of the counts learn about a span (epoch ms): it was reconciled, and how that went."""

    start: int
    end: int
    version: int
    verdict: str
    windows: int
    corrections: int
    late: int
    expired_duplicate: int
    unexplained: int

    @staticmethod
    def of(span: Span, report: Report, version: int) -> "Reconciled":
        """Return what a report says of a span."""
        same = ("verdict", "windows", "corrections", *CAUSES)
        return Reconciled(span.start, span.end, version, **{name: getattr(report, name) for name in same})

    @property
    def record(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Key and value of its record."""
        key = {"from": self.start, "to": self.end}
        rest = {name: value for name, value in asdict(self).items() if name not in ("start", "end")}
        return key, {**key, **rest}


class Publisher:
    """Publishes corrections; the only one of its name: a later one fences it off."""

    def __init__(self, producer: KafkaProducer, counts_topic: str, window: int) -> None:
        self._producer, self._counts_topic, self._window = producer, counts_topic, window

    def publish(self, counts: list[tuple[int, str, int]], reconciled: Reconciled) -> None:
        """Publish the counts (window's start, ad, clicks) that are in force from now on, and what was reconciled.

        Raises LocalError, which says whether anything was published, or that it is not known.
        """
        try:
            self._producer.begin_transaction()
            for start, ad_id, clicks in counts:
                self._send(self._counts_topic, *self._correction(start, ad_id, clicks, reconciled.version))
            self._send(RECONCILIATIONS, *reconciled.record)
            commit(self._producer)
        except KafkaError as error:
            raise LocalError(
                f"Nothing was published, as Kafka refused the transaction ({error}): reconcile again."
            ) from error

    def _correction(self, start: int, ad_id: str, clicks: int, version: int) -> tuple[dict[str, Any], dict[str, Any]]:
        key = {"ad_id": ad_id, "window_start": start}
        return key, {**key, "window_end": start + self._window, "clicks": clicks, "version": version, "source": "batch"}

    def _send(self, topic: str, key: dict[str, Any], value: dict[str, Any]) -> None:
        self._producer.send(topic, key=as_flink_writes(key), value=as_flink_writes(value))


@contextmanager
def publisher(connection: dict[str, Any], deployment: str, counts_topic: str, window: int) -> Iterator[Publisher]:
    """Yield the publisher of a deployment (`window` in ms); one that is at work already can publish nothing more."""
    _create_topic(connection)
    try:
        producer = KafkaProducer(
            transactional_id=f"{deployment}-reconcile",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            allow_auto_create_topics=False,
            **connection,
        )
        producer.init_transactions()
    except KafkaError as error:
        raise LocalError(f"Kafka takes no corrections ({error}): see the broker's log, then try again.") from error
    try:
        yield Publisher(producer, counts_topic, window)
    finally:
        producer.close()


def known(connection: dict[str, Any], start: int, end: int) -> bool:
    """Whether the span was published as reconciled before."""
    try:
        keys = [json.loads(record.key or b"{}") for record in read_topic(connection, RECONCILIATIONS)]
    except UnknownTopicOrPartitionError:
        return False
    return {"from": start, "to": end} in keys


def as_flink_writes(row: dict[str, Any]) -> bytes:
    """Return JSON, byte for byte as Flink's JSON format writes it: equal keys must be equal bytes."""
    text = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
    return _ESCAPE.sub(lambda escape: escape[0][:2] + escape[0][2:].upper(), text).encode()


def _create_topic(connection: dict[str, Any]) -> None:
    with KafkaAdminClient(**connection) as admin:
        if RECONCILIATIONS not in admin.list_topics():
            configs = {"cleanup.policy": "compact"}
            topic = {"num_partitions": 1, "replication_factor": -1, "configs": configs}
            admin.create_topics({RECONCILIATIONS: topic}, wait_for_metadata=True)
