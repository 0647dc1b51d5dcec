"""Beam's own sampler, in this process as in a worker."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from apache_beam.runners.worker.statesampler import StateSampler, statesampler_impl
from apache_beam.utils.counters import CounterFactory

from tests.builders import MINUTE
from udfs.bundles import end_at_once
from udfs.dedupe import DedupeClicks, DedupeRules
from udfs.pack_clicks import pack_clicks
from udfs.packing import Packing

SAMPLING = 5.0  # seconds that a thread is given to end


def open_dedupe() -> None:
    metrics = SimpleNamespace(add_group=lambda *_: metrics, counter=lambda _: None, gauge=lambda *_: None)
    context = {"get_map_state": lambda _: None, "get_state": lambda _: None, "get_metrics_group": lambda: metrics}
    DedupeClicks(DedupeRules(MINUTE, MINUTE, buckets=1, most_in_memory=1)).open(SimpleNamespace(**context))


def open_packer() -> None:
    pack_clicks(Packing(MINUTE, MINUTE, 1, by_country=False))._func.open(None)


@pytest.mark.parametrize("open_operator", [end_at_once, open_dedupe, open_packer])
def test_no_bundle_waits_for_the_sampler(monkeypatch: pytest.MonkeyPatch, open_operator: Callable[[], None]):
    monkeypatch.setattr(StateSampler, "run", statesampler_impl.StateSampler.run)
    open_operator()
    sampler, before = StateSampler("a bundle's", CounterFactory()), {*threading.enumerate()}
    sampler.start()
    try:
        sampling = {*threading.enumerate()} - before
        for thread in sampling:
            thread.join(SAMPLING)
        assert not any(thread.is_alive() for thread in sampling)
    finally:
        sampler.stop()
