"""Who may ask: the token, and on loopback the host's name, so that no web page elsewhere can ask through a browser."""

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from serving.problems import problem

OPEN = ("/", "/healthz", "/openapi.json")
"""What anyone may see: that it runs, and the page without its data."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"


def guard(app: FastAPI, token: str | None) -> None:
    """Let the app answer those alone who show the token as `Authorization: Bearer`; None: those on this machine."""

    @app.middleware("http")
    async def check(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse, or answer with the headers of a careful page."""
        response = _refusal(request, token) or await answer(request)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-cache"
        return response


def _refusal(request: Request, token: str | None) -> Response | None:
    if token is None:
        local = request.url.hostname in LOCAL_NAMES
        return None if local else problem(HTTPStatus.MISDIRECTED_REQUEST, "Ask by a name of this machine: localhost.")
    if request.url.path in OPEN or request.url.path.startswith("/dashboard/"):
        return None
    if secrets.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
        return None
    detail = "Show the token: Authorization: Bearer."
    return problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": 'Bearer realm="clickproof"'})
