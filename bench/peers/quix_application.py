"""The same counts in Quix Streams: state in RocksDB with changelogs, tumbling windows. A process for each consumer.

State belongs to a message's key, so the clicks go through a topic by identity, and then by ad. A window is closed by a
later click of the same ad alone: that each minute is published for certain, a count is published with every change.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from identity import identity
from quixstreams import Application, State
from quixstreams.models import TopicConfig
from workers import Progress, Task, run_workers

MINUTE = timedelta(minutes=1)
# An identity expires by the latest click of its partition, and the last clicks of a contest are 15 minutes ahead.
HORIZON = timedelta(minutes=30)
OUT_OF_ORDERNESS = timedelta(seconds=5)
CHECKPOINTS = 10.0  # seconds
# Bytes of a partition at a time: one batch of the contest's clicks, 142 KB at most, so that the partitions are read in
# turn. Of less than a batch the broker sends the first partition's alone; of more each gets ahead of the others.
FETCH = 160 * 1024
IDLE = 10.0  # seconds without a click, after which there are no more

Click = dict[str, Any]


def click_time(click: Click, headers: object, timestamp: int, kind: object) -> int:
    """Return event time."""
    return int(click["click_timestamp"])


def is_new(click: Click, state: State) -> bool:
    """Whether no click of this identity came before."""
    if state.exists("seen"):
        return False
    state.set("seen", True, ttl=HORIZON)
    return True


def work(task: Task, number: int, progress: Progress) -> None:
    """Run one application of the consumer group."""
    read = 0

    def count_read(topic: str, partition: int, offset: int) -> None:
        nonlocal read
        if topic == task["topic"]:
            read += 1
            if read % 1000 == 0:
                progress.tell(read)

    app = Application(
        task["bootstrap_servers"],
        consumer_group=task["name"],
        auto_offset_reset="earliest",
        commit_interval=CHECKPOINTS,
        state_dir=Path(task["home"]) / f"state-{number}",
        consumer_extra_config={"max.partition.fetch.bytes": FETCH},
        on_message_processed=count_read,
        loglevel="WARNING",
    )
    clicks = app.topic(task["topic"], key_deserializer="bytes", timestamp_extractor=click_time)
    partitions = TopicConfig(num_partitions=clicks.broker_config.num_partitions, replication_factor=1)
    unique = app.topic(f"{task['name']}-unique", key_serializer="str", key_deserializer="str", config=partitions)
    counts = app.topic(task["counts_topic"], key_serializer="str")
    (
        app.dataframe(clicks)
        .group_by(identity, name="identity")
        .filter(is_new, stateful=True)
        .to_topic(unique, key=lambda click: click["ad_id"])
    )
    (
        app.dataframe(unique)
        .tumbling_window(MINUTE, grace_ms=OUT_OF_ORDERNESS)
        .count()
        .current()
        .apply(
            lambda window, ad, timestamp, headers: {
                "ad_id": ad,
                "window_start": window["start"],
                "clicks": window["value"],
            },
            metadata=True,
        )
        .to_topic(counts)
    )
    app.run(timeout=IDLE, collect=False)
    progress.tell(read)


if __name__ == "__main__":
    run_workers(work, json.loads(sys.argv[1]))
