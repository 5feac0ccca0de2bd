"""As many histories as one likes: `python -m tests.promise --histories 2000 [--seed 1] [--steps 30]`."""

from __future__ import annotations

import argparse
import logging
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promise.machine import TOTALS, Promise


def main() -> None:
    """Run histories until one breaks the promise, or all have been seen; print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20, help="Steps of one history at most.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    run_state_machine_as_test(
        seed(options.seed)(Promise),
        settings=settings(
            max_examples=options.histories,
            stateful_step_count=options.steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            print_blob=False,
        ),
    )
    print(f"{dict(TOTALS)} in {time.monotonic() - began:.0f} s: no promise was broken")


if __name__ == "__main__":
    main()
