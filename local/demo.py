"""The demo: the whole system once, from nothing, on clicks of the last minutes, and the recount's verdict on it."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from audit.reconciliation import Records, reconcile_span
from audit.spans import Span
from ingest.producer import send_lines
from local.archiving import archive_topic
from local.console import console, errors
from local.demo_page import Outcome, page
from local.generator import generate
from local.processes import await_until
from local.published import await_committed, counts_in_force, decided_clicks, recount_topics
from local.serving_commands import serve_stack
from local.stack import PARTITIONS, TOPICS, Stack, temporary_stack
from local.topics import read_topic
from local.traffic import MINUTE, Traffic

CLICKS = 300_000
FIRST = 200_000  # sent to all partitions; then one goes quiet
MINUTES = 4
AGO = 5 * MINUTE  # when the clicks begin: their last window is over before the first heartbeat
PATIENCE = 120.0


def run_demo(keep: bool = False) -> int:
    """Run the demo, print its page; return the exit code: 1 when the results are not exact.

    `keep`: serve the counts then, until SIGINT or SIGTERM.
    """
    with errors.status("Starting Kafka and Flink") as spinner, temporary_stack() as stack:
        stack.start_job(spinner.update)
        outcome = _Demo(stack, spinner.update).play()
        spinner.stop()
        console.print(page(outcome))
        if keep:
            serve_stack(stack)
        errors.print("Stopping everything")
    return 0 if outcome.exact else 1


@dataclass
class _Demo:
    """One showing on a stack whose streaming job runs."""

    stack: Stack
    on_step: Callable[[str], None]

    @property
    def connection(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.stack.broker.bootstrap_servers}

    def play(self) -> Outcome:
        """Send clicks, fall silent, and wait until the heartbeats have closed the last window; then recount.

        The clicks are archived meanwhile.
        """
        traffic = Traffic(CLICKS, minutes=MINUTES, start=int(time.time() * 1000) - AGO)
        self.on_step(f"Generating {CLICKS:,} clicks")
        truth, first, rest = _clicks(traffic, self.stack.home)
        self._send(first, list(range(PARTITIONS)))
        self._await_decided(FIRST)
        self._send(rest, list(range(PARTITIONS - 1)))
        silent = time.monotonic()
        self.stack.start_heartbeat()
        with ThreadPoolExecutor(1) as meanwhile:
            archived = meanwhile.submit(
                archive_topic, self.stack, TOPICS.clicks, self.stack.archive_directory, lambda doing, done: None
            )
            self._await_decided(CLICKS)
            self._await_window(_span(traffic).end - MINUTE)
            silence = time.monotonic() - silent
            before = self._recount(silence)
            self.on_step("Archiving the clicks")
            archived.result()
        return self._reconcile(before, _span(traffic), truth["unique_valid"])

    def _send(self, file: Path, partitions: list[int]) -> None:
        def show(sent: int) -> None:
            self.on_step(f"Sending clicks to {len(partitions)} of {PARTITIONS} partitions: {sent:,}")

        send_lines(file, TOPICS.clicks, self.connection, on_progress=show, partitions=partitions)

    def _await_decided(self, clicks: int) -> None:
        """Return when the ledger has so many clicks: all before them have moved the watermark on."""

        def decided() -> bool:
            raw = decided_clicks(self.connection, TOPICS.ledger)
            self.on_step(f"The ledger has {raw:,} of {clicks:,} clicks")
            return raw >= clicks

        await_until(decided, "Counting the clicks", PATIENCE)

    def _await_window(self, start: int) -> None:
        """Return when the window is published, with all before it."""
        self.on_step("Silence: heartbeats move the watermark past the last window")
        await_until(lambda: start in self._top_ads(), "Closing the last window", PATIENCE)
        await_committed(self.connection, TOPICS)

    def _top_ads(self) -> dict[int, list[tuple[str, int]]]:
        """The published top ads with their clicks, by the window's start."""
        ranked: dict[int, dict[int, tuple[str, int]]] = defaultdict(dict)
        for record in read_topic(self.connection, TOPICS.top):
            row = json.loads(record.value or b"")
            ranked[row["window_start"]][row["rank"]] = (row["ad_id"], row["clicks"])
        return {start: [window[rank] for rank in sorted(window)] for start, window in ranked.items()}

    def _recount(self, silence: float) -> Outcome:
        self.on_step("Recounting every click independently")
        published, problems = recount_topics(self.connection, TOPICS)
        return Outcome(CLICKS, published.ledger, published.terms, self._top_ads(), problems, silence)

    def _reconcile(self, before: Outcome, span: Span, unique: int) -> Outcome:
        """Publish the corrections, and hold the counts in force against what was generated."""

        def show(doing: str, done: int) -> None:
            self.on_step(f"{doing}: {done:,}")

        records = Records("archive", self.stack.archive_directory.as_uri(), span.end)
        report = reconcile_span(span, records, self.stack, show, publish=True).report
        corrected = sum(counts_in_force(self.connection, TOPICS.counts).values())
        return replace(before, reconciliation=report, corrected=corrected, unique=unique)


def _span(traffic: Traffic) -> Span:
    """The windows of the clicks."""
    return Span(traffic.start // MINUTE * MINUTE, (traffic.start + traffic.span - 1) // MINUTE * MINUTE + MINUTE)


def _clicks(traffic: Traffic, home: Path) -> tuple[dict[str, Any], Path, Path]:
    """Generate the clicks; return the truth of them, the file of the first ones and that of the rest."""
    whole, first, rest = (home / name for name in ("clicks.jsonl", "first.jsonl", "rest.jsonl"))
    truth = generate(traffic, whole)
    with whole.open("rb") as lines, first.open("wb") as head, rest.open("wb") as tail:
        head.writelines(islice(lines, FIRST))
        tail.writelines(lines)
    return truth, first, rest
