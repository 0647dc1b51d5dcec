"""A replay counts every line of a file exactly once, whatever its bytes, on a real broker and cluster."""

import json
import sys
import time
from pathlib import Path

import pytest

from local import cli
from local.blocking import read_entries
from local.generator import generate
from local.judge import judge
from local.recount import MAX_CLOCK_SKEW, recount_files
from local.replay import replay
from local.stack import HOME_VARIABLE, KAFKA_PORT_VARIABLE, REST_PORT_VARIABLE, Stack
from local.traffic import Traffic
from tests.builders import NOON, raw
from tests.fuzz import fuzzed
from tests.regressions.poison import POISON
from tests.seeds import chosen_seed

pytestmark = pytest.mark.e2e
FUZZED = 5_000

GARBAGE = [
    b"",
    b"\r",
    b"\x00",
    b"\x1e",
    b"\xff\xfe\xfa",
    b"\xef\xbb\xbf" + raw(),
    raw()[:-1],
    raw() + raw(),
    b"[" + raw() + b"]",
    b"[" * 100_000,
    b'{"click_timestamp":{"click_timestamp":1}}',
    b"null",
    b"NaN",
    raw(ad_id=7),
    raw(ad_id=["ad"]),
    raw(ad_id="\ud800"),
    raw(ad_id="ad").replace(b"ad", b"\xed\xa0\x80", 1),
    raw(ad_id="a\x1eb").replace(rb"\u001e", b"\x1e"),
    raw(click_timestamp=True),
    raw(click_timestamp=1e3),
    raw(click_timestamp=-1),
    raw(click_timestamp=2**63),
    raw(click_timestamp=10**400),
    raw(click_timestamp=-(10**400)),
    raw().replace(str(NOON).encode(), b"1e999999999"),
    raw().replace(str(NOON).encode(), b"9" * 60_000),
    raw(extra="x" * 1_000_000),
    b"x" * 1_000_000,
    b" " * 1_000_000,
]
ODD_CLICKS = [
    raw(user_id="crlf") + b"\r",
    raw(ad_id='"a","b"\r\nc\x00\x1e😀'),
    raw(ad_id=" "),
    raw(ad_id="nested", extra={"ad_id": [{"click_timestamp": 10**30}]}),
    raw(ad_id="edge", click_timestamp=0),
    b" \t" + raw(user_id="space") + b"\r \t",
    raw(user_id="last"),
]


BLOCKED = [raw(user_id="bot"), raw(user_id="bot", extra=[]), raw(ip="::ffff:10.66.0.1"), raw(country="ZZ")]
NOT_BLOCKED = [raw(user_id="Bot"), raw(ip="10.67.0.1"), raw(country="YY")]
BLOCKLIST = "field,value,until\nuser_id,bot,\nip,10.66.0.0/16,\ncountry,ZZ,\ncountry,YY,2026-01-01T00:00:00Z\n"


def a_file(tmp_path: Path, content: bytes) -> Path:
    file = tmp_path / "clicks.jsonl"
    file.write_bytes(content)
    return file


def replayed(
    stack: Stack, file: Path, out: Path, blocklist: Path | None = None, dimensions: str = ""
) -> dict[str, int]:
    """Replay the file, see the results recounted, return the ledger."""
    now = int(time.time() * 1000)
    result = replay(file, out, stack, 2, lambda doing, lines: None, blocklist, dimensions)
    assert recount_files(file, out, now, blocklist=blocklist) == []
    assert json.loads((out / "ledger.json").read_text()) == result.ledger
    assert (out / "counts-by-country.csv").exists() == bool(dimensions)
    return result.ledger


def test_200_000_clicks_of_every_kind_are_exact(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "clicks.jsonl"
    truth = generate(Traffic(clicks=200_000, seed=7), file)
    ledger = replayed(stack, file, tmp_path / "results")
    assert ledger["raw"] == truth["raw"] == 200_000
    assert ledger["counted"] + ledger["duplicate"] + ledger["late"] == truth["valid"]
    assert min(ledger["counted"], ledger["duplicate"], ledger["invalid"]) > 0  # so short a run may close no window


def rejects(lines: list[bytes], blocklist: Path) -> list[bytes]:
    now = int(time.time() * 1000)  # a time that was tampered with may lie between the clicks' and this
    entries = read_entries(blocklist)
    return [line for line in lines if judge(line, now, MAX_CLOCK_SKEW, entries).click is None]


def test_every_odd_line_is_processed_exactly_once(stack: Stack, tmp_path: Path) -> None:
    blocklist = tmp_path / "blocklist.csv"
    blocklist.write_text(BLOCKLIST)
    assert rejects(GARBAGE + BLOCKED + NOT_BLOCKED, blocklist) == GARBAGE + BLOCKED
    fuzz = [*POISON, *fuzzed(chosen_seed(), FUZZED, NOON)]
    lines = [*GARBAGE, *ODD_CLICKS, *BLOCKED, *fuzz, *NOT_BLOCKED, *GARBAGE, *ODD_CLICKS]
    ledger = replayed(stack, a_file(tmp_path, b"\n".join(lines)), tmp_path, blocklist, "country")
    invalid = [*GARBAGE, *BLOCKED, *rejects(fuzz, blocklist), *GARBAGE]
    assert ledger["invalid"] == len(invalid)
    assert ledger["counted"] + ledger["late"] >= len(ODD_CLICKS) + len(NOT_BLOCKED)
    assert (tmp_path / "invalid.jsonl").read_bytes() == b"\n".join([*invalid, b""])


@pytest.mark.long
def test_an_empty_file_gives_empty_results_on_the_running_stack(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(stack.home))
    monkeypatch.setenv(KAFKA_PORT_VARIABLE, str(stack.broker.port))
    monkeypatch.setenv(REST_PORT_VARIABLE, str(stack.cluster.rest_port))
    file, out = a_file(tmp_path, b""), tmp_path / "new" / "results"
    monkeypatch.setattr(sys, "argv", ["clickproof", "replay", str(file), "--out", str(out), "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["lines"] == 0
    assert (out / "counts.csv").read_bytes() == b"window_start,ad_id,clicks\r\n"
    assert (out / "late.jsonl").read_bytes() == (out / "invalid.jsonl").read_bytes() == b""
    assert set(json.loads((out / "ledger.json").read_text()).values()) == {0}
    assert stack.broker.alive()
    assert stack.cluster.alive()
