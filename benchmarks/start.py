"""How much CPU a start takes: `python -m benchmarks.start [--times 15]`. Medians, with the middle half of all runs.

All modules are compiled before the first measured start, as they are once a user has started the program before.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

JOB = '{"model": "alibaba/wan-2-6-t2v", "prompt": "waves", "duration": 5}\n'
STARTS = {
    "import aiohttp": ["-c", "import aiohttp"],
    "import aimlvideo, then VideoClient": ["-c", "import aimlvideo; aimlvideo.VideoClient"],
    "aimlvideo --version": ["-m", "aimlvideo", "--version"],
    "aimlvideo status": ["-m", "aimlvideo", "status", "clips"],
    "aimlvideo check": ["-m", "aimlvideo", "check", "jobs.jsonl", "--base-url", "http://127.0.0.1:9"],
}


def seconds_of(words: list[str], folder: Path) -> float:
    """Return the CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    # Where nothing compiled may be written, this package would be compiled at every start, and installed ones not.
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure each start in turn, so that a busy moment of the machine falls on all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15)
    times = parser.parse_args().times
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "jobs.jsonl").write_text(JOB)
        for words in STARTS.values():
            seconds_of(words, Path(name))
        for _ in range(times):
            for start, words in STARTS.items():
                taken[start].append(seconds_of(words, Path(name)))
    bare = median(taken["import aiohttp"])
    print(f"{'':36} CPU s  middle half    to aiohttp")
    for start, seconds in taken.items():
        low, _, high = quantiles(seconds, n=4)
        print(f"{start:36} {median(seconds):.3f}  {low:.3f} - {high:.3f}  {median(seconds) / bare:.2f}")


if __name__ == "__main__":
    main()
