"""Live through everything at once, for hours: `python -m tests.hostile --hours 3 [--seed 1]`.

Each episode is a job file against a service whose answers are hostile, in fast time, on a machine whose disk fills,
whose clock is set, whose network is cut and whose processes are killed. In the end everything that the service accepted
is saved or named, nothing is bought twice, no traceback was shown, and memory and descriptors stayed within bounds.
One seed always begins with the same faults; an episode is repeated with `--seed N --episodes 1`.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.world import SPEED, Episode, Totals, can_mount


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="Hours of the wall.")
    parser.add_argument("--episodes", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--processes", type=int, default=4, help="Processes with faults in each episode.")
    parser.add_argument("--speed", type=float, default=SPEED, help="Seconds that pass here in one of the wall.")
    parser.add_argument("--keep", type=Path, help="Where episodes with findings are kept.")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background, and heirs too
    totals, began = Totals(), time.monotonic()
    if not can_mount():
        print("full disks are left out: they need root's rights")
    for seed in range(options.seed, options.seed + options.episodes):
        if time.monotonic() - began > options.hours * 3600:
            break
        seen = len(totals.findings)
        with tempfile.TemporaryDirectory(prefix="hostile-") as name:
            episode = Episode(
                seed, Path(name), totals, options.jobs, options.processes, options.speed, full_disks=can_mount()
            )
            episode.run()
            for finding in totals.findings[seen:]:
                print(f"FOUND {finding}", flush=True)
            if options.keep and len(totals.findings) > seen:
                shutil.copytree(name, options.keep / str(seed), dirs_exist_ok=True)
    hours = (time.monotonic() - began) / 3600
    print(
        f"{totals.episodes} episodes, {totals.processes} processes, {hours:.2f} h = {hours * options.speed:.0f} h here"
    )
    print(f"{totals.accepted} accepted; {dict(totals.stages)}; endings {dict(totals.endings)}")
    print(f"{totals.contained} contained; at most {totals.memory} MB and {totals.descriptors} descriptors")
    print(f"{len(totals.findings)} findings")
    sys.exit(bool(totals.findings))


if __name__ == "__main__":
    main()
