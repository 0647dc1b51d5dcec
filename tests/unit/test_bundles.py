"""Beam's own sampler, in this process as in a worker."""

import threading
from collections.abc import Callable

import pytest
from apache_beam.runners.worker.statesampler import StateSampler, statesampler_impl
from apache_beam.utils.counters import CounterFactory

from tests.builders import MINUTE
from tests.unit.test_dedupe import FakeFlink
from udfs.bundles import end_at_once
from udfs.pack_clicks import pack_clicks
from udfs.packing import Packing

SAMPLING = 5.0  # seconds that a thread is given to end


def open_packer() -> None:
    pack_clicks(Packing(MINUTE, MINUTE, 1, by_country=False))._func.open(None)


@pytest.mark.parametrize("open_operator", [end_at_once, FakeFlink, open_packer])
def test_no_bundle_waits_for_the_sampler(monkeypatch: pytest.MonkeyPatch, open_operator: Callable[[], object]):
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
