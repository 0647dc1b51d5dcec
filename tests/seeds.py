"""Seeds of randomised tests: new ones each time, or the one in `TESTS_SEED`, to run a test again."""

import os
import random

SEED, SEEDS = "TESTS_SEED", "TESTS_SEEDS"


def chosen_seed() -> int:
    """The seed; pytest shows what is printed when the test fails."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**6))
    print(f"{SEED}={seed}")
    return seed


def chosen_seeds() -> list[int]:
    """As many as `TESTS_SEEDS` says, by default one; the first is the chosen one."""
    first = chosen_seed()
    chance = random.Random(first)
    return [first, *(chance.randrange(10**6) for _ in range(int(os.environ.get(SEEDS) or 1) - 1))]
