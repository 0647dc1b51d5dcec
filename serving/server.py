"""`serve`: the loader and the API in one process, which alone may hold an embedded store."""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from serving.answers import Answers
from serving.api import create_app
from serving.loader import Loader
from serving.settings import ServingError, Settings, api_token
from serving.store import Store

GRACE = 5  # seconds for answers under way when the server is told to stop


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Load and answer until SIGINT or SIGTERM; `on_ready` gets the address once. Raises ServingError."""
    token = api_token(settings)
    listener = _listen(settings.host, settings.port)
    with listener, Store(settings) as store:
        _serve(settings, store, token, listener, on_ready)


def _serve(
    settings: Settings, store: Store, token: str | None, listener: socket.socket, on_ready: Callable[[str], None]
) -> None:
    _quiet()
    loader, stop, failures = Loader(store, settings), threading.Event(), []
    app = create_app(Answers(store, lambda: loader.idle_partitions), loader, token)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE)
    server = uvicorn.Server(config)

    def load() -> None:
        try:
            loader.run(stop)
        except Exception as error:  # the server must not outlive it
            failures.append(error)
            server.should_exit = True

    loading = threading.Thread(target=load, name="loader")
    loading.start()
    try:
        on_ready(address(listener))
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        stop.set()
        loading.join()
    if failures:
        raise failures[0]


def address(listener: socket.socket) -> str:
    """Return the URL of what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServingError(
            f"The API cannot listen on {host}, port {port} ({error.strerror}): choose another."
        ) from None


def _quiet() -> None:
    """Say what the loader and the API say; kafka-python's every lost connection is in the loader's trouble."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
