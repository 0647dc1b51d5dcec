"""The reconciliation of files on a MiniCluster: exact by a plain recount, and every mutation found."""

import csv
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment

from audit import recounting
from audit.differences import explain
from audit.inputs import write_counts, write_late
from audit.proof import Gap
from audit.reconciliation import Reconciliation, Records, reconcile_files
from audit.spans import Span
from jobs import reconcile
from jobs.reconcile_settings import load
from tests.builders import MINUTE, NOON, a_click
from tests.flink.conftest import CONNECTORS

pytestmark = [pytest.mark.flink, pytest.mark.long]

CLICKS = 4_000
PARTITIONS = 3
ADS = ["ad-1", "ad-2", 'say "hi",\r\nü', "\x00\x1e"]
HOUR = 60 * MINUTE
MIDNIGHT = NOON - 12 * HOUR
ARRIVED = NOON + 60 * MINUTE


@dataclass
class Case:
    """What a stream published of some clicks, in a replay's files."""

    home: Path
    records: list[dict]
    late: list[bytes]
    counts: Counter

    @property
    def exact(self) -> Counter:
        """Each identity once, in the place of its first copy: the clicks here are all valid, or plainly not."""
        places = {}
        for record in self.records:
            if record["value"] is not None and record["value"].startswith(b"{"):
                click = json.loads(record["value"])
                identity = click.get("click_id") or (
                    *(click[name] for name in ("user_id", "ip", "ad_id")),
                    clock(click),
                )
                places.setdefault(identity, (clock(click) // MINUTE * MINUTE, click["ad_id"]))
        return Counter(places.values())

    def reconcile(self, blocklist: Path | None = None) -> Reconciliation:
        """Write the files and reconcile them."""
        archive = self.home / "archive"
        archive.mkdir(exist_ok=True)
        frame = pl.DataFrame(self.records, ROW)
        for part in (0, 1):  # two files, each with a share of every partition
            frame[part::2].write_parquet(archive / f"{part}.parquet")
        with (self.home / "counts.csv").open("w", newline="") as file:
            rows = [("window_start", "ad_id", "clicks"), *((*place, clicks) for place, clicks in self.counts.items())]
            csv.writer(file).writerows(rows)
        (self.home / "late.jsonl").write_bytes(b"".join(line + b"\n" for line in self.late))
        files = (archive, self.home / "counts.csv", self.home / "late.jsonl")
        return reconcile_files(*files, a_stack(self.home), lambda doing, done: None, blocklist)


ROW = {
    "key": pl.Binary,
    "value": pl.Binary,
    "topic": pl.String,
    "partition": pl.Int32,
    "offset": pl.Int64,
    "timestamp": pl.Int64,
}


def clock(click: dict) -> int:
    return click["click_timestamp"]


@pytest.fixture(autouse=True)
def on_a_minicluster(monkeypatch):
    """Run the job in this process, in place of submitting it."""

    def run_to_end(cluster, submit, begin_again, on_progress):
        configuration = Configuration()
        configuration.set_string("pipeline.jars", CONNECTORS)
        configuration.set_string("python.executable", sys.executable)
        env = StreamExecutionEnvironment.get_execution_environment(configuration)
        reconcile.connect(env, load([*submit(), "--parallelism", "2"], {}))
        env.execute("reconcile")

    monkeypatch.setattr(recounting, "run_to_end", run_to_end)


def a_stack(home: Path) -> SimpleNamespace:
    nothing = SimpleNamespace(pid_file=home / "none")
    return SimpleNamespace(
        home=home,
        broker=SimpleNamespace(bootstrap_servers="127.0.0.1:1", daemon=nothing),
        cluster=SimpleNamespace(jobmanager=nothing, taskmanager=nothing, submit=lambda job, arguments, zip_: arguments),
    )


@pytest.fixture
def case(tmp_path) -> Case:
    """Clicks with duplicates, some of them late, some under one click_id in several places, some no clicks at all."""
    chance = random.Random(7)
    records, late, counts, seen = [], [], Counter(), {}
    sent: list[dict] = []
    for number in range(CLICKS):
        if sent and chance.random() < 0.2:
            click = chance.choice(sent)
        else:
            click = a_click(
                user_id=f"user-{number}",
                ad_id=chance.choice(ADS),
                click_timestamp=NOON + chance.randrange(5 * MINUTE),
                click_id=f"id-{number}" if chance.random() < 0.5 else ...,
            )
            sent.append(click)
        if "click_id" in click and chance.random() < 0.05:
            click = click | {"click_timestamp": clock(click) + chance.randrange(30) * MINUTE}
        value = json.dumps(click).encode()
        if chance.random() < 0.02:
            value = None if chance.random() < 0.5 else value[1:]
        elif chance.random() < 0.03:
            late.append(value)
        else:
            place = (clock(click) // MINUTE * MINUTE, click["ad_id"])
            identity = click.get("click_id") or (click["user_id"], click["ad_id"], clock(click))
            before = seen.setdefault(identity, [])
            if all(abs(start - place[0]) > 10 * MINUTE for start in before):
                before.append(place[0])
                counts[place] += 1
        partition, offset = number % PARTITIONS, number // PARTITIONS
        origin = {"key": None, "topic": "clicks", "partition": partition, "offset": offset}
        records.append({"value": value, "timestamp": ARRIVED + number // 10, **origin})
    return Case(tmp_path, records, late, counts)


def exact_places(found: Reconciliation) -> Counter:
    rows = found.places.select("window_start", "ad_id", "exact").rows()
    return Counter({(start, ad_id): clicks for start, ad_id, clicks in rows if clicks})


def causes(found: Reconciliation) -> dict:
    columns = ["window_start", "ad_id", "late", "expired_duplicate", "unexplained"]
    return {(row[0], row[1]): row[2:] for row in found.places.select(columns).rows()}


def test_the_recount_is_exact_and_every_difference_has_a_cause(case):
    found = case.reconcile()
    assert exact_places(found) == case.exact
    assert found.report.verdict == "explained"
    assert found.report.late > 0
    assert found.report.expired_duplicate > 0
    assert (found.report.gaps, found.report.repeats) == ([], 0)


def test_what_was_altered_lost_invented_and_repeated_is_found_and_repaired(case):
    whole = causes(case.reconcile())
    altered, deleted, doubled = sorted(case.counts, key=lambda place: case.counts[place])[:3]
    invented = (NOON, "invented")
    numbers = {place: case.counts[place] for place in (altered, deleted, doubled)}
    case.counts[altered] += 7
    del case.counts[deleted]
    case.counts[doubled] *= 2
    case.counts[invented] = 3
    case.records += case.records[100:200]
    dropped = case.late.pop(0)
    found = case.reconcile()

    assert exact_places(found) == case.exact
    assert found.report.verdict == "unexplained"
    assert found.report.repeats == 100
    unexplained = {place: row[2] for place, row in causes(found).items() if row[2]}
    expected = Counter({altered: -7, deleted: numbers[deleted], doubled: -numbers[doubled], invented: -3})
    expected[place_of(dropped)] += whole[place_of(dropped)][0] - causes(found)[place_of(dropped)][0]
    assert unexplained == {place: clicks for place, clicks in expected.items() if clicks}


def test_what_the_same_list_filters_is_no_difference(tmp_path):
    blocklist = tmp_path / "blocklist.csv"
    blocklist.write_text(f"field,value,since\ncountry,ZZ,\nuser_id,late,{ARRIVED + 1}\n")
    late = json.dumps(a_click(user_id="late")).encode()  # it came when it was not blocked yet
    clicks = [a_click(country="ZZ"), a_click(click_id="c", country="ZZ"), a_click(click_id="c"), a_click(user_id="b")]
    values = [*(json.dumps(click).encode() for click in clicks), late]
    origins = [{"key": None, "topic": "clicks", "partition": 0, "offset": offset} for offset in range(len(values))]
    records = [{"value": value, "timestamp": ARRIVED, **origin} for value, origin in zip(values, origins, strict=True)]
    case = Case(tmp_path, records, [late], Counter({(NOON, "ad-1"): 2}))
    filtered = case.reconcile(blocklist)
    assert exact_places(filtered) == {(NOON, "ad-1"): 3}
    assert (filtered.report.verdict, filtered.report.late) == ("explained", 1)
    assert case.reconcile().report.unexplained == 1


def test_records_that_are_missing_are_reported_with_their_offsets(case):
    case.records = [
        record
        for record in case.records
        if not (record["partition"] == 1 and record["offset"] in (500, 501, 700)) and record["partition"] != 2
    ]
    (case.home / "archive").mkdir()
    ends = {str(partition): len(range(partition, CLICKS, PARTITIONS)) for partition in range(PARTITIONS)}
    (case.home / "archive" / "_offsets.json").write_text(json.dumps({"clicks": ends}))
    found = case.reconcile()
    assert found.report.verdict == "incomplete"
    assert found.report.gaps == [Gap("clicks", 1, 500, 501), Gap("clicks", 1, 700, 700), Gap("clicks", 2, 0, 1332)]


def test_a_topic_made_anew_leaves_offsets_in_doubt(case):
    anew = [record | {"timestamp": record["timestamp"] + MINUTE} for record in case.records if record["partition"] == 1]
    case.records += anew[3:9]
    found = case.reconcile()
    assert found.report.verdict == "incomplete"
    assert found.report.gaps == [Gap("clicks", 1, 3, 8, twofold=True)]


def test_a_span_at_midnight_has_its_own_clicks_and_no_copies_of_those_before(tmp_path):
    copied = a_click(click_id="copied", click_timestamp=MIDNIGHT - 1)
    clicks = [  # (record timestamp, click)
        (MIDNIGHT - MINUTE, copied),
        (MIDNIGHT, copied | {"click_timestamp": MIDNIGHT}),
        (MIDNIGHT, a_click(user_id="first", click_timestamp=MIDNIGHT)),
        (MIDNIGHT + 3 * HOUR, a_click(user_id="late", click_timestamp=MIDNIGHT + MINUTE - 1)),
        (MIDNIGHT + MINUTE, a_click(user_id="after", click_timestamp=MIDNIGHT + MINUTE)),
    ]
    late = tmp_path / "late.jsonl"
    late.write_bytes(json.dumps(clicks[3][1]).encode() + b"\n")
    by_hour(tmp_path / "archive", clicks)

    minute = Span(MIDNIGHT, MIDNIGHT + MINUTE)
    assert recounted(tmp_path / "minute", minute, tmp_path / "archive", late) == [(MIDNIGHT, "ad-1", 2, 1)]
    nothing = Span(MIDNIGHT, MIDNIGHT)
    assert recounted(tmp_path / "nothing", nothing, tmp_path / "archive", late) == []


def by_hour(archive: Path, clicks: list[tuple[int, dict]]) -> None:
    """Write an archive as its job does, with an older hour that nobody may read."""
    for offset, (timestamp, click) in enumerate(clicks):
        folder = archive / f"hour={datetime.fromtimestamp(timestamp / 1000, UTC):%Y-%m-%dT%H}"
        folder.mkdir(parents=True, exist_ok=True)
        row = {"value": json.dumps(click).encode(), "timestamp": timestamp, "offset": offset, "partition": 0}
        pl.DataFrame([{"key": None, "topic": "clicks", **row}], ROW).write_parquet(folder / f"part-{offset}")
    (archive / "hour=2025-12-31T20").mkdir()
    (archive / "hour=2025-12-31T20" / "part-0").write_text("no Parquet")


def recounted(home: Path, span: Span, archive: Path, late: Path) -> list[tuple]:
    """Return the places of a span: window, ad, exact clicks, and those of them that came late."""
    home.mkdir()
    arguments = [
        *Records("archive", archive.as_uri(), 0).arguments(span),
        *("--span-from", str(span.start), "--span-to", str(span.end)),
        *("--counts-file", write_counts(None, home / "counts")),
        *("--late-file", write_late(late, home / "late")),
    ]
    found = recounting.recount(a_stack(home), arguments, home, lambda doing, done: None)
    places = explain(found.cells, found.spread, range(span.start, span.end), 10 * MINUTE)
    return places.filter(pl.col("exact") > 0).select("window_start", "ad_id", "exact", "late").rows()


def place_of(value: bytes) -> tuple[int, str]:
    click = json.loads(value)
    return clock(click) // MINUTE * MINUTE, click["ad_id"]
