"""How fast the store is loaded and asked: `python -m bench.store`.

The store: an hour of windows, each with its share of 2 million ads, and one window with every ad. It is loaded through
a real broker, then asked as the API asks it, in this process: an ad's last hour, and the top 100 of that window.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from kafka import KafkaProducer
from rich.table import Table

from ingest.record_batches import send_batch
from local.broker import Broker
from local.console import Json, console, errors
from local.processes import exit_on_sigterm, free_port
from local.traffic import MINUTE, START
from serving.answers import Answers
from serving.loader import Loader
from serving.settings import Topics, load
from serving.store import Store

TOPICS = Topics()
BATCH = 120  # rows: what Flink's sink puts into 16 KiB
ON_WAY = 200  # batches
OPENING = 5  # questions of each kind that are not timed: they open the store's connections
LATE_SHARE = 100  # one ad of so many has a late click in a window


def main(
    ads: Annotated[int, typer.Option(min=100, help="Ads in the store, all of them in one window.")] = 2_000_000,
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the ads, in each other window.")] = 0.1,
    questions: Annotated[int, typer.Option(min=10, help="Of each kind.")] = 200,
    as_json: Json = False,
) -> None:
    """Measure loading and asking."""
    with tempfile.TemporaryDirectory(prefix="clickproof-") as home, exit_on_sigterm(), errors.status("") as spinner:
        figures = _measure(Path(home), ads, share, questions, spinner.update)
    if as_json:
        console.print_json(data=figures)
        return
    table = Table("what", "figure")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,}")
    console.print(table)


def _measure(home: Path, ads: int, share: float, questions: int, on_step: Callable[[str], None]) -> dict[str, float]:
    broker = Broker(home / "kafka", free_port())
    settings = load({"store": str(home / "store"), "bootstrap_servers": broker.bootstrap_servers}, environment={})
    on_step("Starting Kafka")
    broker.start()
    try:
        broker.create_topics({TOPICS.counts: 1})
        on_step("Publishing counts")
        _publish(broker, ads, share)
        with Store(settings) as store:
            loading = _load(store, Loader(store, settings), on_step)
            _put_beside(store, ads)
            return loading | _ask(store, ads, questions, on_step) | _size(store, home / "store")
    finally:
        broker.stop()


def _publish(broker: Broker, ads: int, share: float) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all")
    producer.partitions_for(TOPICS.counts)
    on_way: list[Any] = []
    for rows in _batches(ads, share):
        on_way.append(send_batch(producer, TOPICS.counts, 0, rows, START))
        if len(on_way) > ON_WAY:
            on_way.pop(0).get(60)
    for future in on_way:
        future.get(60)
    producer.close()


def _batches(ads: int, share: float) -> Iterator[list[bytes]]:
    """The counts of an hour, of which the last window has every ad; few ads have many clicks."""
    chance = random.Random(20260101)
    for number in range(60):
        several = range(ads) if number == 59 else sorted(chance.sample(range(ads), int(ads * share)))
        start = START + number * MINUTE
        rest = b'"window_start":%d,"window_end":%d,"clicks":' % (start, start + MINUTE)
        end = b',"version":0,"source":"stream"}'
        rows = [b'{"ad_id":"ad-%07d",%b%d%b' % (ad, rest, 1 + 10_000 // (ad + 1), end) for ad in several]
        yield from (rows[first : first + BATCH] for first in range(0, len(rows), BATCH))


def _load(store: Store, loader: Loader, on_step: Callable[[str], None]) -> dict[str, float]:
    start, cpu = time.monotonic(), time.process_time()
    rows = loader.load_all(lambda loaded: on_step(f"Loading: {loaded:,} rows"))
    seconds, worked = time.monotonic() - start, time.process_time() - cpu
    return {
        "rows loaded": rows,
        "rows/s": round(rows / seconds),
        "CPU microseconds per row": round(worked / rows * 1e6, 1),
    }


def _put_beside(store: Store, ads: int) -> None:
    """A ledger, a ranking and late clicks, so that verdicts have all to look at."""
    spread = f"number % 60 * {MINUTE} + {START}"
    ad = f"'ad-' || leftPad(toString(number * {LATE_SHARE}), 7, '0')"
    rows = f"SELECT {spread}, {ad}, 'clicks', 0, number, 1 FROM numbers({ads // LATE_SHARE})"
    store.run(f"INSERT INTO late {rows}")
    window, sums = f"window_start, window_start + {MINUTE}", "FROM windows WHERE about = 'sum'"
    store.run(f"INSERT INTO ledger SELECT {window}, clicks, clicks, 0, 0, 0, 1 {sums}")
    store.run(f"INSERT INTO top SELECT {window}, 1, 'ad', 1 {sums}")


def _ask(store: Store, ads: int, questions: int, on_step: Callable[[str], None]) -> dict[str, float]:
    answers, chance = Answers(store), random.Random(1)
    kinds: dict[str, Callable[[], object]] = {
        "an ad's last hour": lambda: answers.clicks(f"ad-{chance.randrange(ads):07}", answers.last(60)),
        "top 100 of the minute with every ad": lambda: answers.top(100, answers.last(1)),
        "top 100 of the last 5 minutes": lambda: answers.top(100, answers.last(5)),
    }
    figures: dict[str, float] = {}
    for name, ask in kinds.items():
        on_step(f"Asking: {name}")
        for _ in range(OPENING):
            ask()
        times = sorted(_timed(ask) for _ in range(questions))
        figures |= {f"{name}, p50 ms": round(statistics.median(times), 1), f"{name}, p99 ms": round(_p99(times), 1)}
    return figures


def _timed(ask: Callable[[], object]) -> float:
    start = time.perf_counter()
    ask()
    return (time.perf_counter() - start) * 1000


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _size(store: Store, folder: Path) -> dict[str, float]:
    rows = store.ask("SELECT count(), uniqExact(ad_id) FROM counts", {})[0]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"rows in the store": rows[0], "ads in the store": rows[1], "MB on disk": round(size / 1e6)}


if __name__ == "__main__":
    typer.run(main)
