"""The console script `clickproof`."""

import json
from dataclasses import asdict

import typer
from kafka.errors import KafkaError
from rich.table import Table

from audit.archive_commands import audit_identity, lateness
from audit.dlq_commands import dlq
from audit.reconcile_commands import backfill_counts, reconcile
from ingest.producer import ProduceError
from local.click_commands import demo, generate, produce, replay
from local.console import Json, console, errors
from local.lost_commits import lost_commits, report_lost_commits
from local.processes import LocalError
from local.serving_commands import clicks, serve, store, top
from local.stack import Component, default_stack
from local.upgrade_commands import rescale, savepoint, upgrade
from local.window_commands import windows
from serving.settings import ServingError
from serving.store import StoreError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Counts ad clicks exactly, and proves it.")


def main() -> None:
    """Run the command; an error the user can mend is one sentence on stderr, and exit code 1."""
    try:
        app()
    except (LocalError, ProduceError, ServingError) as error:
        _fail(str(error))
    except StoreError as error:
        _fail(f"The store failed: {error}")
    except KafkaError as error:
        _fail(f"Kafka failed ({error}): see the broker's log, then try again.")


def _fail(sentence: str) -> None:
    errors.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1) from None


@app.command()
def up() -> None:
    """Start broker, Flink cluster and streaming job, and wait until all is healthy."""
    stack = default_stack()
    with errors.status("Looking at what runs") as spinner:
        stack.up(on_step=spinner.update)
    console.print(_table(stack.status()))


@app.command()
def archive() -> None:
    """Start the archive on the running system: every record of the clicks topic, into Parquet files."""
    stack = default_stack()
    with errors.status("Looking at what runs") as spinner:
        stack.start(spinner.update)
        stack.start_archive(spinner.update)
    console.print(f"{stack.archive_directory}: a file each minute", soft_wrap=True)


@app.command()
def down() -> None:
    """Stop everything and remove the local system's data."""
    with errors.status("Stopping"):
        default_stack().down()


@app.command()
def status(as_json: Json = False) -> None:
    """Show what runs, where, and whether a commit was lost."""
    stack = default_stack()
    rows, log = stack.status(), stack.cluster.taskmanager.log_file
    if lost := len(list(lost_commits(log))) if log.exists() else 0:
        rows.append(Component("lost-commits", f"{lost} LOST", str(log), None))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        console.print(_table(rows))


app.add_typer(dlq, name="dlq")
app.add_typer(store, name="store")
running = (savepoint, upgrade, rescale)
for command in (
    generate,
    produce,
    replay,
    demo,
    reconcile,
    lateness,
    audit_identity,
    serve,
    top,
    clicks,
    windows,
    *running,
):
    app.command()(command)
app.command("backfill")(backfill_counts)
app.command("lost-commits")(report_lost_commits)


def _table(rows: list[Component]) -> Table:
    table = Table("component", "state", "pid")
    table.add_column("address", overflow="fold")
    for row in rows:
        table.add_row(row.component, row.state, str(row.pid or ""), row.address or "")
    return table
