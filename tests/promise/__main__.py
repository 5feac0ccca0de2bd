"""As many histories as one likes: `python -m tests.promise --histories 2000` or `--steps 1000000` [--seed 1].

They are run in batches, on every core, each batch with a seed of its own: the same seed runs the same histories.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import math
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.promise.machine import TOTALS, Promise

BATCH = 125
"""Histories with one seed at most."""
USER_FOLDERS = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
"""What this person's own runs have learned is none of the model's business, and made it five times as slow."""


def run_batch(number: int, histories: int, length: int, *, shrink: bool = True) -> tuple[Counter[str], str]:
    """Run the histories of one seed; return what they came to, and the one that broke the promise, shrunk."""
    logging.disable(logging.CRITICAL)
    # A tenth of the time was spent on looking for garbage among what was imported.
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    TOTALS.clear()
    how = settings(
        max_examples=histories,
        stateful_step_count=length,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        print_blob=False,
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(seed(number)(Promise), settings=how)
    except Exception as error:
        notes = "\n".join(line for line in getattr(error, "__notes__", []) if "nothing_is_wrong" not in line)
        return Counter(TOTALS), f"seed {number}: {type(error).__name__}: {error}\n{notes}"
    return Counter(TOTALS), ""


def main() -> None:
    """Run histories until one breaks the promise, or enough have been seen; print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--steps", type=int, help="Go on until so many steps were seen, whatever --histories says.")
    parser.add_argument("--length", type=int, default=15, help="Steps of one history at most.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-shrink", action="store_true", help="Tell at once that a promise was broken, and not how.")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    began, totals, broken = time.monotonic(), Counter[str](), ""
    batches_ended = 0
    batches = itertools.count(options.seed)
    counted_by, enough = ("steps", options.steps) if options.steps else ("histories", options.histories)
    with tempfile.TemporaryDirectory() as home, ProcessPoolExecutor(options.cores) as pool:
        os.environ |= dict.fromkeys(USER_FOLDERS, home)
        batch = BATCH if options.steps else min(BATCH, math.ceil(options.histories / options.cores))
        one_batch = partial(run_batch, histories=batch, length=options.length, shrink=not options.no_shrink)
        running = {pool.submit(one_batch, one) for one in itertools.islice(batches, options.cores)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                counted, found = future.result()
                totals, broken = totals + counted, broken or found
                batches_ended += 1
                # Those that run now will count as much as the others: a batch has more histories than it is asked for.
                if not broken and totals[counted_by] * (1 + len(running) / batches_ended) < enough:
                    running.add(pool.submit(one_batch, next(batches)))
    verdict = broken or "no promise was broken"
    print(f"{dict(totals)} in {time.monotonic() - began:.0f} s: {verdict}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
