"""The command under faults of its own machine: `HOSTILE='{"speed": 30, ...}' python -m tests.hostile.child run ...`."""

from __future__ import annotations

import json
import os
import random
import resource
import threading
import time

from aimlvideo.cli.signals import in_good_order
from tests.hostile import fast_time


def main() -> None:
    """Set the limits, start the clocks, and run the command; a signal counts from here on, as it does for a command."""
    with in_good_order():
        _main()


def _main() -> None:
    faults = json.loads(os.environ["HOSTILE"])
    fast_time.install(faults["speed"], faults["origin"])
    fast_time.steps[0] = faults.get("wrong_by", 0.0)
    if descriptors := faults.get("descriptors"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if steps := faults.get("clock_steps"):
        threading.Thread(target=_set_the_clock, args=(steps, random.Random(faults["seed"])), daemon=True).start()
    from aimlvideo.shell.files import downloads

    downloads.MAX_CLIP = 32 * 2**20
    from aimlvideo.__main__ import main

    main()


def _set_the_clock(steps: list[float], chance: random.Random) -> None:
    while True:
        time.sleep(chance.uniform(5, 60))
        fast_time.steps[0] = chance.choice(steps)


if __name__ == "__main__":
    main()
