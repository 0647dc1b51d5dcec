"""The result topics as the loader reads them: from where the store left off, and only what is committed."""

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from serving.blocks import read_in_blocks
from serving.settings import ServingError

POLL_MS = 200
MAX_BATCHES = 1_000  # of one poll
FETCH_BYTES = 8 * 1024 * 1024
TIMEOUT_MS = 10_000

Place = tuple[str, str, int]  # (topic, topic id, partition)


class Feed:
    """Reads topics, as far as they exist, from given positions; to be used as a context."""

    def __init__(self, connection: Mapping[str, Any], topics: Collection[str], in_blocks: Collection[str]) -> None:
        """`in_blocks`: those of the topics whose records come as blocks. Raises KafkaError while Kafka is away."""
        options = {"enable_auto_commit": False, "bootstrap_timeout_ms": TIMEOUT_MS, "metrics_enabled": False}
        self._topics = frozenset(topics)
        self._ids: dict[str, str] = {}
        self._admin = KafkaAdminClient(**connection, bootstrap_timeout_ms=TIMEOUT_MS)
        self._written = KafkaConsumer(isolation_level="read_uncommitted", **options, **connection)
        self._consumer = KafkaConsumer(
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_poll_records=MAX_BATCHES,
            fetch_max_bytes=4 * FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_BYTES,
            **options,
            **connection,
        )
        read_in_blocks(self._consumer, in_blocks)

    def __enter__(self) -> "Feed":
        """Return the feed itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        for client in (self._consumer, self._written, self._admin):
            client.close()

    def discover(self, stored: Mapping[Place, int]) -> None:
        """Read what exists by now, new partitions from their stored position or the beginning.

        Raises ServingError when a topic is not the one that was stored, but another of its name.
        """
        found = self._describe()
        known = {topic: name for topic, name, _ in stored} | self._ids
        for topic, identity in ((topic, identity) for topic, identity, _ in found):
            if known.get(topic, identity) != identity:
                raise ServingError(
                    f"Topic {topic} was made anew since the store was loaded: run clickproof store rebuild."
                )
        positions = {TopicPartition(topic, number): stored.get((topic, name, number)) for topic, name, number in found}
        positions |= self.positions()
        if positions.keys() != self._consumer.assignment():
            self._assign(positions)
        self._ids = {topic: identity for topic, identity, _ in found}

    def poll(self) -> dict[str, list[Any]]:
        """Return the records that have come, by topic; wait a moment for them."""
        found: dict[str, list[Any]] = {}
        for partition, records in self._consumer.poll(POLL_MS).items():
            found.setdefault(partition.topic, []).extend(records)
        return found

    def places(self, topics: Collection[str]) -> dict[Place, int]:
        """How far those of the topics are read that exist."""
        positions = self.positions().items()
        return {
            (each.topic, self._ids[each.topic], each.partition): at for each, at in positions if each.topic in topics
        }

    def positions(self) -> dict[TopicPartition, int]:
        """How far each partition is read."""
        return {partition: self._consumer.position(partition) for partition in self._consumer.assignment()}

    def written(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Where the partitions of these topics end, with what is not committed yet."""
        return dict(self._written.end_offsets([each for each in self._consumer.assignment() if each.topic in topics]))

    def committed(self) -> dict[TopicPartition, int]:
        """Where all partitions end for a reader of what is committed."""
        return dict(self._consumer.end_offsets(list(self._consumer.assignment())))

    def reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether everything before these ends is read."""
        return all(self._consumer.position(partition) >= end for partition, end in ends.items())

    def hold(self, topics: Collection[str], held: bool) -> None:
        """Stop reading these topics, or go on."""
        partitions = [each for each in self._consumer.assignment() if each.topic in topics]
        (self._consumer.pause if held else self._consumer.resume)(*partitions)

    def idle_partitions(self, topic: str, since: int) -> list[int] | None:
        """The partitions without a record since then (epoch ms); None without the topic."""
        numbers = self._written.partitions_for_topic(topic)
        if not numbers:
            return None
        found = self._written.offsets_for_times({TopicPartition(topic, number): since for number in numbers})
        return sorted(partition.partition for partition, record in found.items() if record is None)

    def _describe(self) -> list[Place]:
        present = sorted(self._topics & set(self._admin.list_topics()))
        if not present:
            return []
        described = self._admin.describe_topics(present)
        return [
            (topic["name"], str(topic["topic_id"]), partition["partition_index"])
            for topic in described
            for partition in topic["partitions"]
        ]

    def _assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        paused = self._consumer.paused()
        self._consumer.assign(list(positions))
        for partition, position in positions.items():
            if position is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, position)
        self._consumer.pause(*paused)
