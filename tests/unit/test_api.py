"""The API as its callers meet it: what its description promises, its errors, and who may ask."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.answers import Answers
from serving.api import DASHBOARD, create_app
from serving.store import Store, StoreError, TooMuchError
from tests.builders import MINUTE
from tests.served import StillLoader, a_count, a_reconciliation, minute, put, put_closed_windows, serving

TOKEN = "a-token"
PROBLEM = "application/problem+json"


def app_over(store: Store, token: str | None = None, loader: StillLoader | None = None) -> FastAPI:
    loader = loader or StillLoader()
    return create_app(Answers(store, lambda: loader.idle_partitions), loader, token)


def client_of(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with client_of(app_over(store)) as client:
        yield client


class Failing:
    """A store whose every answer is an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def ask(self, *_: object) -> list[Any]:
        raise self.error

    ask_all = ask


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_described(store: Store, mode: GenerationMode) -> None:
    put_closed_windows(store, range(3), {"a": 5, "b": 3})
    put(store, "reconciliations", [a_reconciliation(0, 1, version=5)])
    described = schemathesis.openapi.from_asgi("/openapi.json", app_over(store, TOKEN))
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) == 7
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.query or operation.path_parameters:
            check(operation, mode)


def check(operation: APIOperation, mode: GenerationMode) -> None:
    """Make requests as they are described, or as they are not, and hold the answers against the description."""
    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    def answer_is_as_described(case: Case) -> None:
        response = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
        case.validate_response(response, checks=checks)

    answer_is_as_described()


def test_clicks_are_told_window_by_window(client: TestClient, store: Store) -> None:
    put_closed_windows(store, range(2), {"a": 5})
    put(store, "counts", [a_count(2, "a", 4)])
    answer = client.get("/ads/a/clicks", params={"minutes": 3}).json()
    assert (answer["from"], answer["to"], answer["clicks"], answer["verdict"]) == (
        minute(0),
        minute(3),
        14,
        "provisional",
    )
    assert [(each["clicks"], each["verdict"]) for each in answer["windows"]] == [
        (5, "closed"),
        (5, "closed"),
        (4, "provisional"),
    ]


def test_any_ad_can_be_asked_for(store: Store) -> None:
    ads = [
        "a/b",
        "clicks",
        "a/clicks",
        "é 😀",
        "%2F",
        "?minutes=1",
        "#",
        "'",
        "\\",
        "<b>",
        " ",
        "...",
        "a\nb",
        "\n",
        "\r\n",
        "\0",
    ]
    put(store, "counts", [a_count(0, ad, number) for number, ad in enumerate(ads, start=1)])
    with serving(store) as address:
        found = [httpx2.get(f"{address}/ads/{quote(ad, safe='')}/clicks").json() for ad in ads]
    assert [(each["ad_id"], each["clicks"]) for each in found] == [(ad, at) for at, ad in enumerate(ads, start=1)]


def test_a_span_is_told_by_its_ends(client: TestClient, store: Store) -> None:
    put(store, "counts", [a_count(number, "a", 1) for number in range(10)])
    answer = client.get("/top", params={"from": minute(2), "to": minute(5)}).json()
    assert answer["ads"] == [{"rank": 1, "ad_id": "a", "clicks": 3}]


@pytest.mark.parametrize(
    "parameters",
    [
        {"minutes": 0},
        {"minutes": "x"},
        {"minutes": 10_081},
        {"n": 1001},
        {"from": 0},
        {"from": 60_000, "to": 0},
        {"from": 0, "to": 60_001},
        {"from": 0, "to": 60_000, "minutes": 1},
        {"from": 0, "to": 8 * 24 * 60 * MINUTE},
    ],
)
def test_what_makes_no_sense_is_a_problem_in_one_sentence(client: TestClient, parameters: dict[str, Any]) -> None:
    response = client.get("/top", params=parameters)
    problem = response.json()
    assert (response.status_code, problem["status"], response.headers["content-type"]) == (422, 422, PROBLEM)
    assert problem["title"]
    assert "\n" not in problem["detail"]


def test_a_path_that_is_none_is_a_problem_too(client: TestClient) -> None:
    response = client.get("/nothing")
    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert client.post("/top").headers["content-type"] == PROBLEM


@pytest.mark.parametrize("error", [StoreError("secret table"), TooMuchError("secret table")])
def test_a_store_that_fails_is_a_problem_without_its_words(error: Exception) -> None:
    with client_of(app_over(Failing(error))) as client:  # type: ignore[arg-type]
        for path in ("/top", "/healthz"):
            response = client.get(path)
            assert (response.status_code, response.headers["content-type"]) == (503, PROBLEM)
            assert "secret" not in response.text


def test_a_fault_of_the_program_is_a_problem_without_its_words() -> None:
    with client_of(app_over(Failing(ZeroDivisionError("secret")))) as client:  # type: ignore[arg-type]
        response = client.get("/top")
    assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
    assert "secret" not in response.text


def test_without_the_token_nothing_is_told(store: Store) -> None:
    with client_of(app_over(store, TOKEN)) as client:
        paths = [route["path"] for route in routes_of(client)]
        for path in paths:
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": TOKEN},
                {"Authorization": "Bearer é"},
            ):
                encoded = {name: value.encode() for name, value in headers.items()}
                response = client.get(path, headers=encoded)  # type: ignore[arg-type]
                assert (response.status_code, response.headers["content-type"]) == (401, PROBLEM), path
            assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200, path
        assert client.get("/healthz").status_code == 200
        assert client.get("/").status_code == 200


def routes_of(client: TestClient) -> list[dict[str, str]]:
    """All paths that tell something of the clicks, with values for their parameters."""
    described = client.get("/openapi.json").json()["paths"]
    concrete = (path.replace("{ad_id}", "a").replace("{start}", "0") for path in described)
    return [{"path": path} for path in concrete if path != "/healthz"]


def test_a_page_elsewhere_cannot_ask_through_a_browser_on_this_machine(store: Store) -> None:
    with client_of(app_over(store)) as client:
        assert client.get("/top", headers={"Host": "evil.example:8090"}).status_code == 421
        assert client.get("/top", headers={"Host": "localhost:8090"}).status_code == 200
        assert client.get("/top", headers={"Host": "[::1]:8090"}).status_code == 200


def test_nothing_foreign_can_run_in_the_page(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_health_tells_what_keeps_the_loader_from_loading(store: Store) -> None:
    loader = StillLoader()
    loader.trouble, loader.lag = "Loading waits: Kafka", {"clicks-top": 4}
    with client_of(app_over(store, loader=loader)) as client:
        assert client.get("/healthz").json() == {
            "status": "ok",
            "trouble": "Loading waits: Kafka",
            "lag": {"clicks-top": 4},
        }


def test_metrics_tell_lag_rows_and_how_long_answers_took(client: TestClient) -> None:
    client.get("/ads/a/clicks")
    text = client.get("/metrics").text
    assert 'clickproof_loader_lag_records{topic="clicks-per-minute"} 0.0' in text
    assert 'clickproof_loader_rows_total{topic="clicks-per-minute"} 3.0' in text
    assert "clickproof_loader_up 1.0" in text
    assert 'clickproof_api_seconds_count{route="/ads/{ad_id:ad}/clicks",status="200"} 1.0' in text


def test_what_is_vendored_is_what_was_published() -> None:
    vendor = DASHBOARD / "vendor"
    for name, library in json.loads((vendor / "vendored.json").read_text()).items():
        present = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (vendor / name).iterdir()}
        assert present == library["files"]
        assert library["version"] in (vendor / name / "uPlot.iife.min.js").read_text()
    assert {path.name for path in vendor.iterdir()} == {"vendored.json", "uplot"}
