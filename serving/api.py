"""The API: clicks of an ad, top ads, windows and reconciliations, each with its verdict.

`create_app` takes the answers and the loader; nothing here knows of Kafka or SQL.
"""

from collections.abc import Callable
from pathlib import Path as File
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.convertors import StringConvertor, register_url_convertor

from serving.answers import Answers
from serving.guard import guard
from serving.metrics import LoaderMetrics, Loading, measure
from serving.models import AdClicks, Health, Reconciliations, TopAds, WindowAnswer, Windows
from serving.problems import answer_with_problems, described
from serving.window_metrics import WindowMetrics
from serving.windows import MINUTE, Span

DASHBOARD = File(__file__).parent / "dashboard"
WEEK = 7 * 24 * 60  # minutes
LATEST = (2**53 - 1) // MINUTE * MINUTE  # the last window that JSON can name exactly
ERRORS = described(401, 404, 421, 422, 503)

Minutes = Annotated[int | None, Query(ge=1, le=WEEK, description="The last M minutes that have counts; 60 by default.")]
From = Annotated[
    int | None, Query(alias="from", ge=0, le=LATEST, multiple_of=MINUTE, description="A window's start, epoch ms.")
]
To = Annotated[
    int | None, Query(ge=0, le=LATEST, multiple_of=MINUTE, description="The end of the last window, epoch ms.")
]
AdId = Annotated[str, Path(min_length=1, max_length=256)]
Start = Annotated[int, Path(ge=0, le=LATEST, multiple_of=MINUTE, description="The window's start, epoch ms.")]
Width = Annotated[int, Query(ge=1, le=60, description="Minutes of each hopping window; one ends every minute.")]
Places = Annotated[int, Query(ge=1, le=1000, description="How many ads.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class AdIdConvertor(StringConvertor):
    """Any characters in a path: slashes and line ends, too."""

    regex = "(?s:.+)"


register_url_convertor("ad", AdIdConvertor())


def create_app(answers: Answers, loader: Loading, token: str | None) -> FastAPI:
    """Return the API over the answers; a `token` must be shown by every caller."""
    app = FastAPI(title="Clickproof", version="1", docs_url=None, redoc_url=None, responses=ERRORS)
    answer_with_problems(app)
    registry = measure(app, LoaderMetrics(loader), WindowMetrics(answers))
    guard(app, token)
    _add_counts(app, answers, _span_of(answers))
    _add_state(app, answers, loader)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        """The dashboard."""
        return FileResponse(DASHBOARD / "index.html")

    app.mount("/dashboard", StaticFiles(directory=DASHBOARD))
    return app


def _span_of(answers: Answers) -> Callable[..., Span | None]:
    def span(minutes: Minutes = None, start: From = None, to: To = None) -> Span | None:
        """The span that is asked for: the last minutes, or from one time to another."""
        if start is None and to is None:
            return answers.last(60 if minutes is None else minutes)
        if minutes is not None or start is None or to is None:
            raise HTTPException(422, "Give minutes, or both from and to.")
        if not start < to <= start + WEEK * MINUTE:
            raise HTTPException(422, "from must be before to, by a week at most.")
        return Span(start, to)

    return span


def _add_counts(app: FastAPI, answers: Answers, span_of: Callable[..., Span | None]) -> None:
    """Add the routes that tell counts."""

    @app.get("/ads/{ad_id:ad}/clicks")
    def clicks(ad_id: AdId, span: Annotated[Span | None, Depends(span_of)], width: Width = 1) -> AdClicks:
        """An ad's clicks, window by window."""
        return answers.clicks(ad_id, span, width)

    @app.get("/top")
    def top(span: Annotated[Span | None, Depends(span_of)], n: Places = 100) -> TopAds:
        """The ads with the most clicks."""
        return answers.top(n, span)

    @app.get("/windows")
    def windows(span: Annotated[Span | None, Depends(span_of)]) -> Windows:
        """The windows of a span, with their ledger."""
        return answers.windows(span)

    @app.get("/windows/{start}")
    def window(start: Start) -> WindowAnswer:
        """A window, with its ledger and the reasons of its invalid clicks."""
        return answers.window(start)


def _add_state(app: FastAPI, answers: Answers, loader: Loading) -> None:
    """Add the routes that tell how the counts came about."""

    @app.get("/reconciliations")
    def reconciliations(limit: Limit = 20) -> Reconciliations:
        """The newest reconciliations."""
        return answers.reconciliations(limit)

    @app.get("/healthz")
    def healthz(response: Response) -> Health:
        """Whether answers can be given: 503 when not."""
        answers.reconciliations(1)
        return Health(status="ok", trouble=loader.trouble, lag=loader.lag)
