"""The store on a server: over HTTP, to the same engine behind ClickHouse's HTTP interface."""

import tempfile
import threading
from collections.abc import Iterator

import pytest

from serving.answers import Answers
from serving.schema import MIGRATIONS
from serving.settings import ServingError, load
from serving.store import Store, StoreError
from serving.windows import Span
from tests.served import a_count, a_late_click, minute, put, put_closed_windows
from tests.store_server import Interface, store_server


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = store_server(folder)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://reader@127.0.0.1:{server.server_port}/clicks_of_us"
        server.shutdown()
        thread.join()
        server.server_close()
        Interface.engine.close()


def test_a_server_is_migrated_filled_and_asked_like_an_embedded_store(address: str) -> None:
    with Store(load({"store": address, "ttl_days": 36_500}, environment={})) as store:
        put_closed_windows(store, range(2), {"a": 5, "é'\n": 3})
        put(store, "counts", [a_count(0, "a", 4, version=9)])
        put(store, "late", [a_late_click(1, "b", 1)])
        answers, both = Answers(store), Span(minute(0), minute(2))
        assert [(ad.ad_id, ad.clicks) for ad in answers.top(5, both).ads] == [("a", 9), ("é'\n", 6)]
        assert answers.clicks("é'\n", both).clicks == 6
        assert [answers.window(minute(number)).verdict for number in (0, 1)] == ["provisional", "closed"]
    with Store(load({"store": address, "ttl_days": 36_500}, environment={})) as again:
        assert again.ask("SELECT count() FROM migrations", {}) == [(len(MIGRATIONS),)]


def test_limits_go_with_every_question(address: str) -> None:
    with Store(load({"store": address}, environment={})) as store:
        Interface.seen.clear()
        store.ask("SELECT 1", {})
    assert {(asked["max_execution_time"], asked["max_result_rows"]) for asked in Interface.seen[-1:]} == {
        ("5.0", "100000")
    }
    assert Interface.seen[-1]["database"] == "clicks_of_us"


def test_an_error_of_the_server_is_one_of_the_store(address: str) -> None:
    with Store(load({"store": address}, environment={})) as store, pytest.raises(StoreError, match="nothing"):
        store.ask("SELECT nothing", {})


def test_a_server_that_is_away_is_one_sentence() -> None:
    with pytest.raises(ServingError, match=r"The ClickHouse server at http://127\.0\.0\.1:1/db cannot be used"):
        Store(load({"store": "http://127.0.0.1:1/db"}, environment={}))


@pytest.mark.parametrize("name", ["a-b", "a`b", "ä", "a.b"])
def test_a_database_with_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(ServingError, match="letters, digits and underscores"):
        Store(load({"store": f"http://127.0.0.1:1/{name}"}, environment={}))
