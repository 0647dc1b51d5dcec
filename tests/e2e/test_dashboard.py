"""The page in a real Chromium, over a real API and store."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from serving.settings import load
from serving.store import Store
from tests.served import a_count, a_ledger_row, a_ranking, a_reconciliation, minute, put, put_closed_windows, serving

pytestmark = pytest.mark.e2e
ATTACK = "<img src=x onerror=\"document.title='owned'\">"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("No Chromium: install the system's (apt-get install chromium) to test the dashboard.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def store() -> Iterator[Store]:
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        Store(load({"store": folder}, environment={})) as store,
    ):
        yield store


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which no script fails and nothing is asked of another machine."""
    page, faults = browser.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith("http://127.0.0.1:") else faults.append(sent.url))
    yield page
    page.close()
    assert faults == []


def test_it_shows_clicks_ads_ledger_and_reconciliations(page: Page, store: Store) -> None:
    put_closed_windows(store, range(3), {"a": 5, "b": 30})
    put(store, "ledger", [a_ledger_row(1, counted=35, duplicate=2, raw=99)])
    put(store, "reconciliations", [a_reconciliation(0, 0, version=5, corrections=3, verdict="unexplained")])
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#windows tr").first).to_contain_text("closed")
        expect(page.locator("#windows tr").nth(1)).to_contain_text("does not balance")
        expect(page.locator("#windows tr").nth(2)).to_contain_text("reconciled")
        expect(page.locator("#top tr").first).to_have_text("1b30")
        expect(page.locator("#reconciled tr")).to_contain_text("unexplained")
        expect(page.locator("#clicks")).to_have_text("105")
        expect(page.locator("#clicks-chart canvas")).to_be_visible()
        expect(page.locator("#shares-chart canvas")).to_be_visible()
        expect(page.locator("#error")).to_be_hidden()


def test_it_updates_by_itself(page: Page, store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#clicks")).to_have_text("5")
        put_closed_windows(store, [1], {"a": 8})
        expect(page.locator("#clicks")).to_have_text("13", timeout=20_000)
        expect(page.locator("#top tr").first).to_have_text("1a8")


def test_an_ad_with_markup_for_a_name_is_shown_and_never_run(page: Page, store: Store) -> None:
    put(store, "counts", [a_count(0, ATTACK, 5)])
    put(store, "ledger", [a_ledger_row(0, counted=5)])
    put(store, "top", [a_ranking(0, ATTACK, 5)])
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#top td.ad")).to_have_text(ATTACK)
        page.fill("#ad", ATTACK)
        page.press("#ad", "Enter")
        expect(page.locator("#ad-answer")).to_contain_text("5 clicks")
        assert page.locator("main img").count() == 0
        assert page.title() == "Clickproof"


def test_an_empty_store_is_said_to_be_empty(page: Page, store: Store) -> None:
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#empty")).to_be_visible()
        expect(page.locator("#no-reconciliations")).to_be_visible()
        expect(page.locator("#published")).to_have_text("–")
        expect(page.locator("#error")).to_be_hidden()
        put_closed_windows(store, [0], {"a": 5})
        expect(page.locator("#empty")).to_be_hidden(timeout=20_000)


def test_an_api_that_stops_is_said_so(page: Page, store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#clicks")).to_have_text("5")
    expect(page.locator("#error")).to_contain_text("does not answer", timeout=20_000)
    expect(page.locator("#clicks")).to_have_text("5")


def test_the_token_is_asked_for_and_then_used(page: Page, store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    with serving(store, token="hush") as address:
        page.goto(address)
        expect(page.locator("#login")).to_be_visible()
        page.fill("#token", "hush")
        page.press("#token", "Enter")
        expect(page.locator("#clicks")).to_have_text("5")
        expect(page.locator("#login")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_dark_and_light(page: Page, store: Store, scheme: str) -> None:
    put_closed_windows(store, range(3), {"a" * 256: 5})
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#windows tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


def test_the_keyboard_reaches_everything(page: Page, store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#windows tr")).to_be_visible()
        reached = []
        for _ in range(8):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.className || 'button'"))
    assert [each for each in reached if each != "scroll"] == ["skip", "minutes", "top-minutes", "ad", "button"]
    assert reached.count("scroll") == 3


def test_minutes_are_named_in_utc(page: Page, store: Store) -> None:
    put_closed_windows(store, [0], {"a": 5})
    assert minute(0) % 86_400_000 == 12 * 3_600_000
    with serving(store) as address:
        page.goto(address)
        expect(page.locator("#windows tr td").first).to_have_text("2026-01-01 12:00")
