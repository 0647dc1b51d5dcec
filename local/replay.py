"""A bounded run of the streaming job over a file: every line through fresh topics, the results into files."""

import csv
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.producer import send_lines
from local.archiving import archive_topic, flatten
from local.blocklists import blocklist_argument
from local.deployment import Deployment, deployment
from local.keeper import kept_alive
from local.processes import LocalError, exit_on_sigterm
from local.published import Published, await_committed, read_published
from local.recount import Rejected
from local.stack import PARTITIONS, Stack, default_stack, temporary_stack

# Nothing is missing from a file: a partition that is slow to be read must never count as idle.
SETTINGS = ["--bounded", "--idle-timeout", "24 h"]

STEPS = ("produce", "submit", "run", "read", "archive")
ARCHIVE = "archive"
BY_COUNTRY = "counts-by-country.csv"

Progress = Callable[[str, int], None]  # (what is being done, lines so far)


@dataclass(frozen=True)
class Replay:
    """How a replay went; `produce`, `submit`, `run`, `read` and `archive` in seconds."""

    lines: int
    produce: float
    submit: float
    run: float
    read: float
    archive: float
    ledger: dict[str, int]

    def summary(self) -> dict[str, object]:
        """The same for programs; clicks per second of the job alone, and of all it takes to count them."""
        seconds = {name: round(getattr(self, name), 3) for name in STEPS}
        counting = sum(seconds.values()) - seconds["archive"]
        speed = {"job": round(self.lines / self.run), "wall": round(self.lines / counting)}
        return {"lines": self.lines, "clicks_per_second": speed, "seconds": seconds, "ledger": self.ledger}


@contextmanager
def running_stack(slots: int) -> Iterator[Stack]:
    """The stack that `clickproof up` started, if it runs, or else a temporary one with so many task slots."""
    stack = default_stack()
    if not (stack.broker.alive() and stack.cluster.alive()):
        with temporary_stack(slots) as stack:
            yield stack
        return
    with exit_on_sigterm():
        stack.start()
        if (free := stack.cluster.free_slots()) < slots:
            raise LocalError(f"The running cluster has {free} free task slots: choose that parallelism, or stop a job.")
        yield stack


def replay(
    file: Path,
    out: Path,
    stack: Stack,
    parallelism: int,
    on_progress: Progress,
    blocklist: Path | None = None,
    dimensions: str = "",
) -> Replay:
    """Run the file's lines through the job; write its results, and the archive of the lines, to `out`.

    They are written last, and only if they add up. Raises LocalError, ProduceError or KafkaError.
    """
    settings = [*SETTINGS, "--parallelism", str(parallelism), *blocklist_argument(blocklist)]
    settings += ["--dimensions", dimensions] if dimensions else []
    with kept_alive(stack), deployment(stack, "replay", max(PARTITIONS, parallelism), settings) as job:
        start = time.monotonic()
        lines = send_lines(
            file, job.topics.clicks, job.connection, on_progress=lambda sent: on_progress("Sending", sent)
        )
        produced = time.monotonic()
        run = _run(job, on_progress)
        finished = time.monotonic()
        on_progress("Reading the results", lines)
        published = _read(job, lines)
        read = time.monotonic()
        with drafted(out) as draft:
            _archive(job, lines, draft / ARCHIVE, on_progress)
            write_results(published, draft)
        seconds = (produced - start, finished - produced - run, run, read - finished, time.monotonic() - read)
    return Replay(lines, *seconds, published.terms)


def _run(job: Deployment, on_progress: Progress) -> float:
    """Run the job to its end; return its own duration in seconds."""
    on_progress("Submitting the job", 0)
    job.run_bounded(lambda status, records: on_progress(f"Job {status}", records))
    return job.stack.cluster.job_seconds(str(job.job_id))


def _read(job: Deployment, lines: int) -> Published:
    """Read the results; raise LocalError unless they add up to so many lines."""
    await_committed(job.connection, job.topics)
    published = read_published(job.connection, job.topics)
    if published.terms["raw"] != lines:
        raise LocalError(f"{lines} lines were sent, but the ledger has {published.terms['raw']}: replay again.")
    if contradiction := next(published.contradictions(), None):
        raise LocalError(f"{contradiction} Nothing was written: replay again.")
    return published


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """Yield a directory for the results; those of an earlier run in `out` stay until all of them are complete."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=out) as name:
        draft = Path(name)
        yield draft
        shutil.rmtree(out / ARCHIVE, ignore_errors=True)
        (out / BY_COUNTRY).unlink(missing_ok=True)
        for result in sorted(draft.iterdir()):
            result.replace(out / result.name)


def write_results(published: Published, directory: Path) -> None:
    """Write counts.csv, late.jsonl, invalid.jsonl and ledger.json; counts-by-country.csv where there are any."""
    _write_counts(published.counts, directory / "counts.csv", "ad_id")
    if published.by_country is not None:
        _write_counts(published.by_country, directory / BY_COUNTRY, "ad_id", "country")
    _write_lines(published.late, directory / "late.jsonl")
    _write_lines(published.invalid, directory / "invalid.jsonl")
    (directory / "ledger.json").write_text(json.dumps(published.terms) + "\n", encoding="ascii")


def _archive(job: Deployment, lines: int, target: Path, on_progress: Progress) -> None:
    by_hour = target.with_name("by-hour")
    archive_topic(job.stack, job.topics.clicks, by_hour, on_progress)
    flatten(by_hour, target, {job.topics.clicks: _ends(lines, job.partitions)})
    shutil.rmtree(by_hour, ignore_errors=True)


def _ends(lines: int, partitions: int) -> dict[int, int]:
    """Return by partition how many of the lines it got: line n went to partition n % partitions."""
    return {partition: len(range(partition, lines, partitions)) for partition in range(partitions)}


def _write_counts(counts: Mapping[Any, int], path: Path, *names: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("window_start", *names, "clicks"))
        writer.writerows((*cell, clicks) for cell, clicks in sorted(counts.items()))


def _write_lines(records: Iterable[Rejected], path: Path) -> None:
    """Write the original lines in the file's order: line n went to offset n // width of partition n % width."""
    in_order = sorted(records, key=lambda record: record.origin[::-1])
    with path.open("wb") as file:
        file.writelines((record.value or b"") + b"\n" for record in in_order)
