"""Errors as RFC 9457 has them: `application/problem+json`, one sentence in `detail`."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.models import Problem
from serving.store import StoreError, TooMuchError

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("clickproof.api")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an error's answer."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def answer_with_problems(app: FastAPI) -> None:
    """Let every error of the app be answered as a problem."""

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        """A request that is not as the description says."""
        first = error.errors()[0]
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        """What the framework or a route refuses."""
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(TooMuchError)
    def too_much(request: Request, error: TooMuchError) -> JSONResponse:
        """A question over the limits."""
        log.warning("%s: %s", request.url.path, error)
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The answer would take too long: ask for fewer minutes.",
            {"Retry-After": "5"},
        )

    @app.exception_handler(StoreError)
    def store_failed(request: Request, error: StoreError) -> JSONResponse:
        """A store that is away."""
        log.error("%s: %s", request.url.path, error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The store does not answer.", {"Retry-After": "5"})

    @app.exception_handler(Exception)
    def failed(request: Request, error: Exception) -> JSONResponse:
        """A fault of the program, which the server logs."""
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed: its log says how.")
