"""The independent recount: proves a run's results exact from its raw clicks, or says what is wrong.

It shares no code with the job, and believes it in one thing only: which clicks were late, since that depends on the
order in which the partitions were read. Whether they can have been late is checked. Each click of a problem is named
by partition and offset, or by its line; times are epoch milliseconds.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from local.blocking import read_entries
from local.books import Books, Cell, CountryCell
from local.judge import Judgement, judge

if TYPE_CHECKING:
    from local.topics import Record

HEARTBEAT_KEY = b"clickproof.heartbeat"
OUT_OF_ORDERNESS = 5_000
MAX_CLOCK_SKEW = 300_000

Origin = tuple[int, int]  # (partition, offset)


class Rejected(NamedTuple):
    """A record of the topic of late clicks, or of the invalid ones."""

    origin: Origin
    reason: str
    value: bytes | None


def rejected(record: Record) -> Rejected:
    """Read a rejected click's origin and reason from its headers; ValueError without them."""
    try:
        partition, offset, reason = (record.headers[f"clickproof.{name}"] for name in ("partition", "offset", "reason"))
        return Rejected((int(partition), int(offset)), reason.decode(), record.value)
    except (KeyError, ValueError) as error:
        raise ValueError(f"The record at offset {record.offset} does not say where it came from: {error}") from error


def recount(
    records: Iterable[Record],
    counts: Mapping[Cell, int],
    late: Iterable[Rejected],
    invalid: Iterable[Rejected],
    ledger: Mapping[int, Mapping[str, int]],
    out_of_orderness: int = OUT_OF_ORDERNESS,
    max_clock_skew: int = MAX_CLOCK_SKEW,
    blocklist: Path | None = None,
    by_country: Mapping[CountryCell, int] | None = None,
) -> list[str]:
    """Return what is wrong with the results of the raw `records`, a sentence each; nothing if they are exact.

    `counts`: clicks by (window's start, ad); `ledger`: its terms by the minute's start. Both settings in milliseconds.
    `blocklist`: the job's, if it had one. `by_country`: clicks by (window's start, ad, country), if it counted so.
    Duplicates must lie within the dedupe horizon and agree in window and ad, or ValueError is raised.
    """
    books = Books(out_of_orderness, by_country is not None)
    problems: list[str] = []
    entries = read_entries(blocklist)
    late_at, invalid_at = _by_origin(late, "late", problems), _by_origin(invalid, "invalid", problems)
    for record in records:
        if record.key == HEARTBEAT_KEY and record.value is None:
            books.advance(record.timestamp)
            continue
        judgement = judge(record.value, record.timestamp, max_clock_skew, entries)
        origin = (record.partition, record.offset)
        problems += _place(books, record, judgement, late_at.pop(origin, None), invalid_at.pop(origin, None))
    problems += _unknown(late_at, "late") + _unknown(invalid_at, "invalid")
    problems += [*books.late_problems(), *books.count_problems(counts), *books.ledger_problems(ledger)]
    return problems if by_country is None else [*problems, *books.country_problems(by_country)]


def _by_origin(reported: Iterable[Rejected], what: str, problems: list[str]) -> dict[Origin, Rejected]:
    """The reported clicks by their origin; one that was reported twice is a problem."""
    by_origin: dict[Origin, Rejected] = {}
    for click in reported:
        if click.origin in by_origin:
            problems.append(f"{_name(click.origin)} was reported {what} more than once.")
        by_origin[click.origin] = click
    return by_origin


def _place(
    books: Books, record: Record, judgement: Judgement, late: Rejected | None, invalid: Rejected | None
) -> Iterator[str]:
    """Book one click, and hold it against how it was reported."""
    books.advance(judgement.timestamp)
    name = _name((record.partition, record.offset))
    for report in (late, invalid):
        if report and report.value != record.value:
            yield f"{name} was reported with other bytes than it came with."
    if judgement.click is None:
        books.book_invalid(record.timestamp)
        if late:
            yield f"{name} is not counted ({judgement.reason}), but was reported late."
        if invalid is None or invalid.reason != judgement.reason:
            yield f"{name} is {judgement.reason}, but was {f'called {invalid.reason}' if invalid else 'not reported'}."
        return
    if invalid:
        yield f"{name} is valid, but was called {invalid.reason}."
    if late:
        books.book_late(judgement.click, name)
    else:
        books.book_on_time(judgement.click)


def _unknown(reported: Mapping[Origin, Rejected], what: str) -> list[str]:
    return [f"{_name(origin)} was reported {what}, but there is no such click." for origin in reported]


def _name(origin: Origin) -> str:
    return f"Click {origin[0]}@{origin[1]}"


def recount_files(
    clicks: Path,
    results: Path,
    now: int,
    out_of_orderness: int = OUT_OF_ORDERNESS,
    max_clock_skew: int = MAX_CLOCK_SKEW,
    blocklist: Path | None = None,
) -> list[str]:
    """Return what is wrong with the files in `results` that a replay of the file `clicks` made; nothing if exact.

    `now`: when the clicks were produced (epoch milliseconds). Results have no origins there: of equal lines any may
    be the late one. Counts by country are held against the recount if they are there. Otherwise as `recount`.
    """
    by_country = results / "counts-by-country.csv"
    books = Books(out_of_orderness, by_country.exists())
    problems: list[str] = []
    entries = read_entries(blocklist)
    late, invalid = (Counter(_lines(results / name)) for name in ("late.jsonl", "invalid.jsonl"))
    for number, line in enumerate(_lines(clicks), start=1):
        click, reason, timestamp = judge(line, now, max_clock_skew, entries)
        books.advance(timestamp)
        if click is None:
            books.book_invalid(now)
            if not _take(invalid, line):
                problems.append(f"Line {number} is {reason}, but is not in invalid.jsonl.")
        elif _take(late, line):
            books.book_late(click, f"Line {number}")
        else:
            books.book_on_time(click)
    problems += _surplus(late, "late") + _surplus(invalid, "invalid")
    counts = _read_counts(results / "counts.csv", problems)
    ledger = json.loads((results / "ledger.json").read_text(encoding="utf-8"))
    problems += [*books.late_problems(), *books.count_problems(counts), *books.total_problems(ledger)]
    if by_country.exists():
        problems += books.country_problems(_read_counts(by_country, problems, "country"))
    return problems


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _take(lines: Counter[bytes], line: bytes) -> bool:
    """Take one such line away; whether there was one."""
    if lines[line] <= 0:
        return False
    lines[line] -= 1
    return True


def _surplus(lines: Counter[bytes], what: str) -> list[str]:
    return [f"{what}.jsonl has {n} too many of {line[:200]!r}." for line, n in lines.items() if n > 0]


def _read_counts(path: Path, problems: list[str], *dimensions: str) -> dict[Any, int]:
    """The published counts by window, ad and further columns; two rows of the same are a problem."""
    counts: dict[Any, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            cell = (int(row["window_start"]), row["ad_id"], *(row[name] for name in dimensions))
            if cell in counts:
                problems.append(f"Ad {cell[1]!r} in window {cell[0]} has two rows in {path.name}.")
            counts[cell] = int(row["clicks"])
    return counts
