"""The result topics, filled as the jobs fill them, and what a store must hold of them, read record by record."""

import json
import random
from typing import Any

from kafka import KafkaProducer

from local.broker import Broker
from local.topics import read_topic
from serving.settings import Topics
from serving.store import Store
from tests.builders import NOON, raw
from tests.served import a_count, a_ledger_row, a_ranking, a_reconciliation, minute

ALL = Topics()


def create(broker: Broker, *topics: str) -> None:
    broker.create_topics(dict.fromkeys(topics or ALL, 2))


def send(producer: KafkaProducer, topic: str, rows: list[dict[str, Any] | None], key: bytes = b"k") -> None:
    for row in rows:
        producer.send(topic, None if row is None else json.dumps(row).encode(), key=key)


def send_origin(producer: KafkaProducer, topic: str, value: bytes, reason: str, offset: int) -> None:
    origin = {"reason": reason, "topic": "clicks", "partition": "1", "offset": str(offset), "timestamp": str(NOON)}
    producer.send(topic, value, headers=[(f"clickproof.{name}", text.encode()) for name, text in origin.items()])


def publish(producer: KafkaProducer, chance: random.Random, rounds: int) -> None:
    """Publish transactions as the jobs do, every fourth one aborted."""
    for number in range(rounds):
        producer.begin_transaction()
        window = number // 3
        counts = [
            a_count(window, f"ad-{chance.randrange(40)}", chance.randrange(99), chance.choice((0, 0, 0, 7)))
            for _ in range(200)
        ]
        for row in counts:
            send(producer, ALL.counts, [row], key=f"{row['ad_id']}{window}".encode())
        terms = {"counted": chance.randrange(100) + number * 100, "late": number}
        send(producer, ALL.ledger, [a_ledger_row(window, **terms)], key=str(window).encode())
        send(producer, ALL.top, [a_ranking(window, "ad-1", number)], key=str(window).encode())
        for offset in range(number * 5, number * 5 + 7):  # some come again
            send_origin(producer, ALL.late, raw(ad_id=f"ad-{offset}", click_timestamp=minute(window)), "late", offset)
            send_origin(producer, ALL.invalid, b"\xff", "not_json", offset)
        if number % 5 == 4:
            send(producer, ALL.reconciliations, [a_reconciliation(window - 1, window, number)])
        producer.abort_transaction() if number % 4 == 3 else producer.commit_transaction()


def stored(store: Store) -> dict[str, set[tuple[Any, ...]]]:
    """What the store has in each table, of a key the one row that counts."""
    columns = {
        "counts": "window_start, ad_id, clicks, version",
        "ledger": "window_start, raw, counted, late, version",
        "top": "window_start, rank, ad_id, clicks",
        "late": "window_start, ad_id, `offset`",
        "invalid": "window_start, reason, `offset`",
        "reconciliations": "version, `from`, `to`",
    }
    sums = {"sums": set(store.ask("SELECT window_start, clicks FROM windows FINAL WHERE about = 'sum'", {}))}
    return sums | {table: set(store.ask(f"SELECT {names} FROM {table} FINAL", {})) for table, names in columns.items()}


def published(broker: Broker) -> dict[str, set[tuple[Any, ...]]]:
    """The same of the topics, read record by record."""

    def rows(topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in read_topic(broker.connection, topic) if record.value]

    newest: dict[str, dict[Any, tuple[Any, ...]]] = {"counts": {}, "ledger": {}, "top": {}}
    for row in rows(ALL.counts):
        _keep(newest["counts"], (row["window_start"], row["ad_id"]), (row["clicks"], row["version"]))
    for row in rows(ALL.ledger):
        _keep(newest["ledger"], (row["window_start"],), (row["raw"], row["counted"], row["late"], row["version"]))
    for row in rows(ALL.top):
        newest["top"][row["window_start"], row["rank"]] = (row["ad_id"], row["clicks"])
    found = {name: {key + value for key, value in cells.items()} for name, cells in newest.items()}
    sums: dict[int, int] = {}
    for window, _, clicks, _ in found["counts"]:
        sums[window] = sums.get(window, 0) + clicks
    late = [(json.loads(each.value or b""), each.headers) for each in read_topic(broker.connection, ALL.late)]
    invalid = [each.headers for each in read_topic(broker.connection, ALL.invalid)]
    return found | {
        "late": {(click["click_timestamp"], click["ad_id"], _offset(headers)) for click, headers in late},
        "invalid": {(NOON, headers["clickproof.reason"].decode(), _offset(headers)) for headers in invalid},
        "reconciliations": {(row["version"], row["from"], row["to"]) for row in rows(ALL.reconciliations)},
        "sums": {*sums.items()},
    }


def _keep(cells: dict[Any, tuple[Any, ...]], key: tuple[Any, ...], value: tuple[Any, ...]) -> None:
    if key not in cells or value[-1] >= cells[key][-1]:
        cells[key] = value


def _offset(headers: dict[str, bytes]) -> int:
    return int(headers["clickproof.offset"])
