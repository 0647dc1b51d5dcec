"""The ledger: where every raw click went.

    raw = counted + duplicate + late + invalid

holds for every minute and for a run as a whole.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of the ledger, each a number of clicks."""

    raw: int = 0
    counted: int = 0
    duplicate: int = 0
    late: int = 0
    invalid: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every raw click is accounted for, once."""
        return self.raw == self.counted + self.duplicate + self.late + self.invalid
