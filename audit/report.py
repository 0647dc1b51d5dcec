"""What a reconciliation found: for people, for programs, and as an exit code."""

import csv
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audit.differences import CAUSES, differing
from audit.proof import Gap

Verdict = Literal["explained", "unexplained", "incomplete"]
EXIT_CODES: dict[Verdict, int] = {"explained": 0, "unexplained": 2, "incomplete": 3}
SHOWN = 10
_COLUMNS = ["window_start", "ad_id", "streamed", "exact", *CAUSES]


@dataclass(frozen=True)
class Report:
    """A reconciliation's result.

    `published` and `exact` in clicks; `overcount` and `undercount` sum up what places have too many and too few. `gaps`
    are missing in the archive or in doubt, `repeats` the rows it has twice. `late_missing`: how many late clicks the
    ledger booked in a window beyond those in their topic. `corrections`: how many counts were published.
    """

    span: str
    windows: int
    ads: int
    published: int
    exact: int
    overcount: int
    undercount: int
    late: int
    expired_duplicate: int
    unexplained: int
    differences: int
    gaps: list[Gap]
    repeats: int
    late_missing: dict[int, int]
    corrections: int = 0

    def with_corrections(self, corrections: int) -> "Report":
        """Return the report of the same, after so many counts were published."""
        return replace(self, corrections=corrections)

    @property
    def verdict(self) -> Verdict:
        """Whether the counts may be billed on: as they are corrected, or not."""
        if self.gaps:
            return "incomplete"
        return "unexplained" if self.unexplained or self.late_missing else "explained"


def report(span: str, places: pl.DataFrame, gaps: list[Gap], repeats: int, late_missing: dict[int, int]) -> Report:
    """Sum up the explained places (`audit.differences.explain`)."""
    found = places.filter(pl.any_horizontal(pl.col("published", "exact") != 0))
    missing = found["exact"] - found["published"]
    return Report(
        span=span,
        windows=found["window_start"].n_unique(),
        ads=found["ad_id"].n_unique(),
        published=int(found["published"].sum()),
        exact=int(found["exact"].sum()),
        overcount=-int(missing.clip(upper_bound=0).sum()),
        undercount=int(missing.clip(lower_bound=0).sum()),
        late=int(places["late"].sum()),
        expired_duplicate=int(places["expired_duplicate"].sum()),
        unexplained=int(places["unexplained"].abs().sum()),
        differences=len(differing(places)),
        gaps=gaps,
        repeats=repeats,
        late_missing=late_missing,
    )


def write(result: Report, places: pl.DataFrame, out: Path) -> None:
    """Write differences.csv, report.json and, from a complete archive, corrected.csv to a directory."""
    out.mkdir(parents=True, exist_ok=True)
    _write_csv(differing(places).rename({"published": "streamed"}).select(_COLUMNS), out / "differences.csv")
    corrected = out / "corrected.csv"
    if result.gaps:
        corrected.unlink(missing_ok=True)
    else:
        write_counts(places, corrected)
    _replace(out / "report.json", json.dumps(as_json(result), indent=2) + "\n")


def write_counts(places: pl.DataFrame, path: Path) -> None:
    """Write the exact counts as `window_start,ad_id,clicks`."""
    exact = places.filter(pl.col("exact") > 0).sort("window_start", "ad_id")
    _write_csv(exact.select("window_start", "ad_id", clicks="exact"), path)


def as_json(result: Report) -> dict[str, object]:
    """Return the report for programs."""
    gaps = [gap._asdict() for gap in result.gaps]
    late_missing = [{"window_start": start, "missing": missing} for start, missing in result.late_missing.items()]
    return {**asdict(result), "gaps": gaps, "late_missing": late_missing, "verdict": result.verdict}


def page(result: Report, places: pl.DataFrame) -> RenderableType:
    """Return the report for people."""
    table = Table(title=f"Reconciliation of {result.span}", title_justify="left", show_header=False)
    rows = {
        "windows": result.windows,
        "ads": result.ads,
        "clicks published": result.published,
        "clicks by recount": result.exact,
        "overcounted": result.overcount,
        "undercounted": result.undercount,
        "late": result.late,
        "expired duplicates": result.expired_duplicate,
        "unexplained": result.unexplained,
        "counts corrected": result.corrections,
    }
    for name, number in rows.items():
        table.add_row(name, Text(f"{number:,}", justify="right"))
    return Group(table, *_unexplained(places), _sentence(result))


def _unexplained(places: pl.DataFrame) -> list[RenderableType]:
    """Return the places with the largest differences that nothing explains."""
    worst = places.filter(pl.col("unexplained") != 0).sort(pl.col("unexplained").abs(), descending=True).head(SHOWN)
    if worst.is_empty():
        return []
    table = Table("window", "ad", "published", "exact", "unexplained", title="Unexplained", title_justify="left")
    columns = ["window_start", "ad_id", "published", "exact", "unexplained"]
    for start, ad_id, *numbers in worst.select(columns).iter_rows():
        table.add_row(str(start), Text(repr(ad_id)), *(f"{number:,}" for number in numbers))
    return [table]


def _sentence(result: Report) -> Text:
    if result.gaps:
        more = f" and {len(result.gaps) - SHOWN} more" if len(result.gaps) > SHOWN else ""
        gaps = "; ".join(map(str, result.gaps[:SHOWN]))
        why = "nothing is corrected, as records are missing or in doubt"
        return Text(f"incomplete: {why}: {gaps}{more}", style="bold red")
    if result.late_missing:
        missing = sum(result.late_missing.values())
        return Text(f"unexplained: {missing:,} late clicks of the ledger are not in their topic", style="bold red")
    if result.unexplained:
        return Text("unexplained: counts differ and no late click or duplicate says why", style="bold red")
    return Text("explained: every difference has its cause", style="bold green")


def _write_csv(rows: pl.DataFrame, path: Path) -> None:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.columns)
        writer.writerows(rows.iter_rows())
    draft.replace(path)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
