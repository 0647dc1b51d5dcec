"""What the counts themselves tell Prometheus: how fresh they are, and whether they add up."""

import logging
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.answers import Answers
from serving.models import Windows
from serving.store import StoreError
from serving.windows import MINUTE

LOOKED_AT = 60  # windows
SETTLING = 5 * MINUTE
"""How long after a window's end, in event time, all that is published of it can take to be loaded."""
log = logging.getLogger("clickproof.metrics")


class WindowMetrics(Collector):
    """The last windows and the newest reconciliation, asked for whenever Prometheus asks."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def collect(self) -> Iterable[Metric]:
        """Return the figures; of a store that fails, that alone."""
        up = GaugeMetricFamily("clickproof_store_up", "1 while the store answers.")
        try:
            found = [*self._of_windows(), *self._of_reconciliation()]
        except StoreError as error:
            log.warning("The store failed: %s", error)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]

    def _of_windows(self) -> Iterable[Metric]:
        windows = self._answers.windows(self._answers.last(LOOKED_AT))
        unbalanced = sum(not window.balanced for window in windows.windows)
        yield _gauge("clickproof_windows_unbalanced", "Of the last 60: raw is not the sum of its terms.", unbalanced)
        unproven = _unproven(windows)
        yield _gauge("clickproof_windows_unproven", "Of the last 60: over for 5 minutes, and provisional.", unproven)
        if windows.published_until is not None:
            newest = windows.published_until / 1000
            yield _gauge("clickproof_newest_window_timestamp_seconds", "End of the newest ranked window.", newest)

    def _of_reconciliation(self) -> Iterable[Metric]:
        for newest in self._answers.reconciliations(1).reconciliations:
            until = newest.end / 1000
            yield _gauge("clickproof_reconciled_until_timestamp_seconds", "End of the newest reconciled span.", until)
            found = newest.unexplained
            yield _gauge("clickproof_unexplained_differences", "Clicks, in the newest reconciliation.", found)


def _unproven(windows: Windows) -> int:
    if windows.published_until is None:
        return 0
    settled = windows.published_until - SETTLING
    return sum(window.verdict == "provisional" for window in windows.windows if window.end <= settled)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value)
