"""What is measured of one run of one system."""

from dataclasses import dataclass

from bench.meter import Meter


@dataclass(frozen=True)
class Run:
    """`clicks_per_s` and `cpu_s_per_million` in the steady state; `wall` in seconds, submission included.

    `exact`: whether the counts were those of the recount; None where there was none to check. `python_bytes`: the most
    that the Python processes together had resident.
    """

    clicks_per_s: float
    cpu_s_per_million: float
    wall: float
    exact: bool | None
    finished: bool
    python_bytes: int

    @classmethod
    def of(
        cls, meter: Meter, clicks: int, wall: float, exact: bool | None, finished: bool, restarted: bool = False
    ) -> "Run":
        """Return what the meter has of a run over so many clicks: of the whole if it was restarted or never steady.

        A run that did not finish has the rate of what it read: none, if it failed at once.
        """
        read = clicks if finished else max((sample.records for sample in meter.samples), default=0)
        taken = meter.samples[-1].cpu if meter.samples else 0.0
        steady = None if restarted else meter.steady(clicks)
        rate, cpu = steady or (read / wall, taken / read * 1e6 if read else 0.0)
        python_bytes = max((sample.python for sample in meter.samples), default=0)
        return cls(rate, cpu, wall, exact, finished, python_bytes)
