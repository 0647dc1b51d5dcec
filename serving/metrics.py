"""What the serving side tells Prometheus."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Loading(Protocol):
    """How the loader fares (`serving.loader.Loader`)."""

    lag: dict[str, int]
    idle_partitions: list[int] | None
    trouble: str | None

    @property
    def rows(self) -> dict[str, int]:
        """Rows loaded since the start, by topic."""


class LoaderMetrics(Collector):
    """The loader's figures, as they are when Prometheus asks."""

    def __init__(self, loader: Loading) -> None:
        self._loader = loader

    def collect(self) -> Iterable[Metric]:
        """Return lag, rows, and whether all is well."""
        lag = GaugeMetricFamily("clickproof_loader_lag_records", "Committed and not loaded yet.", labels=["topic"])
        for topic, records in dict(self._loader.lag).items():
            lag.add_metric([topic], records)
        rows = CounterMetricFamily("clickproof_loader_rows", "Loaded since the start.", labels=["topic"])
        for topic, number in dict(self._loader.rows).items():
            rows.add_metric([topic], number)
        up = GaugeMetricFamily("clickproof_loader_up", "1 while nothing keeps it from loading.")
        up.add_metric([], float(self._loader.trouble is None))
        idle = GaugeMetricFamily("clickproof_idle_partitions", "Partitions of the clicks without a record of late.")
        if self._loader.idle_partitions is not None:
            idle.add_metric([], len(self._loader.idle_partitions))
        return [lag, rows, up, idle]


def measure(app: FastAPI, *figures: Collector) -> CollectorRegistry:
    """Time every request of the app; return the registry of this and other figures."""
    registry = CollectorRegistry()
    for collector in figures:
        registry.register(collector)
    seconds = Histogram(
        "clickproof_api_seconds", "Of answering.", ["route", "status"], registry=registry, buckets=BUCKETS
    )

    @app.middleware("http")
    async def timed(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer, and note how long it took."""
        start = time.perf_counter()
        response = await answer(request)
        route = getattr(request.scope.get("route"), "path", "none")
        seconds.labels(route, response.status_code).observe(time.perf_counter() - start)
        return response

    return registry
