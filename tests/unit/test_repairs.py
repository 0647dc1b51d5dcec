"""A repaired click is never counted twice, wherever its replay was killed; and what may not be replayed is refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import repairs
from audit.dead_letters import Origin
from audit.repairs import Mark, Outcome, Repair, check_origins, check_values, read_repairs, replay
from local.processes import LocalError
from tests.builders import FAR_FUTURE, MINUTE, NOON, raw
from udfs.blocklist import read_blocklist


class Killed(Exception):  # noqa: N818 - what befalls a process, not a fault of it
    """The process ends here."""


class FakeLog:
    """A log in memory, and a process that is killed before so many of its steps."""

    def __init__(self) -> None:
        self.written: dict[Origin, Mark] = {}
        self.clicks: list[tuple[Origin, bytes]] = []
        self.steps_left = FAR_FUTURE

    def step(self) -> None:
        if self.steps_left == 0:
            raise Killed
        self.steps_left -= 1

    def marks(self) -> Mapping[Origin, Mark]:
        self.step()
        return dict(self.written)

    def mark(self, marks: Mapping[Origin, Mark]) -> None:
        self.step()
        self.written |= marks
        self.step()

    def send(self, repairs: Sequence[Repair]) -> None:
        for repair in repairs:
            self.step()
            self.clicks.append((repair.origin, repair.value))
        self.step()

    def run(self, repairs: list[Repair], steps: int = FAR_FUTURE) -> Outcome | None:
        """Replay until done, refused or killed."""
        self.steps_left = steps
        try:
            return replay(repairs, self)
        except (Killed, LocalError):
            return None

    def values(self) -> dict[Origin, set[bytes]]:
        """The values each origin was sent with: equal ones are one click, by their identity."""
        return {origin: {value for sent, value in self.clicks if sent == origin} for origin, _ in self.clicks}


def a_repair(offset: int, value: bytes = raw()) -> Repair:
    return Repair(offset + 1, Origin("clicks", 0, offset), value)


SKEW = 5 * MINUTE
REPAIRS = [a_repair(offset, raw(user_id=str(offset))) for offset in range(5)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "CLICKS_AT_ONCE", 2)


def test_a_second_replay_sends_nothing() -> None:
    log = FakeLog()
    assert log.run(REPAIRS) == (5, 0)
    assert log.run(REPAIRS) == (0, 5)
    assert log.clicks == [(repair.origin, repair.value) for repair in REPAIRS]


def test_what_is_new_in_a_file_is_sent() -> None:
    log = FakeLog()
    log.run(REPAIRS[:3])
    assert log.run(REPAIRS) == (2, 3)


def steps_of_a_replay() -> int:
    log = FakeLog()
    log.run(REPAIRS)
    return FAR_FUTURE - log.steps_left


@pytest.mark.parametrize("steps", range(steps_of_a_replay()))
def test_a_replay_killed_anywhere_is_completed_by_the_next(steps: int) -> None:
    log = FakeLog()
    assert log.run(REPAIRS, steps) is None
    assert log.run(REPAIRS) is not None
    assert log.values() == {repair.origin: {repair.value} for repair in REPAIRS}


@pytest.mark.parametrize("steps", range(steps_of_a_replay()))
def test_another_value_is_sent_only_if_the_first_never_was(steps: int) -> None:
    log = FakeLog()
    log.run(REPAIRS, steps)
    log.run([repair._replace(value=raw(user_id="another")) for repair in REPAIRS])
    assert all(len(values) == 1 for values in log.values().values())


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 4), st.booleans()), unique_by=lambda pair: pair[0]), st.integers(0, 20)
        )
    )
)
def test_no_origin_is_ever_sent_with_two_values(runs: list[tuple[list[tuple[int, bool]], int]]) -> None:
    log = FakeLog()
    for drawn, steps in runs:
        log.run([a_repair(offset, raw(user_id=str(other))) for offset, other in drawn], steps)
        assert all(len(values) == 1 for values in log.values().values())


def test_a_click_replayed_with_another_value_is_refused_and_nothing_is_sent() -> None:
    log = FakeLog()
    log.run(REPAIRS[:1])
    with pytest.raises(LocalError, match=r"Line 1 \(clicks/0/0\) was replayed with another value .* nothing was sent"):
        replay([REPAIRS[1], a_repair(0, raw(user_id="another"))], log)
    assert len(log.clicks) == 1


def test_a_value_that_is_still_invalid_is_refused_with_its_reason() -> None:
    broken = a_repair(6, raw(ip=...))
    with pytest.raises(LocalError, match=r"Line 7 \(clicks/0/6\) is still invalid, missing_field; nothing was sent"):
        check_values([REPAIRS[0], broken], NOON, 0)
    with pytest.raises(LocalError, match="future_timestamp"):
        check_values(REPAIRS, NOON - 1 - SKEW, SKEW)
    check_values(REPAIRS, NOON - SKEW, SKEW)


def test_a_click_that_would_be_filtered_again_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "blocklist.csv"
    file.write_text(f"field,value,until\nip,10.0.0.0/8,{NOON}\n")
    with pytest.raises(LocalError, match=r"Line 1 .* is on the blocklist, and would be filtered again; nothing was"):
        check_values(REPAIRS, NOON - 1, SKEW, read_blocklist(file))
    check_values(REPAIRS, NOON, SKEW, read_blocklist(file))


def test_late_clicks_are_refused_and_told_why() -> None:
    known = {repair.origin for repair in REPAIRS[:4]}
    with pytest.raises(LocalError, match="late clicks are never replayed into the stream, reconciliation counts them"):
        check_origins(REPAIRS, known, lambda: {REPAIRS[4].origin})


def test_an_origin_that_is_unknown_is_refused() -> None:
    with pytest.raises(LocalError, match=r"Line 5 \(clicks/0/4\) is in no topic of invalid clicks"):
        check_origins(REPAIRS, {repair.origin for repair in REPAIRS[:4]}, set)
    check_origins(REPAIRS, {repair.origin for repair in REPAIRS}, pytest.fail)


def a_line(**overrides: object) -> str:
    fields = {"topic": "clicks", "partition": 0, "offset": 7, "value": "{}"} | overrides
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "Line 2 is no dead letter (it: "),
        ("[]", "Line 2 is no dead letter (it: "),
        (a_line(offset=...), "Line 2 is no dead letter (offset: Field required"),
        (a_line(offset="7"), "Line 2 is no dead letter (offset: "),
        (a_line(partition=-1), "Line 2 is no dead letter (partition: "),
        (a_line(value=...), "Line 2 has no value that can be sent"),
        (a_line(value=None), "Line 2 has no value that can be sent"),
        (a_line(value_base64="AA=="), "Line 2 has no value that can be sent"),
        (a_line(value=..., value_base64="?"), "Line 2 has no value that can be sent"),
        (a_line(value="\ud800"), "Line 2 "),
        (a_line(reason="late"), "Line 2 (clicks/0/7) is a late click: late clicks are never replayed into the stream"),
        (a_line(offset=3), "Line 2 (clicks/0/3) repairs the same click as line 1"),
    ],
)
def test_a_line_that_makes_no_sense_is_one_sentence(line: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "repaired.jsonl"
    path.write_text(f"{a_line(offset=3)}\n{line}\n")
    with pytest.raises(LocalError) as refused:
        read_repairs(path)
    assert str(refused.value).startswith(sentence)
    assert str(refused.value).endswith("nothing was sent.")
    assert "\n" not in str(refused.value)


def test_empty_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "repaired.jsonl"
    path.write_text(f"\n{a_line()}\n\n")
    assert read_repairs(path) == [Repair(2, Origin("clicks", 0, 7), b"{}")]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"Cannot read .*: No such file or directory"):
        read_repairs(tmp_path / "none")
