"""The commands that ask the archive: lateness and audit-identity."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.bar import Bar
from rich.box import SIMPLE
from rich.table import Table

from audit.archive_files import RecordSpan, archive_files
from audit.identity_audit import IdentityAudit, audit_identities
from audit.lateness import JobRules, Lateness, measure
from audit.readable import epoch_ms, iso_time, readable
from local.console import Json, console, progress
from local.processes import LocalError
from local.stack import default_stack

Archive = Annotated[Path | None, typer.Option(help="The archive's directory. Default: the local stack's.")]
From = Annotated[str | None, typer.Option("--from", help="First record timestamp: ISO 8601 (UTC) or epoch ms.")]
To = Annotated[str | None, typer.Option("--to", help="End of the record timestamps, itself left out.")]
Skew = Annotated[int, typer.Option(min=0, help="The job's max_clock_skew, in seconds.")]

BAR_WIDTH = 12


def lateness(
    archive: Archive = None,
    start: From = None,
    end: To = None,
    target: Annotated[float, typer.Option(min=0, max=100, help="Late clicks to accept, in percent.")] = 0.1,
    window: Annotated[int, typer.Option(min=1, help="The job's window, in seconds.")] = 60,
    dedupe_horizon: Annotated[int, typer.Option(min=1, help="The job's dedupe_horizon, in seconds.")] = 600,
    max_clock_skew: Skew = 300,
    as_json: Json = False,
) -> None:
    """Measure how late clicks come, and recommend an out-of-orderness; changes nothing."""
    span = parsed_span(start, end)
    rules = JobRules(window * 1000, dedupe_horizon * 1000, max_clock_skew * 1000)
    files = _files(archive, span)
    with progress() as show:
        result = measure(files, span, rules, show)
    if not result.clicks:
        raise LocalError("The archive has no valid click in that span: choose another --from and --to.")
    if as_json:
        best = result.recommended(target / 100)
        advice = {"recommended_ms": best.out_of_orderness_ms if best else None}
        typer.echo(json.dumps(asdict(result) | advice, indent=2))
    else:
        _print_lateness(result, target)


def audit_identity(
    archive: Archive = None,
    start: From = None,
    end: To = None,
    examples: Annotated[int, typer.Option(min=0, help="Identities to show at most.")] = 5,
    max_clock_skew: Skew = 300,
    as_json: Json = False,
) -> None:
    """Estimate how many clicks without click_id were merged though they differ in other fields, with examples."""
    span = parsed_span(start, end)
    files = _files(archive, span)
    with progress() as show:
        result = audit_identities(files, span, max_clock_skew * 1000, examples, show)
    if as_json:
        typer.echo(json.dumps(asdict(result) | {"share": result.share}, indent=2))
    else:
        _print_audit(result)


def parsed_span(start: str | None, end: str | None) -> RecordSpan:
    """Return the span that --from and --to say; LocalError for one that cannot hold anything."""
    first, last = (None if text is None else epoch_ms(text) for text in (start, end))
    span = RecordSpan(first, last)
    if span.first is not None and span.end is not None and span.first >= span.end:
        raise LocalError("--from is not before --to: choose a span that holds something.")
    return span


def _files(archive: Path | None, span: RecordSpan) -> list[Path]:
    directory = archive or default_stack().archive_directory
    last = None if span.end is None else _hour(span.end - 1)
    files = archive_files(directory, None if span.first is None else _hour(span.first), last)
    if not files:
        raise LocalError(f"{directory} has no Parquet file of that span: name the archive's directory with --archive.")
    return files


def _hour(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _print_lateness(result: Lateness, target: float) -> None:
    console.print(f"{result.clicks:,} valid clicks, {result.unique:,} of them unique")
    console.print(_delays(result))
    console.print(_candidates(result))
    best = result.recommended(target / 100)
    if best:
        seconds = best.out_of_orderness_ms // 1000
        console.print(f"Recommended: out_of_orderness = {seconds} s, the smallest with less than {target:g} % late.")
    else:
        console.print(f"No candidate brings the late clicks under {target:g} %: leave them to reconciliation.")


def _delays(result: Lateness) -> Table:
    table = Table(
        "",
        *result.delay_ms,
        box=SIMPLE,
        caption="delay: record timestamp − click_timestamp\nbehind: the partition's maximum",
    )
    for name, values in (("delay", result.delay_ms), ("behind", result.behind_ms)):
        table.add_row(name, *(f"{(value or 0) / 1000:,.3f} s" for value in values.values()))
    return table


def _candidates(result: Lateness) -> Table:
    table = Table(box=SIMPLE, caption="late: at most; uncounted: unique clicks, before reconciliation")
    table.add_column("out_of_orderness", justify="right", no_wrap=True)
    for name in ("added latency", "dedupe state", "uncounted", "late"):
        table.add_column(name, justify="right")
    table.add_column(width=BAR_WIDTH)
    most = max(candidate.late_share for candidate in result.candidates)
    for candidate in result.candidates:
        seconds = f"{candidate.out_of_orderness_ms // 1000} s"
        state = f"{candidate.state_bytes / 1e6:,.1f} MB"
        shares = (f"{share:.3%}" for share in (candidate.undercount_share, candidate.late_share))
        table.add_row(seconds, f"+{seconds}", state, *shares, Bar(most or 1, 0, candidate.late_share))
    return table


def _print_audit(result: IdentityAudit) -> None:
    console.print(
        f"{result.unique:,} unique clicks without click_id, {result.ambiguous:,} of them with several contents:"
    )
    console.print(
        f"{result.other_country:,} with several countries, {result.other_fields:,} with other fields that differ."
    )
    console.print(
        f"An estimated {result.falsely_merged:,} clicks were merged falsely: {result.share:.4%} of the unique ones."
    )
    for number, copies in enumerate(result.examples, start=1):
        console.print(f"\nExample {number}")
        for copy in copies:
            origin = f"  {copy.partition}@{copy.offset}  {iso_time(copy.timestamp)}  "
            console.print(origin + readable(copy.value.encode()), markup=False, highlight=False, soft_wrap=True)
