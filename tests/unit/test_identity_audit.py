"""The identity audit, against a plain reading of its definition."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit import archive_files, spill
from audit.archive_files import RecordSpan
from audit.click_contents import contents
from audit.identity_audit import IdentityAudit, audit_identities
from local.judge import judge
from tests.archives import Row, write_archive
from tests.builders import MINUTE, NOON, a_click, raw

SKEW = 5 * MINUTE
OF_IDENTITY = ("click_timestamp", "user_id", "ad_id", "ip")


def audited(directory: Path, rows: list[Row], examples: int = 5) -> IdentityAudit:
    return audit_identities(write_archive(directory, rows, files=2), RecordSpan(), SKEW, examples)


def values_audited(directory: Path, *values: bytes) -> IdentityAudit:
    return audited(directory, [Row(value, offset) for offset, value in enumerate(values)])


def with_members(members: bytes) -> bytes:
    """A click with more members, as they are written."""
    return raw()[:-1] + b"," + members + b"}"


class Written(str):
    """A number's text; equal to no string."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Written) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(("number", str(self)))


def frozen(value: object) -> object:
    if isinstance(value, dict):
        return frozenset((name, frozen(inner)) for name, inner in value.items())
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def oracle(values: list[bytes]) -> tuple[int, int, int]:
    """Unique synthetic identities, those of several contents, and the clicks falsely merged."""
    found: dict[tuple, set[object]] = defaultdict(set)
    for value in values:
        if judge(value, NOON, SKEW).click is None:
            continue
        fields = json.loads(value, parse_int=Written, parse_float=Written)
        if fields.get("click_id") is None:
            identity = tuple(fields[name] for name in OF_IDENTITY)
            ignored = (*OF_IDENTITY, "click_id", *(["country"] if fields.get("country") is None else []))
            found[identity].add(frozen({name: inner for name, inner in fields.items() if name not in ignored}))
    sizes = [len(several) for several in found.values()]
    return len(sizes), sum(size > 1 for size in sizes), sum(sizes) - len(sizes)


text = st.sampled_from(["", "DE", "a:b", "{", '"', "\\", "ü", "country", 'x","country":"FR', "\x7f", "null"])
numbers = st.sampled_from(["1", "1.0", "-0", "0", "1e3", "9" * 30, "true", "null", "[1]", "[1.0]", '{"b":1,"a":"1"}'])
names = st.sampled_from(["country", "country", "click_id", "referrer", "a", "ad_id2", "ü"])


@st.composite
def spellings(draw) -> bytes:
    """One of few clicks, with a few fields more, in some order and spelling."""

    def spelled(string: str) -> str:
        plain = json.dumps(string, ensure_ascii=draw(st.booleans()))
        return plain.replace("a", r"\u0061") if draw(st.integers(0, 9)) == 0 else plain

    members = [
        spelled(name) + ":" + draw(st.sampled_from(["", " ", "\n"])) + json.dumps(value)
        for name, value in a_click(user_id=draw(st.sampled_from("ab"))).items()
    ]
    for name in draw(st.lists(names, max_size=3)):
        value = draw(text.map(spelled) | (numbers if name not in ("country", "click_id") else st.just("null")))
        members.append(spelled(name) + ":" + draw(st.sampled_from(["", " "])) + value)
    return ("{" + ", ".join(draw(st.permutations(members))) + "}").encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(spellings(), min_size=1, max_size=12))
@example([raw(note=": b"), raw(note=":b"), raw(note="1"), raw(note=1)])
@example([with_members(b'"country":"DE","country":"FR"'), raw(country="FR"), raw(country="DE")])
@example([raw(country=None), raw(), raw(click_id=None, user_id="b")])
@example([with_members(b'"price":1.50'), with_members(rb'"pr\u0069ce":1.50')])
@example([with_members(b'"price":1.50'), with_members(rb'"pr\u0069ce":1.5')])
def test_the_audit_is_that_of_a_plain_reading(values: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setattr(spill, "ROWS_OF_BUCKET", 3)
        patch.setattr(archive_files, "ROWS_AT_ONCE", 4)
        result = values_audited(Path(directory), *values, *values[:2])
    assert (result.unique, result.ambiguous, result.falsely_merged) == oracle(values)
    assert len(result.examples) == min(result.ambiguous, 5)


def test_what_producers_send_is_read_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.click_contents._read", None)
    usual = [raw(country="DE", referrer="https://x.org/?q=1", price=1.25), json.dumps(a_click(click_id="c")).encode()]
    read = contents(pl.Series(usual, dtype=pl.Binary).cast(pl.String))
    assert read.rows() == [(True, '"country":"DE"', '"price":1.25\n"referrer":"https://x.org/?q=1"'), (False, "", "")]


def test_honest_duplicates_are_not_merged_falsely(tmp_path: Path) -> None:
    reordered = json.dumps(dict(reversed(a_click(country="DE").items())), separators=(",", ":")).encode()
    result = values_audited(tmp_path, raw(country="DE"), raw(country="DE"), reordered)
    assert (result.unique, result.ambiguous, result.falsely_merged) == (1, 0, 0)


def test_clicks_with_an_id_of_their_own_are_left_out(tmp_path: Path) -> None:
    result = values_audited(tmp_path, raw(click_id="c", country="DE"), raw(click_id="c", country="FR"))
    assert (result.unique, result.falsely_merged, result.share) == (0, 0, 0.0)


def test_it_is_told_what_differs(tmp_path: Path) -> None:
    country = [raw(country="DE"), raw(country="FR"), raw()]
    others = [raw(user_id="b", attempt=1), raw(user_id="b", attempt=2)]
    result = values_audited(tmp_path, *country, *others, raw(user_id="c"))
    assert (result.ambiguous, result.other_country, result.other_fields) == (2, 1, 1)
    assert (result.falsely_merged, result.share) == (3, 1.0)


def test_examples_show_the_first_copy_of_each_content_with_its_origin(tmp_path: Path) -> None:
    values = [raw(country="DE"), raw(user_id="b"), raw(country="DE"), raw(country="FR"), raw(country="NL")]
    more = [raw(user_id="b", country="DE"), raw(user_id="b", country="DE")]
    result = audited(tmp_path, [Row(value, offset, partition=2) for offset, value in enumerate(values + more)], 1)
    (shown,) = result.examples
    assert sorted((copy.partition, copy.offset, copy.value.encode()) for copy in shown) == [
        (2, offset, values[offset]) for offset in (0, 3, 4)
    ]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(archive_files.LocalError, match=r"torn\.parquet cannot be read"):
        audit_identities([tmp_path / "torn.parquet"], RecordSpan(), SKEW)
