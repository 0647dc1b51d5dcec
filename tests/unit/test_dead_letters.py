"""Dead letters are told apart, told whole, and do a terminal no harm."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import dead_letters
from audit.archive_files import RecordSpan
from audit.dead_letters import DeadLetter, Group, Origin, Wanted, count, read_dead_letters
from audit.readable import LONGEST_SHOWN, epoch_ms, iso_time, readable
from audit.repairs import Repair, read_repairs
from local.processes import LocalError
from local.topics import Record
from tests.builders import MINUTE, NOON, raw

HEADERS = {"reason": b"not_json", "topic": b"clicks", "partition": b"3", "offset": b"17", "timestamp": b"%d" % NOON}


def a_record(value: bytes | None = b"{", **headers: bytes | None) -> Record:
    """A record of a topic of rejected clicks; a header given as None is left out."""
    texts = {f"clickproof.{name}": text for name, text in (HEADERS | headers).items() if text is not None}
    return Record(0, 5, NOON + MINUTE, b"key", value, texts)


def a_letter(
    value: bytes | None = b"{", reason: str = "not_json", timestamp: int = NOON, offset: int = 0
) -> DeadLetter:
    return DeadLetter(Origin("clicks", 0, offset), timestamp, reason, None, value)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What a topic of rejected clicks holds."""
    records: list[Record] = []
    monkeypatch.setattr(dead_letters, "read_topic", lambda connection, topic: iter(records))
    return records


def test_origin_and_reason_come_from_the_headers(topic: list[Record]) -> None:
    topic.append(a_record())
    assert list(read_dead_letters({}, "clicks-invalid")) == [
        DeadLetter(Origin("clicks", 3, 17), NOON, "not_json", b"key", b"{")
    ]


@pytest.mark.parametrize("name", HEADERS)
def test_a_record_the_job_did_not_write_is_named(name: str, topic: list[Record]) -> None:
    for spoilt in [a_record(**{name: None}), a_record(**{name: b"\xff"})]:
        topic[:] = [spoilt]
        with pytest.raises(LocalError, match="partition 0, offset 5 of clicks-invalid has no headers"):
            list(read_dead_letters({}, "clicks-invalid"))


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Wanted(), [0, 1, 2, 3]),
        (Wanted(reason="late"), [1]),
        (Wanted(span=RecordSpan(NOON, NOON + MINUTE)), [0, 1]),
        (Wanted(span=RecordSpan(first=NOON + MINUTE)), [2, 3]),
        (Wanted(ad_id="ad-2"), [1, 2]),
        (Wanted(reason="wrong_type", ad_id="ad-2"), [2]),
    ],
)
def test_what_is_wanted_is_found(wanted: Wanted, offsets: list[int]) -> None:
    letters = [
        a_letter(offset=0),
        a_letter(raw(ad_id="ad-2"), "late", offset=1),
        a_letter(raw(ad_id="ad-2", ip=7), "wrong_type", NOON + MINUTE, offset=2),
        a_letter(raw(ad_id=7), "wrong_type", NOON + 2 * MINUTE, offset=3),
    ]
    assert [letter.origin.offset for letter in letters if wanted.holds(letter)] == offsets


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"\xff", b"null", b"{}", b'{"ad_id":1}', b"[" * 100_000, b"9" * 5_000]
)
def test_an_ad_that_cannot_be_read_is_none(value: bytes | None) -> None:
    assert a_letter(value).ad_id() is None


def test_dead_letters_are_counted_by_what_is_asked_for() -> None:
    letters = [a_letter(raw(), "late", NOON + 1), a_letter(raw(), "late", NOON + MINUTE), a_letter()]
    assert count(letters, by_minute=False, by_ad=False) == {
        Group("late", None, None): 2,
        Group("not_json", None, None): 1,
    }
    assert count(letters, by_minute=True, by_ad=True) == {
        Group("late", NOON, "ad-1"): 1,
        Group("late", NOON + MINUTE, "ad-1"): 1,
        Group("not_json", NOON, None): 1,
    }


@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_every_byte_survives_from_show_to_replay(value: bytes) -> None:
    line = a_letter(value).as_json()
    assert line.isascii()
    assert line.isprintable()
    (repair,) = repairs_of(line)
    assert (repair.origin, repair.value) == (Origin("clicks", 0, 0), value)


def repairs_of(*lines: str) -> list[Repair]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "repaired.jsonl"
        path.write_text("\n".join(lines))
        return read_repairs(path)


def test_text_stays_text_so_that_it_can_be_edited() -> None:
    told = json.loads(a_letter(raw(ad_id="ü")).as_json())
    assert json.loads(told["value"])["ad_id"] == "ü"
    assert "value_base64" not in told


@given(st.binary(max_size=50) | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_what_is_shown_does_a_terminal_no_harm(value: bytes) -> None:
    assert readable(value).isprintable()


def test_what_is_shown_can_be_read() -> None:
    assert readable(raw()) == raw().decode()
    assert readable("ü\x1b[2J\u202e\n".encode() + b"\xff") == r"ü\x1b[2J\u202e\n\xff"
    assert readable(None) == "(no value)"
    assert readable(b"x" * 66_000) == "x" * LONGEST_SHOWN + "… (66,000 bytes)"


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00Z", "2026-01-01T12:00", "2026-01-01T13:00+01:00", str(NOON)])
def test_times_are_read_as_iso_utc_or_epoch(text: str) -> None:
    assert epoch_ms(text) == NOON
    assert iso_time(NOON) == "2026-01-01T12:00:00.000Z"
    assert iso_time(2**62) == str(2**62)
