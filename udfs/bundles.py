"""The end of a bundle, which Beam's worker puts off without need."""

from apache_beam.runners.worker.statesampler import StateSampler


def end_at_once() -> None:
    """Let every bundle of this process end when its last record is done.

    A thread of Beam's samples what the worker is doing, first after 2 ms, then ever more rarely, down to every 200 ms.
    A bundle ends when that thread next wakes up: it waits for a tenth of the time it took. Flink asks for no samples.
    """
    StateSampler.run = _sample_nothing


def _sample_nothing(sampler: StateSampler) -> None:
    """Be the whole life of the thread that samples."""
