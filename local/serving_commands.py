"""The commands that keep and ask the counts: serve, top, clicks, and store rebuild."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from local.console import Json, console, progress
from local.processes import exit_on_sigterm, free_port, port_in_use
from local.stack import Stack, default_stack
from serving.asking import API, Questions
from serving.loader import Loader
from serving.models import Answer
from serving.server import serve as run_server
from serving.settings import PORT, PREFIX, Settings, load
from serving.store import Store

store = typer.Typer(no_args_is_help=True, help="The store of the counts.")

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", help="Folder, or http(s)://user@host:port/database of ClickHouse. Default: the local stack's."
    ),
]
Servers = Annotated[str | None, typer.Option("--bootstrap-servers", help="Default: the local stack's broker.")]
KafkaConfig = Annotated[Path | None, typer.Option("--kafka-config", help="JSON file with kafka-python's options.")]
TtlDays = Annotated[int | None, typer.Option(help="Days after which rows leave the store. Default: never.")]
Api = Annotated[str, typer.Option("--api", envvar=f"{PREFIX}API", help="Address of a running clickproof serve.")]
Minutes = Annotated[int, typer.Option(min=1, max=10_080, help="The last minutes that have counts.")]


def serve(
    store: StoreOption = None,
    bootstrap_servers: Servers = None,
    kafka_config: KafkaConfig = None,
    ttl_days: TtlDays = None,
    host: Annotated[str | None, typer.Option(help="Beyond loopback a token is needed.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: 8090.")] = None,
) -> None:
    """Load the published counts into the store, and answer on them: the API and the dashboard."""
    given = {"store": store, "bootstrap_servers": bootstrap_servers, "kafka_config": kafka_config}
    settings = _settings(given | {"ttl_days": ttl_days, "host": host, "port": port})
    with exit_on_sigterm():
        run_server(settings, announce)


def top(
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 100,
    minutes: Minutes = 1,
    api: Api = API,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Show the ads with the most clicks."""
    answer = Questions(_settings({"store": store}), api).top(n, minutes)
    table = Table("rank", "ad", "clicks")
    for ad in answer.ads:
        table.add_row(str(ad.rank), Text(ad.ad_id), f"{ad.clicks:,}")
    more = ["late clicks could still change the last place"] if answer.late_could_change_cut else []
    _show(answer, table, more, as_json)


def clicks(
    ad: Annotated[str, typer.Argument(metavar="AD", help="The ad's id.")],
    minutes: Minutes = 60,
    width: Annotated[int, typer.Option(min=1, max=60, help="Minutes of each hopping window.")] = 1,
    api: Api = API,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Show an ad's clicks."""
    answer = Questions(_settings({"store": store}), api).clicks(ad, minutes, width)
    table = Table("from (UTC)", "to", "clicks", "late", "verdict")
    for window in answer.windows:
        numbers = (f"{window.clicks:,}", f"{window.late:,}")
        table.add_row(_clock(window.start), _clock(window.end), *numbers, window.verdict)
    _show(answer, table, [f"{answer.clicks:,} clicks"], as_json)


@store.command()
def rebuild(
    store: StoreOption = None,
    bootstrap_servers: Servers = None,
    kafka_config: KafkaConfig = None,
) -> None:
    """Forget what is loaded, and load the topics from their start. Stop clickproof serve before."""
    given = {"store": store, "bootstrap_servers": bootstrap_servers, "kafka_config": kafka_config}
    settings = _settings(given)
    with Store(settings) as rebuilt, progress(unit="rows") as show:
        rebuilt.clear()
        rows = Loader(rebuilt, settings).load_all(lambda loaded: show("Loading", loaded))
    console.print(f"{rows:,} rows loaded into {settings.store}", soft_wrap=True)


def serve_stack(stack: Stack) -> None:
    """Serve a stack's counts until SIGINT or SIGTERM, at the usual port where that is free."""
    port = {"port": free_port()} if port_in_use(PORT) else {}
    run_server(load({**_of_stack(stack), **port}), announce)


def announce(address: str) -> None:
    """Say where the API answers."""
    console.print(f"Dashboard and API: {address} (Ctrl-C ends)", soft_wrap=True)


def _settings(given: dict[str, Any]) -> Settings:
    return load(given, defaults=_of_stack(default_stack()))


def _of_stack(stack: Stack) -> dict[str, str]:
    return {"store": str(stack.home / "store"), "bootstrap_servers": stack.broker.bootstrap_servers}


def _show(answer: Answer, table: Table, notes: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(answer.model_dump_json(by_alias=True, indent=2))
        return
    if answer.start is None or answer.end is None:
        console.print("The store has no counts yet.")
        return
    span = f"{_clock(answer.start)} to {_clock(answer.end)} UTC"
    idle = [f"idle partitions: {answer.idle_partitions}"] if answer.idle_partitions else []
    fault = [f"{answer.unexplained:,} differences unexplained"] if answer.unexplained else []
    console.print(table)
    console.print(", ".join([span, *notes, answer.verdict, f"{answer.late:,} late", *idle, *fault]), markup=False)


def _clock(time: int) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M}"
