"""The store: ClickHouse through clickhouse-connect, embedded in this process (chdb, a folder) or a server by URL.

Embedded and server share every statement. The embedded engine belongs to one process, and a process has one folder.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from serving.schema import EXPIRING, MIGRATIONS, VERSIONS, ttl
from serving.settings import ServingError, Settings, secret

Question = tuple[str, Mapping[str, Any]]

DATABASE = "clickproof"
MAX_CLIENTS = 8
PATIENCE = 5.0  # seconds to wait for a free client, and for a question's answer
TOO_SLOW = (158, 159, 160, 241, 396)  # ClickHouse's codes of its limits on rows, time and memory

_ASKING = {
    "max_execution_time": PATIENCE,
    "max_result_rows": 100_000,
    "max_memory_usage": 4 * 2**30,
    "do_not_merge_across_partitions_select_final": 1,
    "optimize_move_to_prewhere_if_final": 1,
    "use_skip_indexes_if_final": 1,
}
ON_ONE_THREAD = "SETTINGS max_threads = 1"
"""Ends a question that reads little: handing it from thread to thread would take longer than the reading."""
_LOADING = {
    "max_insert_threads": 1,  # rows of one key keep their order
    "max_partitions_per_insert_block": 0,  # clicks of any day may be counted
    "input_format_skip_unknown_fields": 1,
}
logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)


class StoreError(Exception):
    """The store failed; the message is ClickHouse's own."""


class TooMuchError(StoreError):
    """The question went over a limit of rows, time or memory, or no connection was free to ask it."""


class Store:
    """A migrated store, to be used as a context, by any thread."""

    def __init__(self, settings: Settings) -> None:
        """Open the store, making or migrating it where needed. Raises ServingError when it cannot be used."""
        self._target = _target(settings)
        self._database = _database(settings)
        self._idle: LifoQueue[Client] = LifoQueue()
        self._free = BoundedSemaphore(MAX_CLIENTS)
        self._asking = ThreadPoolExecutor(MAX_CLIENTS, thread_name_prefix="asking")
        try:
            self._writer = _connect(self._target, _LOADING)
            self._create(settings.ttl_days)
        except ClickHouseError as error:
            raise ServingError(_unusable(settings, error)) from error

    def __enter__(self) -> "Store":
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query, within the limits. Raises StoreError and TooMuchError."""
        with self._client() as client, _failures():
            return [tuple(row) for row in client.query(sql, parameters=dict(parameters)).result_rows]

    def ask_all(self, *questions: Question) -> list[list[tuple[Any, ...]]]:
        """Return the rows of several queries, which are asked at the same time."""
        return [asked.result() for asked in [self._asking.submit(self.ask, *question) for question in questions]]

    def insert(self, table: str, rows: bytes) -> None:
        """Insert JSON objects, a line each; return when they are on disk. Raises StoreError."""
        with _failures():
            self._writer.raw_insert(f"`{self._database}`.{table}", insert_block=rows, fmt="JSONEachRow")

    def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement of the loader, which no limit holds back. Raises StoreError."""
        with _failures():
            self._writer.command(sql, parameters=dict(parameters or {}))

    def clear(self) -> None:
        """Forget how far each topic is loaded, first of all, and then what was loaded."""
        for table in ("positions", *EXPIRING, "reconciliations"):
            self.run(f"TRUNCATE TABLE {table}")

    def close(self) -> None:
        """Close all connections, and with them the embedded engine."""
        self._asking.shutdown()
        while not self._idle.empty():
            self._idle.get().close()
        self._writer.close()

    def _create(self, ttl_days: int | None) -> None:
        self._writer.command(f"CREATE DATABASE IF NOT EXISTS `{self._database}`")
        self._writer.database = self._database
        self._writer.command(VERSIONS)
        done = self._writer.query("SELECT max(version) FROM migrations").result_rows[0][0]
        if done > len(MIGRATIONS):
            raise ServingError(f"The store has version {done}, this program knows {len(MIGRATIONS)}: update it.")
        for version, statements in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in statements:
                self._writer.command(_repeatable(statement))
            self._writer.command("INSERT INTO migrations VALUES ({version:UInt32})", parameters={"version": version})
        for table, column in EXPIRING.items():
            self._set_ttl(table, ttl(column, ttl_days) if ttl_days else None)

    def _set_ttl(self, table: str, expression: str | None) -> None:
        question = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
        engine = self._writer.query(question, parameters={"table": table}).result_rows[0][0]
        if expression and f"TTL {expression}" not in engine:
            self._writer.command(f"ALTER TABLE {table} MODIFY TTL {expression}")
        elif not expression and " TTL " in engine:
            self._writer.command(f"ALTER TABLE {table} REMOVE TTL")

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """A connection of one's own, from those that are idle or new; one that failed is not used again."""
        if not self._free.acquire(timeout=PATIENCE):
            raise TooMuchError("All connections to the store are in use.")
        try:
            with _failures():
                client = self._take()
            try:
                yield client
            except BaseException:
                client.close()
                raise
            self._idle.put(client)
        finally:
            self._free.release()

    def _take(self) -> Client:
        try:
            return self._idle.get_nowait()
        except Empty:
            client = _connect(self._target, _ASKING)
            client.database = self._database
            return client


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        kind = TooMuchError if getattr(error, "code", None) in TOO_SLOW else StoreError
        raise kind(str(error)) from error


def _repeatable(statement: str) -> str:
    """A migration that was interrupted begins again."""
    kinds = ("CREATE TABLE ", "CREATE MATERIALIZED VIEW ")
    for kind in kinds:
        if statement.startswith(kind):
            return statement.replace(kind, f"{kind}IF NOT EXISTS ", 1)
    return statement


def _target(settings: Settings) -> dict[str, Any]:
    """What clickhouse-connect takes to reach the store."""
    if not settings.on_server:
        return {"interface": "chdb", "path": str(Path(settings.store).absolute())}
    address = urlsplit(settings.store)
    password = secret(settings.store_password, settings.store_password_file, "the store's password")
    return {
        "interface": address.scheme,
        "host": address.hostname,
        "port": address.port,
        "username": unquote(address.username or "default"),
        "password": password or "",
        "autogenerate_session_id": False,  # so that threads need not wait for each other
    }


def _database(settings: Settings) -> str:
    name = unquote(urlsplit(settings.store).path.strip("/")) if settings.on_server else DATABASE
    name = name or DATABASE
    if not name.replace("_", "a").isalnum() or not name.isascii():
        raise ServingError(f"Name the store's database with letters, digits and underscores: {name!r} is not.")
    return name


def _connect(target: Mapping[str, Any], settings: Mapping[str, Any]) -> Client:
    if "path" in target:
        Path(target["path"]).mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(**target, settings=dict(settings))


def _unusable(settings: Settings, error: Exception) -> str:
    if settings.on_server:
        return f"The ClickHouse server at {settings.store} cannot be used ({error})."
    return f"The store {settings.store} cannot be opened: another process may hold it, such as clickproof serve."
