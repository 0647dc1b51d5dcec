"""What all systems are given: one topic of clicks, and the counts that a plain recount of the clicks comes to."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.producer import read_lines, send_lines
from local.broker import Broker
from local.console import errors
from local.generator import generate
from local.processes import exit_on_sigterm, free_port
from local.topics import read_topic
from local.traffic import MINUTE, Traffic

TOPIC = "clicks"
PARTITIONS = 4
Place = tuple[int, str]  # window's start (epoch ms), ad

# Clicks of unusual JSON, which peers read as they like, are left out.
UNUSUAL = b'"user_id":"odd-'
CLOSING_AD = "closing"
CLOSING_AFTER = 15 * MINUTE  # beyond the dedupe's horizon: whoever reads it has closed all windows

_START, _SLOWEST = 240.0, 20_000.0  # seconds, and clicks/s after them


@dataclass(frozen=True)
class Contest:
    """The clicks in the topic of a broker, and what is to come out; `clicks` is their number.

    `seconds`: what one run over them may take.
    """

    bootstrap_servers: str
    clicks: int
    seconds: float
    exact: dict[Place, int]

    @property
    def connection(self) -> dict[str, Any]:
        """How Kafka clients reach the topics."""
        return {"bootstrap_servers": self.bootstrap_servers}

    def is_exact(self, counts_topic: str, updates: bool = False) -> bool:
        """Whether the topic has each count, and no other; the closing clicks do not matter.

        A count is there once, or, of a system that publishes `updates`, the last one counts.
        """
        rows = [json.loads(record.value or b"") for record in read_topic(self.connection, counts_topic)]
        counts = {(row["window_start"], row["ad_id"]): row["clicks"] for row in rows if row["ad_id"] != CLOSING_AD}
        closing = sum(row["ad_id"] == CLOSING_AD for row in rows)
        return (updates or len(counts) + closing == len(rows)) and counts == self.exact


@contextmanager
def opened(clicks: int, seconds: float = 0, **settings: Any) -> Iterator[tuple[Contest, Broker, Path]]:
    """Yield a contest over so many clean clicks, its broker, and a temporary home; both are gone on exit.

    `seconds`: what one run may take, if not the usual. `settings`: of the traffic, other than its defaults.
    """
    with tempfile.TemporaryDirectory() as folder, exit_on_sigterm():
        home = Path(folder)
        broker = Broker(home / "kafka", free_port())
        try:
            broker.start()
            errors.print(f"Generating {clicks:,} clicks")
            traffic = Traffic(clicks, late=0, invalid=0, future=0, **settings)
            yield prepare(traffic, broker, home, seconds or _START + clicks / _SLOWEST), broker, home
        finally:
            broker.stop()


def prepare(traffic: Traffic, broker: Broker, home: Path, seconds: float) -> Contest:
    """Generate the clicks, recount them, and send them to the broker."""
    raw, file = home / "raw.jsonl", home / "clicks.jsonl"
    generate(traffic, raw)
    with file.open("wb") as out:
        out.writelines(line + b"\n" for line in read_lines(raw) if UNUSUAL not in line)
        out.writelines(_closing(traffic))
    raw.unlink()
    clicks, exact = _recount(read_lines(file))
    broker.create_topics({TOPIC: PARTITIONS})
    send_lines(file, TOPIC, {"bootstrap_servers": broker.bootstrap_servers})
    return Contest(broker.bootstrap_servers, clicks, seconds, exact)


def _closing(traffic: Traffic) -> Iterator[bytes]:
    """One click for each partition, in a later window."""
    time = traffic.start + traffic.span + CLOSING_AFTER
    for number in range(PARTITIONS):
        click = {"ad_id": CLOSING_AD, "user_id": str(number), "ip": "10.0.0.1", "click_timestamp": time}
        yield json.dumps(click).encode() + b"\n"


def _recount(lines: Iterator[bytes]) -> tuple[int, dict[Place, int]]:
    """Return the number of clicks, and the unique ones of each window and ad."""
    clicks, seen, counts = 0, set(), Counter[Place]()
    for line in lines:
        click = json.loads(line)
        identity = click.get("click_id") or tuple(click[name] for name in ("click_timestamp", "user_id", "ad_id", "ip"))
        clicks += 1
        if identity not in seen:
            seen.add(identity)
            counts[click["click_timestamp"] // MINUTE * MINUTE, click["ad_id"]] += 1
    return clicks, {place: number for place, number in counts.items() if place[1] != CLOSING_AD}
