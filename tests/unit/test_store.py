"""The store: which row of a key counts, what is refused, and that everything in it can expire."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.published import JobTopics
from serving.schema import MIGRATIONS
from serving.settings import ServingError, Topics, api_token, load
from serving.store import Store, StoreError, TooMuchError
from tests.builders import MINUTE
from tests.served import a_count, put

ELSEWHERE = """
import sys
from serving.schema import EXPIRING
from serving.settings import ServingError, load
from serving.store import Store
"""


def elsewhere(folder: Path, program: str) -> str:
    """Run a program in a process of its own, since a process can hold one store; return what it printed."""
    answer = subprocess.run([sys.executable, "-c", ELSEWHERE + program, str(folder)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def counts(store: Store) -> list[tuple[object, ...]]:
    return store.ask("SELECT ad_id, clicks, source FROM counts FINAL ORDER BY ad_id", {})


def test_a_correction_outranks_the_stream_whatever_comes_first(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 5), a_count(0, "b", 7, version=1)])
    put(store, "counts", [a_count(0, "a", 4, version=1), a_count(0, "b", 9)])
    assert counts(store) == [("a", 4, "batch"), ("b", 7, "batch")]


def test_a_later_correction_outranks_an_earlier_one(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 4, version=20)])
    put(store, "counts", [a_count(0, "a", 3, version=10)])
    assert counts(store) == [("a", 4, "batch")]


def test_of_equal_versions_the_last_counts_within_an_insert_and_across(store: Store) -> None:
    put(store, "counts", [a_count(0, "a", 1), a_count(0, "a", 2)])
    put(store, "counts", [a_count(0, "b", 1)])
    put(store, "counts", [a_count(0, "b", 2)])
    assert counts(store) == [("a", 2, "stream"), ("b", 2, "stream")]


def test_rows_that_come_again_change_nothing(store: Store) -> None:
    rows = [a_count(0, ad, 3) for ad in "abc"]
    for _ in range(3):
        put(store, "counts", rows)
    assert counts(store) == [("a", 3, "stream"), ("b", 3, "stream"), ("c", 3, "stream")]
    assert store.ask("SELECT clicks, ads FROM windows FINAL WHERE about = 'sum'", {}) == [(9, 3)]


def test_counts_of_very_many_days_go_in_at_once(store: Store) -> None:
    put(store, "counts", [a_count(number * 1440, "a", 1) for number in range(120)])
    assert store.ask("SELECT count() FROM counts FINAL", {}) == [(120,)]


def test_a_value_can_never_become_sql(store: Store) -> None:
    for ad in ["'; DROP TABLE counts; --", "a\\'b", "\\N", "a\0b", "a\tb\n", "{ad:String}", "%s", "é😀"]:
        put(store, "counts", [a_count(0, ad, 1)])
        assert store.ask("SELECT ad_id FROM counts FINAL WHERE ad_id = {ad:String}", {"ad": ad}) == [(ad,)]


def test_a_row_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        store.insert("counts", b'{"window_start": "tomorrow"}')


def test_a_question_over_the_limits_is_told_from_a_failure(store: Store) -> None:
    with pytest.raises(TooMuchError):
        store.ask("SELECT number FROM numbers(200000)", {})
    with pytest.raises(StoreError) as failure:
        store.ask("SELECT nothing", {})
    assert not isinstance(failure.value, TooMuchError)


def test_the_store_is_kept_between_processes_and_migrated_once(store_folder: Path) -> None:
    row = '{"window_start":60000,"window_end":120000,"ad_id":"a","clicks":3,"version":0,"source":"stream"}'
    elsewhere(store_folder, f"Store(load({{'store': sys.argv[1]}})).insert('counts', b'{row}')")
    asked = """
with Store(load({'store': sys.argv[1]})) as store:
    print(store.ask('SELECT clicks, (SELECT max(version) FROM migrations) FROM counts', {}))"""
    assert elsewhere(store_folder, asked) == f"[(3, {len(MIGRATIONS)})]"


def test_rows_expire_when_that_is_wanted_and_only_then(store_folder: Path) -> None:
    asked = """
for days in (30, None, 7):
    with Store(load({'store': sys.argv[1], 'ttl_days': days})) as store:
        rows = store.ask(
            "SELECT name FROM system.tables WHERE database = 'clickproof' AND engine_full LIKE '% TTL %'", {})
        print({name for name, in rows} == set(EXPIRING), len(rows))"""
    assert elsewhere(store_folder, asked).split() == ["True", "6", "False", "0", "True", "6"]


def test_old_rows_are_gone_and_others_stay(store_folder: Path) -> None:
    asked = f"""
rows = [(0, 'old'), ({2**63 - 2**63 % MINUTE}, 'far'), (int(__import__('time').time()) * 1000, 'new')]
with Store(load({{'store': sys.argv[1], 'ttl_days': 30}})) as store:
    for start, ad in rows:
        store.run("INSERT INTO late VALUES ({{start:UInt64}}, {{ad:String}}, 't', 0, 0, {{start:UInt64}})",
            {{'start': start, 'ad': ad}})
    store.run('OPTIMIZE TABLE late FINAL')
    print(sorted(ad for ad, in store.ask('SELECT ad_id FROM late', {{}})))"""
    assert elsewhere(store_folder, asked) == "['far', 'new']"


def test_a_store_of_a_newer_program_is_left_alone(store_folder: Path) -> None:
    asked = """
with Store(load({'store': sys.argv[1]})) as store:
    store.run('INSERT INTO migrations VALUES (99)')
try:
    Store(load({'store': sys.argv[1]}))
except ServingError as error:
    print(error)"""
    assert f"has version 99, this program knows {len(MIGRATIONS)}" in elsewhere(store_folder, asked)


def test_a_store_that_another_process_holds_is_one_sentence(embedded: Store) -> None:
    folder = Path(embedded._target["path"])
    asked = "try: Store(load({'store': sys.argv[1]}))\nexcept ServingError as error: print(error)"
    assert "another process may hold it" in elsewhere(folder, asked)


def test_the_topics_have_the_names_that_the_job_publishes_under() -> None:
    job = JobTopics()._asdict()
    assert {name: topic for name, topic in Topics()._asdict().items() if name in job} == {
        name: job[name] for name in Topics._fields if name in job
    }
    assert {"clicks", "counts", "top", "late", "invalid", "ledger"} <= job.keys()


def test_what_is_given_comes_before_the_environment_and_that_before_the_defaults() -> None:
    environment = {"CLICKPROOF_SERVING_STORE": "there", "CLICKPROOF_SERVING_PORT": "1234"}
    settings = load({"store": "here", "host": None}, {"port": 9, "ttl_days": 4}, environment)
    assert (settings.store, settings.port, settings.ttl_days, settings.host) == ("here", 1234, 4, "127.0.0.1")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"store": "http://me:secret@there:8123/db"}, "not into the address"),
        ({"store": "x", "port": 70_000}, "port"),
        ({"store": "x", "ttl_days": 0}, "ttl_days"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ServingError, match=sentence) as error:
        load(given, environment={})
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_beyond_loopback_nothing_is_served_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="needs a token"):
        api_token(load({"store": "x", "host": "0.0.0.0"}, environment={}))
    file = tmp_path / "token"
    file.write_text("hush\n")
    assert api_token(load({"store": "x", "host": "::", "token_file": file}, environment={})) == "hush"
    assert api_token(load({"store": "x", "host": "::1"}, environment={})) is None


def test_an_empty_or_missing_token_file_is_an_error(tmp_path: Path) -> None:
    for file in (tmp_path / "empty", tmp_path / "none"):
        (tmp_path / "empty").touch()
        with pytest.raises(ServingError):
            api_token(load({"store": "x", "token_file": file}, environment={}))
