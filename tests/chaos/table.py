"""The results of all attacks so far, as a table for docs/reliability.md: `python -m tests.chaos.table`."""

import json
from collections import defaultdict
from collections.abc import Iterable
from statistics import quantiles
from typing import Any

from tests.chaos.attack import RESULTS

HEAD = "| attack | runs | exact | p50 | p95 | seeds |\n|---|---|---|---|---|---|"


def table(results: Iterable[dict[str, Any]]) -> str:
    """Return a line for each attack: its runs, and the seconds to the next checkpoint after a fault."""
    by_attack: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_attack[result["attack"]].append(result)
    return "\n".join([HEAD, *(_line(attack, runs) for attack, runs in sorted(by_attack.items()))])


def _line(attack: str, runs: list[dict[str, Any]]) -> str:
    exact = sum(not run["problems"] for run in runs)
    recoveries = [seconds for run in runs for seconds in run["recoveries"]]
    p50, p95 = (f"{percentile(recoveries, share):.0f} s" if recoveries else "" for share in (50, 95))
    seeds = ", ".join(str(run["seed"]) for run in runs)
    return f"| {attack} | {len(runs)} | {exact} | {p50} | {p95} | {seeds} |"


def percentile(values: list[float], share: int) -> float:
    """Return a percentile of one value or more, interpolated between neighbours."""
    return quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else values[0]


if __name__ == "__main__":
    print(table(map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())))
