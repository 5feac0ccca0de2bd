"""Jobs to their files, side by side: this client, plain aiohttp and curl, with clips of any size.

    python -m benchmarks.downloads [--clips 50] [--size 40] [--rounds 3] [--at-once 8]

Each way runs in a process of its own and fetches the same clips (`--size` megabytes each) from a loopback service.
Printed: seconds on the clock, CPU milliseconds a clip and CPU seconds a gigabyte, and the longest that one callback of
the event loop took, in milliseconds of CPU: for so long nothing else of an application goes on. The service's own CPU
is not counted, but it takes its share of a small machine's cores: compare the ways with each other.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.overhead import BODY, HEADERS, KEY, loopback


class WatchedLoop(asyncio.SelectorEventLoop):
    """An event loop that knows the longest of its passes, in seconds of its thread's CPU."""

    longest = 0.0

    def _run_once(self) -> None:
        before = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        WatchedLoop.longest = max(WatchedLoop.longest, time.thread_time() - before)


async def plain(url: str, clips: int, at_once: int, folder: Path, *, hashed: bool = False) -> None:
    """Each clip into its file with bare aiohttp, chunk by chunk; no POST, no status check, nothing kept safe."""
    import aiohttp

    names = iter(range(clips))
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def work() -> None:
            for name in names:
                digest = hashlib.sha256()
                with (folder / f"{name}.mp4").open("wb") as file:
                    async with session.get(f"{url}/clip.mp4") as answer:
                        async for chunk in answer.content.iter_any():
                            file.write(chunk)
                            if hashed:
                                digest.update(chunk)

        await asyncio.gather(*(work() for _ in range(at_once)))


async def plain_hashed(url: str, clips: int, at_once: int, folder: Path) -> None:
    """The same, with the SHA-256 of each clip."""
    await plain(url, clips, at_once, folder, hashed=True)


async def ours(url: str, clips: int, at_once: int, folder: Path) -> None:
    """This client, from the job to the file: one POST, one status check, the clip, the journal, the results file."""
    from aimlvideo import VideoClient

    limits: dict[str, Any] = {"max_outstanding": 4 * at_once, "rate": 1e6, "poll_rate": 1e6, "poll": "every:0.001"}
    async with VideoClient(KEY, url, **limits) as client:
        many = ({"id": f"job{number}", **BODY} for number in range(clips))
        async with client.run(many, output=folder) as results:
            await asyncio.sleep(0)
            WatchedLoop.longest = 0.0  # the pass in which the client and its journal were opened is over
            async for result in results:
                assert result.ok, result


def curl(url: str, clips: int, at_once: int, folder: Path) -> None:
    """One curl for all clips, so many at once."""
    command = [
        "curl",
        "-sS",
        "--no-progress-meter",
        "-Z",
        "--parallel-max",
        str(at_once),
        f"{url}/clip.mp4?[1-{clips}]",
    ]
    subprocess.run([*command, "-o", str(folder / "#1.mp4")], check=True)


WAYS: dict[str, Callable[..., Any]] = {
    "curl, in parallel": curl,
    "aiohttp": plain,
    "aiohttp and SHA-256": plain_hashed,
    "aimlvideo": ours,
}


def measure(way: str, url: str, clips: int, at_once: int) -> dict[str, float]:
    """Return what one way takes."""
    with tempfile.TemporaryDirectory() as folder:

        def run(count: int, target: Path) -> None:
            target.mkdir()
            done = WAYS[way](url, count, at_once, target)
            if done is not None:
                with asyncio.Runner(loop_factory=WatchedLoop) as runner:
                    runner.run(done)

        if way != "curl, in parallel":
            run(2, Path(folder, "warm"))
        WatchedLoop.longest = 0.0
        before, began = _cpu(), time.monotonic()
        run(clips, Path(folder, "out"))
        return {"wall": time.monotonic() - began, "cpu": _cpu() - before, "longest": 1000 * WatchedLoop.longest}


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--size", type=float, default=40.0, metavar="MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(*options.way, options.clips, options.at_once)))
        return
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with loopback(0.0, clip_bytes=int(options.size * 2**20)) as url:
        for _ in range(options.rounds):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.downloads", "--way", way, url]
                sizes = ["--clips", str(options.clips), "--at-once", str(options.at_once)]
                done = subprocess.run([*command, *sizes], capture_output=True, text=True, check=True)
                rows[way].append(json.loads(done.stdout))
    gigabytes = options.clips * options.size / 1024
    print(
        f"{options.clips} clips of {options.size:g} MB, {options.at_once} at once; median of {options.rounds} (spread)"
    )
    print(f"  {'':<20} {'seconds':<24} {'CPU ms a clip':<24} {'CPU s a GB':>11} {'longest pass, ms':>17}")
    for way, many in rows.items():
        wall = _with_spread([one["wall"] for one in many])
        cpus = [one["cpu"] for one in many]
        clip = _with_spread([1000 * cpu / options.clips for cpu in cpus])
        longest = statistics.median(one["longest"] for one in many)
        print(f"  {way:<20} {wall:<24} {clip:<24} {statistics.median(cpus) / gigabytes:>11.2f}", end=" ")
        print(f"{longest:>17.1f}" if longest else f"{'':>17}")


def _with_spread(figures: list[float]) -> str:
    return f"{statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})"


if __name__ == "__main__":
    main()
