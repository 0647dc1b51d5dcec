"""A reader of what is committed, while everything around it dies: what it once saw must stay, in order."""

import threading
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from local.topics import read_topic

Seen = tuple[int, bytes | None, bytes | None]  # (offset, key, value)


class Reader(threading.Thread):
    """Reads one-partition topics until it is stopped."""

    def __init__(self, connection: dict[str, Any], topics: list[str]) -> None:
        super().__init__(name="reader")
        self.connection, self.stopped = connection, threading.Event()
        self.seen: dict[str, list[Seen]] = {topic: [] for topic in topics}

    def __enter__(self) -> "Reader":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.join()

    def run(self) -> None:
        """Connect again, from where it was, whenever the broker is away for so long that the consumer gives up."""
        while not self.stopped.is_set():
            try:
                self._follow()
            except KafkaError:
                self.stopped.wait(0.5)

    def _follow(self) -> None:
        consumer = KafkaConsumer(isolation_level="read_committed", enable_auto_commit=False, **self.connection)
        try:
            consumer.assign([TopicPartition(topic, 0) for topic in self.seen])
            for topic, seen in self.seen.items():
                consumer.seek(TopicPartition(topic, 0), seen[-1][0] + 1 if seen else 0)
            while not self.stopped.is_set():
                for partition, records in consumer.poll(200).items():
                    self.seen[partition.topic] += [(each.offset, each.key, each.value) for each in records]
        finally:
            consumer.close()

    def problems(self) -> list[str]:
        """Topics of which something was seen that is not the beginning of what is committed now."""
        return [
            f"The reader saw {len(seen)} records of {topic} that are not its first ones."
            for topic, seen in self.seen.items()
            if seen
            != [(record.offset, record.key, record.value) for record in read_topic(self.connection, topic)][: len(seen)]
        ]
