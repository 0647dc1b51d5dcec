"""The page that the demo ends with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audit.report import Report
from local.books import TERMS

RANKS = 5
WINDOWS = 3
PROBLEMS = 20


@dataclass(frozen=True)
class Outcome:
    """What the demo brought about: ledger and top ads by the window's start, `silence` in seconds."""

    clicks: int
    ledger: Mapping[int, Mapping[str, int]]
    terms: Mapping[str, int]
    top_ads: Mapping[int, list[tuple[str, int]]]
    problems: list[str]
    silence: float  # from the last click to the last window's counts
    reconciliation: Report | None = None
    corrected: int = 0  # clicks in the counts in force after the corrections
    unique: int = 0  # valid clicks that were generated, each once

    @property
    def exact(self) -> bool:
        """Whether every click went where it must, and was counted in the end."""
        explained = self.reconciliation is not None and self.reconciliation.verdict == "explained"
        return not self.problems and explained and self.corrected == self.unique


def page(outcome: Outcome) -> RenderableType:
    """One page: the top ads, the ledger, the verdict, and where to read on."""
    return Group(
        _top_ads(outcome), "", _ledger(outcome), "", _verdict(outcome), "", *_reconciliation(outcome), _reading(outcome)
    )


def _top_ads(outcome: Outcome) -> Table:
    windows = sorted(outcome.top_ads)[-WINDOWS:]
    table = Table("rank", title="Top ads of the last minutes (UTC)", title_justify="left")
    for start in windows:
        table.add_column(_clock(start), justify="right")
    for rank in range(RANKS):
        ads = (outcome.top_ads[start][rank : rank + 1] for start in windows)
        table.add_row(str(rank + 1), *(Text(f"{ad[0][0]}  {ad[0][1]:,}" if ad else "") for ad in ads))
    return table


def _ledger(outcome: Outcome) -> Table:
    table = Table("minute", title="Ledger: raw = counted + duplicate + late + invalid", title_justify="left")
    for term in TERMS:
        table.add_column(term, justify="right")
    for start, terms in sorted(outcome.ledger.items()):
        table.add_row(_clock(start), *(f"{terms[term]:,}" for term in TERMS))
    table.add_section()
    table.add_row("total", *(f"{outcome.terms[term]:,}" for term in TERMS), style="bold")
    return table


def _verdict(outcome: Outcome) -> Text:
    if not outcome.problems:
        return Text(f"exact: {outcome.clicks:,} clicks recounted independently", style="bold green")
    more = [f"... and {len(outcome.problems) - PROBLEMS} more"] if len(outcome.problems) > PROBLEMS else []
    return Text("\n".join(["not exact:", *outcome.problems[:PROBLEMS], *more]), style="bold red")


def _reconciliation(outcome: Outcome) -> list[RenderableType]:
    """The counts before and after the reconciliation of the archive, and whether all that is unique was counted."""
    found = outcome.reconciliation
    if found is None:
        return []
    table = Table("", "clicks", title="Reconciliation with the archive", title_justify="left")
    rows = {
        "published by the stream": outcome.terms["counted"],
        "late, now counted": found.late,
        "expired duplicates, now taken out": -found.expired_duplicate,
        "unexplained": found.unexplained,
        "in force after the corrections": outcome.corrected,
        "valid and unique among those generated": outcome.unique,
    }
    for name, clicks in rows.items():
        table.add_row(name, Text(f"{clicks:,}", justify="right"))
    sentence = f"{found.verdict}: {found.corrections:,} counts corrected"
    style = "bold green" if outcome.exact else "bold red"
    return [table, Text(sentence, style=style)]


def _reading(outcome: Outcome) -> str:
    return f"""
Invalid clicks are booked on the minute in which they were sent.
One partition went quiet, then all: heartbeats closed the last window, its counts were published
{outcome.silence:.0f} s after the last click.
What a click, a duplicate and a late click are: docs/semantics.md. Start a system that stays: clickproof up."""


def _clock(start: int) -> str:
    return f"{datetime.fromtimestamp(start / 1000, UTC):%H:%M}"
