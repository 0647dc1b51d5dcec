"""The marks of replayed clicks, and the clicks themselves, in Kafka."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource
from kafka.errors import InvalidProducerEpochError, ProducerFencedError

from audit.dead_letters import Origin
from audit.repairs import Mark, Repair
from audit.transactions import commit
from ingest.record_batches import abandon
from local.processes import LocalError
from local.topics import read_topic

MARKS_TOPIC = "clicks-replayed"
REPLAYED_FROM = "clickproof.replayed-from"
"""Header of a replayed click: the origin of the one it repairs."""
TRANSACTIONAL_ID = "clickproof-dlq-replay"
TIMEOUT = 60.0


@contextmanager
def open_log(
    connection: dict[str, Any], clicks_topic: str, keys: Mapping[Origin, bytes | None]
) -> Iterator["KafkaLog"]:
    """Open the log, and shut out every replay that opened it before: its next mark fails.

    `connection`: kafka-python's `bootstrap_servers` and security options; `keys`: of the repaired clicks, which they
    keep. The clicks are written without transactions: control records would leave gaps in the topic's offsets, which
    the archive's proof reports. Raises KafkaError.
    """
    _require_marks_topic(connection)
    safe = {"acks": "all", "enable_idempotence": True, "allow_auto_create_topics": False}
    with ExitStack() as stack:
        clicks = KafkaProducer(**safe, **connection)
        stack.callback(abandon, clicks)
        marks = KafkaProducer(transactional_id=TRANSACTIONAL_ID, **safe, **connection)
        stack.callback(abandon, marks)
        marks.init_transactions()
        yield KafkaLog(connection, clicks_topic, keys, clicks, marks)


class KafkaLog:
    """A `audit.repairs.ReplayLog` in Kafka; `open_log` makes it."""

    def __init__(
        self,
        connection: dict[str, Any],
        clicks_topic: str,
        keys: Mapping[Origin, bytes | None],
        clicks: KafkaProducer,
        marks: KafkaProducer,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`clock`: epoch milliseconds."""
        self._connection = connection
        self._clicks_topic = clicks_topic
        self._keys = keys
        self._clicks = clicks
        self._marks = marks
        self._clock = clock

    def marks(self) -> dict[Origin, Mark]:
        """Return the latest mark of each origin."""
        latest: dict[Origin, Mark] = {}
        for record in read_topic(self._connection, MARKS_TOPIC):
            origin = Origin(**json.loads(record.key or b""))
            if record.value is None:  # taken back by hand
                latest.pop(origin, None)
            else:
                latest[origin] = Mark(**json.loads(record.value))
        return latest

    def mark(self, marks: Mapping[Origin, Mark]) -> None:
        """Write marks in one transaction; LocalError when another replay began since, or Kafka is silent."""
        try:
            self._marks.begin_transaction()
            pairs = [(_json(origin._asdict()), _json(mark._asdict())) for origin, mark in marks.items()]
            for future in [self._marks.send(MARKS_TOPIC, value, key) for key, value in pairs]:
                future.get(TIMEOUT)
            commit(self._marks)
        except (ProducerFencedError, InvalidProducerEpochError) as error:
            raise LocalError(
                "Another replay was started meanwhile: wait for its end, then run this one again."
            ) from error

    def send(self, repairs: Sequence[Repair]) -> None:
        """Send the values with their origins in a header; return when all have arrived."""
        now = self._clock()
        for future in [self._send(repair, now) for repair in repairs]:
            future.get(TIMEOUT)

    def _send(self, repair: Repair, now: int) -> Any:
        headers = [(REPLAYED_FROM, str(repair.origin).encode())]
        key = self._keys[repair.origin]
        return self._clicks.send(self._clicks_topic, repair.value, key, headers, timestamp_ms=now)


def _require_marks_topic(connection: dict[str, Any]) -> None:
    """Create the topic of the marks where there is none; LocalError for one that would forget them."""
    with KafkaAdminClient(**connection) as admin:
        if MARKS_TOPIC not in admin.list_topics():
            topic = {"num_partitions": 1, "configs": {"cleanup.policy": "compact"}}
            admin.create_topics({MARKS_TOPIC: topic}, wait_for_metadata=True)
        (told,) = admin.describe_configs([ConfigResource("topic", MARKS_TOPIC)])["topic"].values()
    policy = told.get("cleanup.policy", {}).get("value", "delete")  # what is the default is not told
    if policy != "compact":
        raise LocalError(
            f"Topic {MARKS_TOPIC} has cleanup.policy={policy}: set it to compact, so that no mark is lost."
        )


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode()
