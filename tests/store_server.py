"""A store's server: chdb, the engine of ClickHouse, behind so much of ClickHouse's HTTP interface as the store uses.

`python -m tests.store_server FOLDER PORT` runs it as a process of its own, which can be killed.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

from local.processes import LOOPBACK


class Interface(BaseHTTPRequestHandler):
    """What of ClickHouse's HTTP interface the store uses: statements, parameters, settings and rows to insert."""

    engine: Any
    seen: list[dict[str, str]]
    lock = threading.Lock()

    def do_POST(self) -> None:
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        statement = asked["query"].encode() + b"\n" + body if "query" in asked else body
        parameters = {name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")}
        with self.lock:
            self.seen.append(asked)
            status, answer = self.answer(statement, parameters, asked.get("database"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815

    def answer(self, statement: bytes, parameters: dict[str, str], database: str | None) -> tuple[int, bytes]:
        try:
            if database:
                self.engine.query(f"USE `{database}`")
            return 200, self.engine.query(statement.decode(), "TabSeparated", params=parameters).bytes()
        except Exception as error:
            return 500, str(error).encode()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def store_server(folder: str, port: int = 0) -> ThreadingHTTPServer:
    """Return a server over the folder's store that is bound, but does not serve yet."""
    Interface.engine, Interface.seen = chdb.connect(folder), []
    return ThreadingHTTPServer((LOOPBACK, port), Interface)


if __name__ == "__main__":
    store_server(sys.argv[1], int(sys.argv[2])).serve_forever()
