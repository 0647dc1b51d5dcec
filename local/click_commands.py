"""The commands that bring clicks into the system: generate, produce, replay and demo."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from ingest.producer import send_lines
from local import blocklists
from local import replay as replaying
from local.blocklists import BlocklistFile
from local.console import Json, console, progress
from local.demo import run_demo
from local.generator import generate as write_clicks
from local.processes import LocalError
from local.published import topics_of
from local.stack import TOPICS, default_stack
from local.traffic import START, Traffic

File = Annotated[Path, typer.Argument(metavar="FILE", help="Clicks, one on each line.")]


def generate(
    clicks: Annotated[int, typer.Option(help="Lines to write.")],
    out: Annotated[Path, typer.Option(help="File to write; OUT.truth.json beside it says what is certain.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    duplicates: Annotated[float, typer.Option(help="Share of duplicates.")] = Traffic.duplicates,
    late: Annotated[float, typer.Option(help="Share of late clicks.")] = Traffic.late,
    invalid: Annotated[float, typer.Option(help="Share of invalid clicks.")] = Traffic.invalid,
    future: Annotated[float, typer.Option(help="Share of clicks from the future.")] = Traffic.future,
    ads: Annotated[int, typer.Option(help="Number of ads.")] = Traffic.ads,
    minutes: Annotated[int, typer.Option(help="Minutes of event time.")] = Traffic.minutes,
    start: Annotated[int, typer.Option(help="First event time, in epoch milliseconds.")] = START,
    as_json: Json = False,
) -> None:
    """Write synthetic clicks with duplicates, disorder, late and invalid ones."""
    try:
        traffic = Traffic(clicks, seed, duplicates, late, invalid, future, ads, minutes, start)
        with progress(clicks) as show:
            truth = write_clicks(traffic, out, lambda written: show("Generating", written))
    except (ValueError, OSError) as error:
        raise LocalError(f"Cannot generate {out}: {error}.") from error
    if as_json:
        typer.echo(json.dumps(truth, indent=2))
    else:
        console.print(f"{out}: {clicks:,} clicks, {truth['unique_valid']:,} of them valid and unique", soft_wrap=True)


def produce(
    file: File,
    rate: Annotated[float | None, typer.Option(min=1, help="Lines per second at most.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Default: the local stack's broker.")] = None,
    as_json: Json = False,
) -> None:
    """Send a file's lines, byte for byte, to the clicks topic, in turn to its partitions."""
    servers = bootstrap_servers or default_stack().broker.bootstrap_servers
    _require_file(file)
    start = time.monotonic()
    with progress() as show:
        connection = {"bootstrap_servers": servers}
        lines = send_lines(file, TOPICS.clicks, connection, rate, lambda sent: show("Sending", sent))
    seconds = time.monotonic() - start
    if as_json:
        typer.echo(json.dumps({"lines": lines, "seconds": round(seconds, 3)}))
    else:
        console.print(f"{lines:,} lines sent to {TOPICS.clicks} in {seconds:.1f} s")


def replay(
    file: File,
    out: Annotated[Path, typer.Option(help="Directory of the results; it is made if there is none.")],
    parallelism: Annotated[int, typer.Option(min=1, help="Of the job.")] = 2,
    blocklist: BlocklistFile = None,
    dimensions: Annotated[
        str, typer.Option(envvar="CLICKPROOF_DIMENSIONS", help="Counts of an ad also by: country.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Count a file's clicks: counts.csv, late.jsonl, invalid.jsonl and ledger.json, or an error and nothing."""
    _require_file(file)
    _require_directory(out)
    blocklists.read(blocklist)
    topics_of(["--dimensions", dimensions], {})
    with progress() as show:
        show("Starting Kafka and Flink", 0)
        with replaying.running_stack(parallelism) as stack:
            result = replaying.replay(file, out, stack, parallelism, show, blocklist, dimensions)
    if as_json:
        typer.echo(json.dumps(result.summary(), indent=2))
    else:
        terms = ", ".join(f"{name} {clicks:,}" for name, clicks in result.ledger.items())
        console.print(f"{out}: {terms}; {result.lines / result.run:,.0f} clicks/s", soft_wrap=True)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the API and the dashboard open until Ctrl-C.")] = False,
) -> None:
    """Run the whole system once, from nothing: clicks in, counts and their proof out, nothing left behind."""
    raise typer.Exit(run_demo(keep))


def _require_file(file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise LocalError(f"Cannot read {file}: {error.strerror}.") from error


def _require_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"Cannot make the directory {directory}: {error.strerror}.") from error
