"""The commands over the dead letters: dlq list, show and replay."""

import json
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from audit.archive_commands import From, Skew, To, parsed_span
from audit.dead_letters import DeadLetter, Group, Wanted, count, read_dead_letters
from audit.readable import iso_time, readable
from audit.repairs import Outcome, Repair, check_origins, check_values, read_repairs
from audit.repairs import replay as replay_repairs
from audit.replay_log import open_log
from local import blocklists
from local.blocklists import BlocklistFile
from local.console import Json, console, progress
from local.external import client_options
from local.stack import TOPICS, default_stack

SHOWN = 20


class Kind(StrEnum):
    """Which dead letters."""

    LATE = "late"
    INVALID = "invalid"


class By(StrEnum):
    """What to count by, beside the reason."""

    MINUTE = "minute"
    AD = "ad"


TOPIC_OF = {Kind.LATE: TOPICS.late, Kind.INVALID: TOPICS.invalid}

Topic = Annotated[Kind | None, typer.Option(help="Default: both.")]
Reason = Annotated[str | None, typer.Option(help="Such as missing_field.")]
Ad = Annotated[str | None, typer.Option(help="An ad_id, where the value can be read.")]
Servers = Annotated[str | None, typer.Option(help="Default: the local stack's broker.")]
ClientConfig = Annotated[Path | None, typer.Option(help="JSON file with kafka-python's security options.")]

dlq = typer.Typer(no_args_is_help=True, help="Look at late and invalid clicks, and replay repaired ones.")


@dlq.command("list")
def list_letters(
    topic: Topic = None,
    reason: Reason = None,
    start: From = None,
    end: To = None,
    ad: Ad = None,
    by: Annotated[list[By] | None, typer.Option(help="Count by this too (of the record timestamp).")] = None,
    bootstrap_servers: Servers = None,
    client_config: ClientConfig = None,
    as_json: Json = False,
) -> None:
    """Count dead letters by reason."""
    wanted = Wanted(reason, parsed_span(start, end), ad)
    letters = _letters(_connection(bootstrap_servers, client_config), topic, wanted)
    groups = count(letters, By.MINUTE in (by or ()), By.AD in (by or ()))
    in_order = sorted(groups.items(), key=lambda item: tuple(map(str, item[0])))
    if as_json:
        typer.echo(json.dumps([group._asdict() | {"clicks": clicks} for group, clicks in in_order], indent=2))
    else:
        console.print(_groups(in_order, by or []))


@dlq.command()
def show(
    topic: Topic = None,
    reason: Reason = None,
    start: From = None,
    end: To = None,
    ad: Ad = None,
    limit: Annotated[int | None, typer.Option(min=1, help=f"Default: {SHOWN}, and none with --json.")] = None,
    bootstrap_servers: Servers = None,
    client_config: ClientConfig = None,
    as_json: Json = False,
) -> None:
    """Print dead letters; with --json as lines whose `value` can be repaired, and given to `dlq replay`."""
    wanted = Wanted(reason, parsed_span(start, end), ad)
    letters = _letters(_connection(bootstrap_servers, client_config), topic, wanted)
    most = limit or (None if as_json else SHOWN)
    for letter in islice(letters, most):
        typer.echo(letter.as_json() if as_json else _page(letter))
    if not limit and not as_json and next(letters, None):
        typer.echo(f"There are more: --limit shows more than {SHOWN}.", err=True)


@dlq.command()
def replay(
    repaired: Annotated[Path, typer.Argument(metavar="REPAIRED.jsonl", help="Lines of `dlq show --json`, repaired.")],
    max_clock_skew: Skew = 300,
    blocklist: BlocklistFile = None,
    bootstrap_servers: Servers = None,
    client_config: ClientConfig = None,
    as_json: Json = False,
) -> None:
    """Send repaired invalid clicks into the clicks topic, each origin once however often this runs.

    A click keeps its click_timestamp: by now it is mostly late for the stream, and then counted by reconciliation. Late
    clicks themselves are never replayed into the stream: reconciliation counts them.
    """
    repairs = read_repairs(repaired)
    connection = _connection(bootstrap_servers, client_config)
    check_values(repairs, time.time_ns() // 1_000_000, max_clock_skew * 1000, blocklists.read(blocklist))
    outcome = _replay(repairs, connection)
    if as_json:
        typer.echo(json.dumps(outcome._asdict()))
    else:
        console.print(f"{outcome.sent:,} sent to {TOPICS.clicks}, {outcome.skipped:,} skipped: they were sent before.")


def _replay(repairs: list[Repair], connection: dict[str, Any]) -> Outcome:
    with progress(len(repairs)) as bar:
        bar(f"Reading {TOPICS.invalid}", 0)
        wanted = {repair.origin for repair in repairs}
        keys = {letter.origin: letter.key for letter in _of(connection, Kind.INVALID) if letter.origin in wanted}
        check_origins(repairs, keys, lambda: {letter.origin for letter in _of(connection, Kind.LATE)} & wanted)
        with open_log(connection, TOPICS.clicks, keys) as log:
            return replay_repairs(repairs, log, lambda sent: bar("Sending", sent))


def _letters(connection: dict[str, Any], kind: Kind | None, wanted: Wanted) -> Iterator[DeadLetter]:
    kinds: Iterable[Kind] = Kind if kind is None else [kind]
    return (letter for one in kinds for letter in _of(connection, one) if wanted.holds(letter))


def _of(connection: dict[str, Any], kind: Kind) -> Iterator[DeadLetter]:
    return read_dead_letters(connection, TOPIC_OF[kind])


def _groups(groups: list[tuple[Group, int]], by: list[By]) -> Table:
    table = Table("reason", *(what.value for what in By if what in by), box=SIMPLE)
    table.add_column("clicks", justify="right")
    for (reason, minute, ad_id), clicks in groups:
        parts = [iso_time(minute)] if minute is not None else []
        if By.AD in by:
            parts.append("(unreadable)" if ad_id is None else readable(ad_id.encode()))
        table.add_row(*map(escape, (readable(reason.encode()), *parts)), f"{clicks:,}")
    return table


def _page(letter: DeadLetter) -> str:
    head = f"{letter.origin}  {iso_time(letter.timestamp)}  {letter.reason}"
    return readable(head.encode()) + "\n    " + readable(letter.value)


def _connection(bootstrap_servers: str | None, client_config: Path | None) -> dict[str, Any]:
    servers = bootstrap_servers or default_stack().broker.bootstrap_servers
    return {"bootstrap_servers": servers, **client_options(client_config)}
