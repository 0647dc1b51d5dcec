"""The commands that hold the counts against the archive: reconcile and backfill."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from audit.reconciliation import Reconciliation, Records, backfill, reconcile_files, reconcile_span
from audit.report import EXIT_CODES, as_json, page, write, write_counts
from audit.spans import archived_until, span_of
from local import blocklists
from local.blocklists import BlocklistFile
from local.console import Json, console, progress
from local.external import client_options, cluster_beside
from local.processes import LocalError
from local.replay import running_stack
from local.stack import Stack, default_stack

First = Annotated[str | None, typer.Option("--from", help="Its first window (ISO, UTC). Default: yesterday.")]
End = Annotated[str | None, typer.Option("--to", help="Where it ends. Default: a day later.")]
Archive = Annotated[str | None, typer.Option(help="Directory or URL of the archive. Default: the local stack's.")]
Source = Annotated[Literal["archive", "kafka"], typer.Option(help="Where the raw clicks are read.")]
Servers = Annotated[str | None, typer.Option(help="A broker that others run. Default: the local stack's.")]
ClientConfig = Annotated[Path | None, typer.Option(help="JSON file with kafka-python's security options for it.")]
SLOTS = 2


def reconcile(
    first: First = None,
    end: End = None,
    archive: Archive = None,
    source: Source = "archive",
    publish: Annotated[bool, typer.Option("--publish", help="Publish the corrections.")] = False,
    counts: Annotated[Path | None, typer.Option(help="A replay's counts.csv, in place of the topic.")] = None,
    late: Annotated[Path | None, typer.Option(help="A replay's late.jsonl, in place of the topic.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the results. Default: in the local stack.")] = None,
    bootstrap_servers: Servers = None,
    client_config: ClientConfig = None,
    blocklist: BlocklistFile = None,
    as_json_: Json = False,
) -> None:
    """Recount a span, explain what differs from the published counts, and correct it.

    Exit code: 0 when every difference is explained, 2 when not, 3 when the archive is incomplete.
    """
    blocklists.read(blocklist)
    if counts or late:
        if not (counts and late and archive and out) or first or end or publish:
            raise LocalError("Files are reconciled as a whole: --archive, --counts, --late and --out, and no other.")
        _require(Path(archive), counts, late)
        with progress() as show, running_stack(SLOTS) as stack:
            done = reconcile_files(Path(archive), counts, late, stack, show, blocklist)
    else:
        now = datetime.now(UTC)
        span = span_of(first, end, now)
        if bootstrap_servers and not (out and (archive or source == "kafka")):
            raise LocalError("A broker that others run is reconciled with --out and --archive, or --source kafka.")
        with _stack(bootstrap_servers, client_config) as stack, progress() as show:
            out = out or stack.home / "reconciliations" / span.name
            records = Records(source, _archive_url(source, archive, stack), archived_until(span, now), blocklist)
            done = reconcile_span(span, records, stack, show, publish)
    write(done.report, done.places, out)
    _show(done, as_json_)
    raise typer.Exit(EXIT_CODES[done.report.verdict])


def backfill_counts(
    out: Annotated[Path, typer.Option(help="File of the counts, as `window_start,ad_id,clicks`.")],
    first: First = None,
    end: End = None,
    archive: Archive = None,
    source: Source = "archive",
    blocklist: BlocklistFile = None,
    as_json_: Json = False,
) -> None:
    """Derive a span's counts from the archive alone. Exit code 3, and no file, when the archive is incomplete.

    To publish them where the topic was lost: reconcile --publish.
    """
    blocklists.read(blocklist)
    now = datetime.now(UTC)
    span, stack = span_of(first, end, now), _running()
    records = Records(source, _archive_url(source, archive, stack), archived_until(span, now), blocklist)
    with progress() as show:
        done = backfill(span, records, stack, show)
    if not done.report.gaps:
        write_counts(done.places, out)
    _show(done, as_json_)
    raise typer.Exit(EXIT_CODES["incomplete"] if done.report.gaps else 0)


def _show(done: Reconciliation, as_json_: bool) -> None:
    if as_json_:
        typer.echo(json.dumps(as_json(done.report), indent=2))
    else:
        console.print(page(done.report, done.places))


def _archive_url(source: Literal["archive", "kafka"], archive: str | None, stack: Stack) -> str:
    """Where the archive is; raises LocalError when a local one that is to be read is not there."""
    place = archive or str(stack.archive_directory)
    if "://" not in place:
        path = Path(place).absolute()
        if source == "archive" and not path.is_dir():
            raise LocalError(f"There is no archive in {path}: clickproof archive writes one.")
        place = path.as_uri()
    return place


@contextmanager
def _stack(bootstrap_servers: str | None, client_config: Path | None) -> Iterator[Stack]:
    """The local system, or a temporary cluster for the topics of a broker that others run."""
    if bootstrap_servers is None:
        yield _running()
        return
    with cluster_beside(bootstrap_servers, client_options(client_config), SLOTS) as stack:
        yield stack


def _running() -> Stack:
    """The stack whose topics are reconciled; raises LocalError when it does not run."""
    stack = default_stack()
    if not stack.broker.alive():
        raise LocalError("The local system does not run, so there is nothing to reconcile: clickproof up.")
    stack.start()
    return stack


def _require(*paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise LocalError(f"There is no {path}.")
