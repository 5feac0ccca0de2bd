"""What the journal costs: bytes a job, microseconds a step, milliseconds a sync, seconds to take up a large folder.

python -m benchmarks.journal [--jobs 20000] [--resumed 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal

LINK = "https://cdn.example.com/clips/{:08d}/video.mp4?Expires=1790000000&Signature="
SYNCS = 200
AT_ONCE = 20


def job_number(number: int) -> VideoJob:
    """Return one of many jobs, each with a text of its own."""
    return VideoJob("kling-video/v1.6/standard/text-to-video", prompt=f"A lighthouse in the rain, take {number}")


def steps_of(job: VideoJob, number: int) -> Iterator[Progress]:
    """Give every step of a clip that goes well."""
    now = 1_780_000_000 + number / 7
    known = Progress().to(Stage.SUBMITTING, request_id=Intent().request_id(job, f"{number:010x}"), submitted_at=now)
    yield known
    known = known.to(Stage.RENDERING, generation_id=f"hMDMSCevws{number:011d}", submitted_at=now + 0.3)
    yield known
    known = known.to(Stage.READY, video_url=LINK.format(number).ljust(120, "x"), completed_at=now + 90, cost_usd=0.21)
    known = known._replace(polls=6, poll_ages=bytes(24))
    yield known
    yield known.to(
        Stage.SAVED, saved_at=now + 91, file=file_name(job.id), bytes=4_000_000 + number, sha256=f"{number:064x}"
    )


async def write_lives(path: Path, count: int, batch: int = 100) -> tuple[float, int]:
    """See `count` jobs through, `batch` at a time; return the seconds and the bytes of the jobs' own text."""
    text = 0
    async with open_journal(path) as journal:
        start = time.perf_counter()
        for first in range(0, count, batch):
            jobs = [(number, job_number(number)) for number in range(first, min(first + batch, count))]
            lives = [(journal.plan(job).job, steps_of(job, number)) for number, job in jobs]
            text += sum(len(job.content().encode()) for _, job in jobs)
            for _ in range(4):
                for job, steps in lives:
                    journal.step(job, next(steps))
        return time.perf_counter() - start, text


def size_of(path: Path) -> int:
    """Return a file's bytes."""
    return path.stat().st_size


async def syncs(path: Path) -> float:
    """Return the seconds that one group sync takes: 20 intents, one sync."""
    async with open_journal(path) as journal:
        jobs = [job_number(-number) for number in range(1, AT_ONCE + 1)]
        with journal.planning():
            for job in jobs:
                journal.plan(job)

        async def intent(job: VideoJob) -> None:
            journal.step(job, Progress(Stage.SUBMITTING, request_id="av-0", submitted_at=1.0))
            await journal.synced()

        start = time.perf_counter()
        for _ in range(SYNCS):
            async with asyncio.TaskGroup() as tasks:
                for job in jobs:
                    tasks.create_task(intent(job))
        return (time.perf_counter() - start) / SYNCS


def plan_many(journal: SqliteJournal, count: int) -> None:
    """Write jobs down, a third of them rendering, a third saved."""
    with journal.planning():
        for number in range(count):
            job = journal.plan(job_number(number)).job
            if number % 3:
                *_, rendering, _, saved = steps_of(job, number)
                journal.step(job, saved if number % 3 == 2 else rendering)


async def taken_up(path: Path) -> tuple[float, float]:
    """Return the seconds until the first record of a large folder, and until the last."""
    start = time.perf_counter()
    async with open_journal(path) as journal:
        ended = sum(1 for _ in journal.ended_jobs())
        records = journal.open_jobs()
        next(records)
        first = time.perf_counter() - start
        left = sum(1 for _ in records)
        print(f"  ({ended:,} ended, {left + 1:,} taken up)")
    return first, time.perf_counter() - start


async def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--resumed", type=int, default=100_000)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        seconds, text = await write_lives(path, told.jobs)
        print(f"{(size_of(path) - text) / told.jobs:.0f} bytes a job beyond its own text of {text / told.jobs:.0f}")
        print(f"{seconds / told.jobs / 5 * 1e6:.1f} microseconds a step ({seconds:.2f} s for {told.jobs:,} jobs)")
        print(f"{await syncs(path) * 1e3:.2f} ms for {AT_ONCE} intents and the sync they share")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        async with open_journal(path) as journal:
            plan_many(journal, told.resumed)
        first, last = await taken_up(path)
        print(f"{first:.2f} s from opening {told.resumed:,} jobs to the first record, {last:.2f} s to the last")


if __name__ == "__main__":
    asyncio.run(main())
