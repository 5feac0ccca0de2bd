"""CPU milliseconds a job, side by side: this client and the other ways to do the same.

    python -m benchmarks.overhead [--rounds 3] [--jobs 5000] [--instructions] [--sdk PYTHON]

Each client runs in a process of its own against the same loopback server; the clients take turns, and the median of
the rounds is printed with its spread. Beside it: the event loop's passes, its callbacks and the tasks of a job, counted
in a run of their own, and with `--instructions` the thousands of instructions that valgrind counts, which no other
process moves.
`--sdk` names a Python that has the service's own SDK (`aimlapi-sdk-python`).
Scenes: *saturated* (no latency, 32 at once, one POST and one GET a job) and *waiting* (1 s latency, 200 at once).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODEL = "kling-video/v1.6/pro/image-to-video"
BODY = {"model": MODEL, "prompt": "waves on a beach", "image_url": "https://example.com/a.png", "duration": 5}
SCENES = {"saturated": (0.0, 5000, 32), "waiting": (1.0, 2000, 200)}
GAP = 0.001
"""Seconds between status checks, the same for all: the loopback service has finished long before."""
KEY = "0123456789abcdef0123456789abcdef"
"""As long as a real one: it is searched for in every answer."""
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def floor(url: str, jobs: int, at_once: int) -> None:
    """One POST and one GET a job, with bare aiohttp."""
    import aiohttp

    left = iter(range(jobs))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once), headers=HEADERS) as session:

        async def work() -> None:
            for _ in left:
                async with session.post(f"{url}/v2/video/generations", json=BODY) as answer:
                    name = (await answer.json())["id"]
                async with session.get(f"{url}/v2/video/generations", params={"generation_id": name}) as answer:
                    assert (await answer.json())["status"] == "completed"

        await asyncio.gather(*(work() for _ in range(at_once)))


async def coroutine_per_job(url: str, jobs: int, at_once: int) -> None:
    """What one writes in an afternoon: a coroutine a job, a semaphore, a fixed interval."""
    import aiohttp

    slots = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once), headers=HEADERS) as session:

        async def work() -> None:
            async with slots:
                async with session.post(f"{url}/v2/video/generations", json=BODY) as answer:
                    name = (await answer.json())["id"]
                while True:
                    await asyncio.sleep(GAP)
                    async with session.get(f"{url}/v2/video/generations", params={"generation_id": name}) as answer:
                        if (await answer.json())["status"] == "completed":
                            return

        await asyncio.gather(*(work() for _ in range(jobs)))


async def ours(url: str, jobs: int, at_once: int) -> None:
    """This client, with its journal."""
    with tempfile.TemporaryDirectory() as folder:
        await _ours(url, jobs, at_once, journal=Path(folder) / "journal.sqlite3")


async def ours_without_journal(url: str, jobs: int, at_once: int) -> None:
    """This client, without a journal."""
    await _ours(url, jobs, at_once)


async def transport_and_wire(url: str, jobs: int, at_once: int) -> None:
    """What of this client asks and reads, without what makes it safe: no checks, limits, polls, steps or results."""
    from aimlvideo.core.wires.aimlapi import AimlApi
    from aimlvideo.pipeline.job_sources import job_of_mapping
    from aimlvideo.shell.http.transport import HttpTransport, open_session

    left, wire = iter(range(jobs)), AimlApi()
    async with open_session() as session:
        transport = HttpTransport(session, url, KEY)

        async def work() -> None:
            for number in left:
                job, name = job_of_mapping({"id": f"job{number}", **BODY}), f"request-{number}"
                accepted = wire.parse_submission(await transport.send(wire.submission(job, name)), name)
                (question,) = wire.status(accepted.id, job)
                assert wire.parse_status(await transport.send(question), accepted.id).ended

        await asyncio.gather(*(work() for _ in range(at_once)))


async def _ours(url: str, jobs: int, at_once: int, **settings: Any) -> None:
    from aimlvideo import VideoClient

    limits = {"max_outstanding": at_once, "rate": 1e6, "poll_rate": 1e6, "poll": f"every:{GAP}"}
    async with VideoClient(KEY, url, **limits, **settings) as client:
        many = ({"id": f"job{number}", **BODY} for number in range(jobs))
        async with client.run(many) as results:
            async for result in results:
                assert result.ok, result


def threads(url: str, jobs: int, at_once: int) -> None:
    """The documentation's loop with `requests`, in threads."""
    import requests

    def work(_: int) -> None:
        name = requests.post(f"{url}/v2/video/generations", json=BODY, headers=HEADERS).json()["id"]
        while True:
            time.sleep(GAP)
            params = {"generation_id": name}
            answer = requests.get(f"{url}/v2/video/generations", params=params, headers=HEADERS)
            if answer.json()["status"] == "completed":
                return

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, range(jobs)))


async def sdk(url: str, jobs: int, at_once: int) -> None:
    """The service's own SDK, its asynchronous client, a coroutine a job."""
    from aimlapi import AsyncAIMLAPI

    slots = asyncio.Semaphore(at_once)
    async with AsyncAIMLAPI(api_key=KEY, base_url=url, max_retries=0) as client:

        async def work() -> None:
            async with slots:
                extra = {"image_url": BODY["image_url"]}
                asked = {"model": MODEL, "prompt": str(BODY["prompt"]), "duration": 5, "extra_body": extra}
                done = await client.videos.generate_with_polling(**asked, poll_interval=GAP)
                assert done["status"] == "completed"

        await asyncio.gather(*(work() for _ in range(jobs)))


FLOOR = "aiohttp, the floor"
WAYS: dict[str, Callable[[str, int, int], Awaitable[None] | None]] = {
    FLOOR: floor,
    "aimlvideo with journal": ours,
    "aimlvideo, no journal": ours_without_journal,
    "its transport and wire": transport_and_wire,
    "a coroutine per job": coroutine_per_job,
    "requests in threads": threads,
    "the service's SDK": sdk,
}
EXACT = (FLOOR, "aimlvideo with journal", "aimlvideo, no journal", "its transport and wire")
"""The ways whose instructions are counted: at fifty times the time."""


class Counted(deque[Any]):
    """The callbacks that an event loop has ready, counted as they are taken."""

    count = 0

    def popleft(self) -> Any:
        Counted.count += 1
        return super().popleft()


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts its passes, the callbacks that it runs and the tasks that it begins."""

    tasks = passes = 0

    def __init__(self) -> None:
        super().__init__()
        self._ready = Counted()
        self.set_task_factory(self._begin)

    def _run_once(self) -> None:
        CountingLoop.passes += 1
        super()._run_once()  # type: ignore[misc]

    def _begin(self, loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> asyncio.Task[Any]:
        CountingLoop.tasks += 1
        return asyncio.Task(work, loop=loop, **how)


def carry_out(way: str, url: str, jobs: int, at_once: int, loop: type[asyncio.AbstractEventLoop] | None = None) -> None:
    """Do so many jobs in one way, on an event loop of this kind."""
    done = WAYS[way](url, jobs, at_once)
    if done is not None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(done)  # type: ignore[arg-type]


def measure(way: str, url: str, jobs: int, at_once: int) -> dict[str, float]:
    """Return the CPU milliseconds a job of one way, beyond a small run that warms it up; then what the loop did."""
    carry_out(way, url, at_once, at_once)
    started = time.process_time()
    carry_out(way, url, jobs, at_once)
    cpu = 1000 * (time.process_time() - started) / jobs
    carry_out(way, url, jobs, at_once, CountingLoop)
    counts = {"passes": CountingLoop.passes, "callbacks": Counted.count, "tasks": CountingLoop.tasks}
    return {"cpu": cpu, **{name: number / jobs for name, number in counts.items()}}


def instructions(way: str, url: str, at_once: int) -> float:
    """Return the thousands of instructions a job of one way: what 400 jobs take beyond 100."""
    counts = []
    for jobs in (100, 400):
        # Never to /dev/null: valgrind puts a new file in the place of that device, where it may.
        with tempfile.NamedTemporaryFile() as out:
            valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
            command = [
                *valgrind,
                sys.executable,
                "-m",
                "benchmarks.overhead",
                "--once",
                way,
                url,
                str(jobs),
                str(at_once),
            ]
            report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        counts.append(int(report.rpartition("Collected :")[2].split()[0]))
    return (counts[1] - counts[0]) / 300 / 1000


@contextmanager
def loopback(latency: float, clip_bytes: int = 0) -> Iterator[str]:
    """Give the URL of a loopback service in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loopback", str(latency), str(clip_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def compare(scene: str, rounds: int, ways: list[str], python: str | None, jobs: int | None, *, exact: bool) -> None:
    """Print one scene's table."""
    latency, usual, at_once = SCENES[scene]
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    thousands: dict[str, float] = {}
    with loopback(latency) as url:
        for number in range(rounds):
            print(f"{scene}: round {number + 1} of {rounds}", flush=True)  # a minute each, and nothing to see
            for way in ways:
                runner = python if way == "the service's SDK" and python else sys.executable
                command = [runner, "-m", "benchmarks.overhead", "--way", way, url, str(jobs or usual), str(at_once)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{way}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                figures[way].append(json.loads(done.stdout))
        if exact:
            thousands = {way: instructions(way, url, at_once) for way in EXACT}
    print(f"\n{scene}: {jobs or usual} jobs, {at_once} at once, {latency:g} s latency; median (spread)")
    names = f"{'CPU ms a job':<24} {'x the floor':>11} {'passes':>7} {'callbacks':>10} {'tasks':>6}"
    print(f"  {'':<24} {names}  instructions, thousands")
    base = statistics.median([one["cpu"] for one in figures[FLOOR]] or [float("nan")])
    for way, rows in figures.items():
        if rows:
            cpus = [one["cpu"] for one in rows]
            middle, counts = statistics.median(cpus), rows[-1]
            spread = f"{middle:.3f} ({min(cpus):.3f} to {max(cpus):.3f})"
            print(f"  {way:<24} {spread:<24} {middle / base:>11.2f}", end=" ")
            print(f"{counts['passes']:>7.2f} {counts['callbacks']:>10.1f} {counts['tasks']:>6.2f}", end="  ")
            print(f"{thousands[way]:.0f} ({thousands[way] / thousands[FLOOR]:.2f} x)" if way in thousands else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--scene", choices=[*SCENES], action="append")
    parser.add_argument("--only", metavar="WAY", choices=[*WAYS], action="append", help="beside the floor")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--sdk", metavar="PYTHON")
    parser.add_argument("--way", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--once", nargs=4, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.way:
        way, url, jobs, at_once = told.way
        print(json.dumps(measure(way, url, int(jobs), int(at_once))))
        return
    if told.once:
        way, url, jobs, at_once = told.once
        carry_out(way, url, int(jobs), int(at_once))
        return
    chosen = [FLOOR, *told.only] if told.only else list(WAYS)
    ways = [way for way in chosen if way != "the service's SDK" or told.sdk]
    for scene in told.scene or SCENES:
        compare(scene, told.rounds, ways, told.sdk, told.jobs, exact=told.instructions)


if __name__ == "__main__":
    main()
