"""Memory and CPU of very many outstanding generations: `python -m benchmarks.outstanding [COUNT ...]`.

For each count, in a process of its own: a fake service in the same process accepts so many generations at once; then
each is polled until it ends. Printed: bytes of memory per outstanding generation (resident, beyond the base) and CPU
milliseconds a job, the fake service's share included.

With `--picture FILE`, the CPU of a job is measured with 1 to 100,000 outstanding at a time, each with three status
checks, and drawn into FILE (.svg or .png).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aimlvideo.client import VideoClient
from aimlvideo.core.wires.http import Answer, Request

BODY = {
    "model": "kling-video/v1.6/pro/image-to-video",
    "prompt": "waves on a beach",
    "image_url": "https://example.com/a.png",
}

CHECKS = 3
PICTURED = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


class Service:
    """Accepts at once; completes everything when it is told to."""

    def __init__(self, count: int) -> None:
        self.accepted, self.done, self.count = 0, False, count

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        await asyncio.sleep(0)
        return self.answer(request)

    def answer(self, request: Request) -> Answer:
        """Return the answer to one request."""
        if request.method == "POST":
            self.accepted += 1
            return Answer(201, {}, b'{"id": "8f14e45f-ceea-467f-a0e6-%012d", "status": "queued"}' % self.accepted)
        if not self.done:
            return Answer(200, {}, b'{"status": "generating"}')
        return Answer(200, {}, b'{"status": "completed", "video": {"url": "https://files.example.com/clip.mp4"}}')


class FlowingService(Service):
    """Completes each generation at its third status check."""

    def __init__(self) -> None:
        super().__init__(0)
        self.checks: Counter[str] = Counter()

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        if name := dict(request.query).get("generation_id"):
            self.checks[name] += 1
            self.done = self.checks[name] >= CHECKS
        return self.answer(request)


class Client(VideoClient):
    """A client whose requests go to the fake service."""

    def __init__(self, service: Service, **settings: Any) -> None:
        super().__init__("key", "http://127.0.0.1:1", transport=service, **settings)


async def measure(count: int) -> dict[str, float]:
    """Return bytes per outstanding generation and CPU milliseconds a job."""
    service = Service(count)
    settings = {"max_outstanding": count, "rate": 1e9, "poll_rate": 1e9, "poll": "every:20", "timeout": 1e6}
    async with Client(service, **settings) as client:
        gc.collect()
        base, started = resident(), time.process_time()
        async with client.run({"id": f"job{number}", **BODY} for number in range(count)) as results:
            while service.accepted < count:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            gc.collect()
            held = resident() - base
            service.done = True
            ended = 0
            async for _ in results:
                ended += 1
    assert ended == count
    return {"bytes": held / count, "cpu": 1000 * (time.process_time() - started) / count}


async def flow(count: int, jobs: int) -> float:
    """Return the CPU milliseconds of a job, with so many outstanding at a time all along."""
    settings = {"max_outstanding": count, "rate": 1e9, "poll_rate": 1e9, "poll": f"every:{max(0.03, count / 1e4)}"}
    async with Client(FlowingService(), **settings) as client:
        started = time.process_time()
        async with client.run({"id": f"job{number}", **BODY} for number in range(jobs)) as results:
            assert len([result async for result in results if result.ok]) == jobs
        return 1000 * (time.process_time() - started) / jobs


async def warm_flow(count: int) -> float:
    """Return the same, once all that is imported when it is needed has been imported."""
    await flow(10, 10)
    return await flow(count, max(count, min(2000, 100 * count)))


def draw(path: Path, costs: dict[int, float]) -> None:
    """Write the picture."""
    import matplotlib.pyplot as plt

    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "outstanding", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(6.4, 3.2), facecolor="white", layout="constrained")
        axes.semilogx(list(costs), list(costs.values()), "o-", color="#2563eb")
        axes.set(xlabel="generations outstanding at a time", ylabel="CPU ms a job", ylim=(0, None))
        axes.set_title(f"A job with {CHECKS} status checks, a fake service in the same process included", fontsize=9)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def resident() -> int:
    """Return the bytes that this process has in memory now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--picture", type=Path, help="draw the cost of a job into this file (.svg or .png)")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--flow", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.one:
        print(json.dumps(asyncio.run(measure(told.counts[0]))))
        return
    if told.flow:
        print(asyncio.run(warm_flow(told.counts[0])))
        return
    if told.picture:
        costs = {}
        for count in PICTURED:
            command = [sys.executable, "-m", "benchmarks.outstanding", "--flow", str(count)]
            costs[count] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{count:>11,}   {costs[count]:.3f} CPU ms a job", flush=True)
        draw(told.picture, costs)
        return
    print("outstanding   bytes each   CPU ms a job")
    for count in told.counts:
        command = [sys.executable, "-m", "benchmarks.outstanding", "--one", str(count)]
        figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{count:>11,}   {figures['bytes']:>10,.0f}   {figures['cpu']:>12.3f}")


if __name__ == "__main__":
    main()
