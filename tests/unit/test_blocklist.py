"""What a blocklist filters, against the recount's own reading of the list; and what is no list."""

import pickle
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.setting_sources import SettingsError
from jobs.settings import Settings, blocklist
from local.blocking import read_entries
from local.judge import judge as recount_judge
from tests.builders import MINUTE, NOON, raw
from udfs.batches import JUDGED, judge_batch
from udfs.blocklist import BlocklistError, read_blocklist

SKEW = 5 * MINUTE
NETWORKS = [
    *("10.0.0.1", "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "2001:DB8:0:1::7", "::/0"),
    *("::ffff:10.1.0.0/112", "::ffff:0:0/96", "::fffe:0:0/95"),
]
ADDRESSES = [
    *("10.0.0.1", "10.1.0.255", "11.0.0.1", "::ffff:10.1.0.1", "::FFFF:a00:1", "2001:db8:0:1:0:0:0:7", "::1"),
    *("::10.0.0.1", "2001:db9::", "fe80::1%eth0", "10.0.0.01", "10.0.0.1 ", "10.0.0.1\x00", "10.1", "unknown"),
    "１０.0.0.1",
]
TIMES = ["", str(NOON), str(NOON + 1), "2026-01-01T12:00:00.002Z"]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
users = st.sampled_from(["user-1", 'say "hi",\r\n', " user-1"]) | texts
countries = st.sampled_from(["DE", "de", ""]) | texts
entries = st.one_of(
    st.tuples(st.just("ip"), st.sampled_from(NETWORKS)),
    st.tuples(st.just("user_id"), users),
    st.tuples(st.just("country"), countries.filter(bool)),
)
lines = st.tuples(entries, st.sampled_from([(since, until) for since in TIMES[:3] for until in ("", TIMES[3])]))
clicks = st.builds(
    raw,
    ip=st.sampled_from(ADDRESSES),
    user_id=users,
    country=countries | st.none() | st.just(...),
    extra=st.just(...) | st.just([1]),  # no plain click: judged by itself
)
records = st.tuples(clicks | st.just(b"not json"), st.integers(NOON - 1, NOON + 3))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists") / "blocklist.csv"


def write(file: Path, lines: list[tuple[tuple[str, str], tuple[str, str]]]) -> None:
    quoted = [",".join('"' + text.replace('"', '""') + '"' for text in (*entry, *span)) for entry, span in lines]
    file.write_text("\n".join(["field,value,since,until", *quoted]), encoding="utf-8", newline="")


def verdicts(batch: list[tuple[bytes, int]], list_: Path) -> list[tuple[object, ...]]:
    records = pl.DataFrame(batch, {"value": pl.Binary, "timestamp": pl.Int64}, orient="row")
    return judge_batch(records, SKEW, read_blocklist(list_)).rows()


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, max_size=4), st.lists(records, min_size=1, max_size=8))
@example([(("ip", network), ("", "")) for network in NETWORKS[:1]], [(raw(ip=ip), NOON) for ip in ADDRESSES])
@example([(("ip", NETWORKS[6]), ("", ""))], [(raw(ip=ip), NOON) for ip in ADDRESSES])
@example([(("ip", NETWORKS[9]), ("", ""))], [(raw(ip=ip), NOON) for ip in ADDRESSES])
def test_a_batch_is_filtered_as_the_recount_filters_it_one_by_one(file, lines, batch):
    write(file, lines)
    judged = verdicts(batch, file)
    found = [row[list(JUDGED).index("reason")] for row in judged]
    assert found == [recount_judge(value, time, SKEW, read_entries(file)).reason for value, time in batch]
    assert all(row[:3] == (None, None, None) for row, reason in zip(judged, found, strict=True) if reason)
    assert verdicts([(value[:-1] + b', "extra": []}', time) for value, time in batch], file) == judged


def test_a_click_has_the_first_reason_that_applies_and_filtered_is_the_last(file):
    write(file, [(("country", "DE"), ("", ""))])
    batch = [raw(country="DE"), raw(country="DE", user_id=""), raw(country="DE", extra=[]), raw(country="FR")]
    assert [row[3] for row in verdicts([(value, NOON) for value in batch], file)] == [
        "filtered",
        "empty_field",
        "filtered",
        None,
    ]


def test_an_entry_holds_from_since_up_to_until_by_the_records_own_time(file):
    write(file, [(("user_id", "user-1"), (str(NOON), "2026-01-01T13:00:00.001+01:00"))])
    for value in (raw(), raw(extra=[])):  # by column and one by one
        assert [row[3] for row in verdicts([(value, NOON + ms) for ms in (-1, 0, 1)], file)] == [None, "filtered", None]


def test_a_list_is_read_as_spreadsheets_write_it(file):
    file.write_bytes(b'\xef\xbb\xbfnote,value,field\r\n"bots, again",10.0.0.0/8,ip\r\n\r\n')
    assert [row[3] for row in verdicts([(raw(), NOON)], file)] == ["filtered"]


def test_a_list_without_entries_filters_nothing(file):
    write(file, [])
    assert [row[3] for row in verdicts([(raw(country="DE"), NOON)], file)] == [None]


def test_a_list_travels_to_the_workers_with_the_function(file):
    write(file, [(("ip", "10.0.0.0/8"), ("", TIMES[3])), (("country", "DE"), ("", ""))])
    list_ = read_blocklist(file)
    assert pickle.loads(pickle.dumps(list_)) == list_


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "line 1: the header must be field,value"),
        (b"ip,10.0.0.1\n", "line 1: the header must be field,value"),
        (b"field,value,untill\n", "line 1: the header must be field,value"),
        (b"field,value\nip,10.0.0.1\nip,10.0.0\n", "line 3: '10.0.0' does not appear to be an IPv4 or IPv6 network"),
        (b"field,value\nip,10.0.0.1/8\n", "line 2: 10.0.0.1/8 has host bits set"),
        (b"field,value\nip,fe80::1%eth0\n", "line 2: 'fe80::1%eth0' has a zone"),
        (b"field,value\nad_id,ad-1\n", "line 2: field must be one of ip, user_id, country, not 'ad_id'"),
        (b"field,value\ncountry,\n", "line 2: value is missing"),
        (b"field,value\ncountry\n", "line 2: it has more or fewer columns than the header"),
        (b"field,value\nuser_id,a,b\n", "line 2: it has more or fewer columns than the header"),
        (b"field,value,since\ncountry,DE,soon\n", "line 2: 'soon' is no time such as"),
        (b"field,value,since,until\ncountry,DE,5,5\n", "line 2: since must be before until"),
        (b'field,value\ncountry,"DE\n', "line 2: unexpected end of data"),
        (b"field,value\ncountry,\xff\n", "blocklist.csv is not UTF-8"),
    ],
)
def test_a_bad_line_is_refused_in_one_sentence_that_names_it(file, content, sentence):
    file.write_bytes(content)
    with pytest.raises(BlocklistError) as refused:
        read_blocklist(file)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_job_refuses_a_list_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"^blocklist: .*none.csv cannot be read: No such file or directory$"):
        blocklist(Settings(blocklist=tmp_path / "none.csv"))
    assert blocklist(Settings()) is None
