"""The seed of a randomised test: a new one each time, printed, or the one in `CLICKPROOF_SEED`, to run it again."""

import os
import random

VARIABLE = "CLICKPROOF_SEED"


def chosen_seed() -> int:
    """The seed; pytest shows what is printed when the test fails."""
    seed = int(os.environ.get(VARIABLE) or random.SystemRandom().randrange(10**6))
    print(f"{VARIABLE}={seed}")
    return seed
