"""Dead letters on a real broker: listed, shown, repaired, and replayed once."""

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from audit.dead_letters import Origin
from audit.repairs import Mark, Repair
from audit.replay_log import MARKS_TOPIC, REPLAYED_FROM, open_log
from local import cli
from local.broker import Broker
from local.processes import LocalError, await_until, free_port
from local.stack import TOPICS
from local.topics import Record, read_topic
from tests.builders import NOON, raw
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

INVALID = {0: ("not_json", b"\xff\x00"), 1: ("missing_field", raw(ip=...)), 2: ("wrong_type", raw(ip=7))}
LATE = raw(user_id="late")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("kafka"), free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def connection(broker: Broker) -> Iterator[dict[str, Any]]:
    """A broker with three invalid clicks and a late one, written in transactions as the job does."""
    topics = {TOPICS.clicks: 2, TOPICS.late: 1, TOPICS.invalid: 1}
    broker.create_topics(topics)
    connection = {"bootstrap_servers": broker.bootstrap_servers}
    producer = KafkaProducer(transactional_id=uuid.uuid4().hex, **connection)
    producer.init_transactions()
    producer.begin_transaction()
    for offset, (reason, value) in INVALID.items():
        producer.send(TOPICS.invalid, value, b"key-%d" % offset, headers(reason, offset))
    producer.send(TOPICS.late, LATE, None, headers("late", 3))
    producer.commit_transaction()
    producer.close()
    await_until(lambda: letters(connection) == len(INVALID) + 1, "Committing the dead letters", PATIENCE)
    yield connection
    broker.delete_topics([*topics, MARKS_TOPIC])


def letters(connection: dict[str, Any]) -> int:
    return sum(len(list(read_topic(connection, topic))) for topic in (TOPICS.late, TOPICS.invalid))


def headers(reason: str, offset: int) -> list[tuple[str, bytes]]:
    texts = {"reason": reason, "topic": TOPICS.clicks, "partition": 1, "offset": offset, "timestamp": NOON + offset}
    return [(f"clickproof.{name}", str(text).encode()) for name, text in texts.items()]


@pytest.fixture
def clickproof(connection: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command of `clickproof dlq` against the broker; returns its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(
            sys, "argv", ["clickproof", "dlq", *arguments, "--bootstrap-servers", connection["bootstrap_servers"]]
        )
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def repaired(path: Path, shown: str, **values: bytes) -> Path:
    """The shown lines with new values, by the offset of their origin."""
    lines = [json.loads(line) for line in shown.splitlines()]
    for line in lines:
        line.pop("value_base64", None)
        line["value"] = values.get(f"at_{line['offset']}", raw(click_id=f"repaired {line['offset']}")).decode()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def sent(connection: dict[str, Any]) -> list[Record]:
    """What is in the clicks topic; its offsets have no gap."""
    records = list(read_topic(connection, TOPICS.clicks))
    for partition in (0, 1):
        offsets = [record.offset for record in records if record.partition == partition]
        assert offsets == list(range(len(offsets)))
    return records


def test_dead_letters_are_counted(clickproof) -> None:
    code, out, _ = clickproof("list", "--json", "--by", "ad")
    assert code == 0
    assert [(group["reason"], group["ad_id"], group["clicks"]) for group in json.loads(out)] == [
        ("late", "ad-1", 1),
        ("missing_field", "ad-1", 1),
        ("not_json", None, 1),
        ("wrong_type", "ad-1", 1),
    ]


def test_filters_hold_for_list_and_show(clickproof) -> None:
    _, out, _ = clickproof("list", "--json", "--topic", "late")
    assert [group["reason"] for group in json.loads(out)] == ["late"]
    _, out, _ = clickproof("show", "--json", "--topic", "invalid", "--from", str(NOON + 1), "--to", str(NOON + 2))
    assert [json.loads(line)["offset"] for line in out.splitlines()] == [1]
    _, out, _ = clickproof("show", "--reason", "not_json")
    assert out == "clicks/1/0  2026-01-01T12:00:00.000Z  not_json\n    \\xff\\x00\n"


def test_a_second_replay_sends_nothing(clickproof, connection: dict[str, Any], tmp_path: Path) -> None:
    _, shown, _ = clickproof("show", "--json", "--topic", "invalid")
    file = str(repaired(tmp_path / "repaired.jsonl", shown))
    code, out, _ = clickproof("replay", file, "--json")
    assert (code, json.loads(out)) == (0, {"sent": 3, "skipped": 0})
    first = sent(connection)
    code, out, _ = clickproof("replay", file, "--json")
    assert (code, json.loads(out)) == (0, {"sent": 0, "skipped": 3})
    assert sent(connection) == first
    told = {(record.headers[REPLAYED_FROM], record.key, record.value) for record in first}
    assert told == {(b"clicks/1/%d" % n, b"key-%d" % n, raw(click_id=f"repaired {n}")) for n in INVALID}
    assert len(first) == 3


def test_what_is_still_invalid_stops_all(clickproof, connection: dict[str, Any], tmp_path: Path) -> None:
    _, shown, _ = clickproof("show", "--json", "--topic", "invalid")
    code, _, err = clickproof("replay", str(repaired(tmp_path / "repaired.jsonl", shown, at_1=raw(ip=...))))
    assert code == 1
    assert err.strip() == "Line 2 (clicks/1/1) is still invalid, missing_field; nothing was sent."
    assert sent(connection) == []


def test_late_clicks_are_refused_however_they_are_dressed(clickproof, connection, tmp_path: Path) -> None:
    _, shown, _ = clickproof("show", "--json", "--topic", "late")
    for lines in (shown, shown.replace('"late"', '"not_json"')):
        code, _, err = clickproof("replay", str(repaired(tmp_path / "repaired.jsonl", lines)))
        assert code == 1
        assert "late clicks are never replayed into the stream, reconciliation counts them" in err
    assert sent(connection) == []


def test_marked_but_not_sent_is_sent_again(clickproof, connection: dict[str, Any], tmp_path: Path) -> None:
    _, shown, _ = clickproof("show", "--json", "--reason", "not_json")
    file = repaired(tmp_path / "repaired.jsonl", shown)
    origin, value = Origin(TOPICS.clicks, 1, 0), raw(click_id="repaired 0")
    with open_log(connection, TOPICS.clicks, {}) as log:
        log.mark({origin: Mark(Repair(1, origin, value).digest(), sent=False)})
    repaired(tmp_path / "another.jsonl", shown, at_0=raw(click_id="another"))
    code, _, err = clickproof("replay", str(tmp_path / "another.jsonl"))
    assert code == 1
    assert "was replayed with another value before" in err
    assert clickproof("replay", str(file), "--json")[1] == json.dumps({"sent": 1, "skipped": 0}) + "\n"
    assert [record.value for record in sent(connection)] == [value]


def test_a_replay_is_shut_out_by_the_next(connection: dict[str, Any]) -> None:
    marks = {Origin(TOPICS.clicks, 1, 0): Mark("digest", sent=False)}
    with open_log(connection, TOPICS.clicks, {}) as old, open_log(connection, TOPICS.clicks, {}) as new:
        with pytest.raises(LocalError, match="Another replay was started meanwhile"):
            old.mark(marks)
        assert new.marks() == {}
        new.mark(marks)
    with open_log(connection, TOPICS.clicks, {}) as next_one:  # waits for what is committed
        assert next_one.marks() == marks


def test_marks_that_would_be_forgotten_are_refused(connection: dict[str, Any]) -> None:
    with KafkaAdminClient(**connection) as admin:
        admin.create_topics({MARKS_TOPIC: {"num_partitions": 1}}, wait_for_metadata=True)
    with pytest.raises(LocalError, match=r"has cleanup\.policy=delete"), open_log(connection, TOPICS.clicks, {}):
        pytest.fail("it was opened")
