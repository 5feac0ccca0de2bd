"""What one job costs PostgreSQL, and what the commands cost, however long the list is.

    python -m benchmarks.list_length [--jobs 1000 100000 1000000]

For each length a list is filled, then a worker's own statements are timed: taking 100 jobs, writing their intents,
their acceptance and their end, handing them back: the median of 30 rounds, and its middle half. `enqueue` adds one job,
`status` reads where all stand, a beat says that a worker lives. The cost of a job should not depend on the length of
the list: `x the shortest` says whether it does. PostgreSQL's own CPU is what to reckon with where others use the
machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from math import nan
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar
from uuid import uuid4

import psycopg

from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.distributed.queue import JobQueue
from aimlvideo.distributed.registry import WorkerRegistry
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.shell.journal.postgres import GATHER, open_postgres_journal
from benchmarks.distributed import cpu_of
from tests.postgres_server import Server, postgres

T = TypeVar("T")
MODEL = "kling-video/v1.6/pro/image-to-video"
PARAMS = {"prompt": "a clip", "image_url": "https://example.com/a.png"}
AT_A_TIME = 100
ROUNDS = 30
QUIET = Terminal(quiet=True)
FILL_JOBS = """
    INSERT INTO aimlvideo_jobs (id, asked, price) SELECT 'job' || n, %s, 0.26 FROM generate_series(%s::int, %s::int) n
"""
FILL_QUEUE = """
    INSERT INTO pgqueuer (priority, entrypoint, payload, status, dedupe_key, execute_after)
    SELECT 0, 'aimlvideo', convert_to('job' || n, 'UTF8'), 'queued', 'aimlvideo:job' || n, now()
    FROM generate_series(%s::int, %s::int) n
"""


def fill(dsn: str, first: int, last: int) -> None:
    """Make the list longer."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(FILL_JOBS, (json.dumps([MODEL, PARAMS]), first, last))
        db.execute(FILL_QUEUE, (first, last))


async def work(dsn: str) -> dict[str, list[float]]:
    """Return the milliseconds that a worker's statements take, of `AT_A_TIME` jobs each: quartiles of some rounds."""
    worker = uuid4()
    taken: dict[str, list[float]] = {}

    async def timed(name: str, step: Callable[[], Awaitable[T]]) -> T:
        began = time.perf_counter()
        result = await step()
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        return result

    registry = WorkerRegistry(worker, "benchmark")
    async with JobQueue.open(dsn, worker) as queue, open_postgres_journal(dsn, str(worker)) as journal:
        for _ in range(ROUNDS):
            places = await timed("take", lambda: queue.take(AT_A_TIME))
            await timed("take over", lambda: queue.take_over(AT_A_TIME))
            records = await timed("own", partial(journal.take, places))
            progress = Progress().to(Stage.SUBMITTING, request_id="r", submitted_at=1.0)
            steps: list[tuple[Stage | None, dict[str, Any]]] = [
                (None, {}),
                (Stage.RENDERING, {"generation_id": "g"}),
                (Stage.READY, {"cost_usd": 0.26}),
                (Stage.SAVED, {"file": "a.mp4"}),
            ]
            for stage, fields in steps:
                progress = progress.to(stage, **fields) if stage else progress
                for job, _ in records:
                    journal.step(job, progress)
                await timed(f"step: {stage or 'submitting'}", journal.synced)
                taken[f"step: {stage or 'submitting'}"][-1] -= 1000 * GATHER  # a wait, the same for any list
            await timed("hand back", partial(queue.done, list(places.values()), succeeded=True))
            await timed("beat", lambda: registry.appear(queue.connection, {}, 30.0))
            await timed("account", lambda: Account.read(queue.connection))
    return {name: quantiles(times, n=4) for name, times in taken.items()}


def measure(server: Server, folder: Path) -> dict[str, list[float]]:
    """Return the milliseconds of each statement, and of the commands: quartiles, or one figure."""
    dsn, before = server.dsn, cpu_of(server)
    figures = asyncio.run(work(dsn))
    database_cpu = 1000 * (cpu_of(server) - before) / (ROUNDS * AT_A_TIME)
    statements = [name for name in figures if name not in ("beat", "account")]
    figures["a job, all statements"] = [sum(figures[name][n] for name in statements) / AT_A_TIME for n in range(3)]
    figures["a job, PostgreSQL's CPU"] = [database_cpu]
    file = folder / "one.jsonl"
    file.write_text(json.dumps({"id": f"new{time.time()}", "model": MODEL, **PARAMS}) + "\n")
    for name, command in (
        ("enqueue", lambda: SharedJobs(dsn, QUIET).queue(str(file), ReaderOptions(), retry_failed=False)),
        ("status", lambda: SharedJobs(dsn, QUIET).show_status()),
    ):
        began = time.perf_counter()
        command()
        figures[name] = [1000 * (time.perf_counter() - began)]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1000, 100_000, 1_000_000])
    lengths = sorted(parser.parse_args().jobs)
    columns: list[dict[str, list[float]]] = []
    with tempfile.TemporaryDirectory() as name, postgres() as server:
        SharedJobs(server.dsn, QUIET).init(AccountLimits(max_outstanding=1000))
        length = 0
        for more in lengths:
            fill(server.dsn, length + 1, more + ROUNDS * AT_A_TIME)
            length = more + ROUNDS * AT_A_TIME
            columns.append(measure(server, Path(name)))
    print(f"{'ms, jobs on the list:':<24}" + "".join(f"{length:>28,}" for length in lengths) + "  x the shortest")
    for figure in columns[0]:
        cells = "".join(f"{_shown(column[figure]):>28}" for column in columns)
        shortest = _middle(columns[0][figure]) or nan  # with a job or two, it may be too quick for the clock
        print(f"{figure:<24}{cells}{_middle(columns[-1][figure]) / shortest:>16.2f}")


def _middle(figures: list[float]) -> float:
    return figures[len(figures) // 2]


def _shown(figures: list[float]) -> str:
    spread = f" ({figures[0]:.3f} to {figures[-1]:.3f})" if len(figures) > 1 else ""
    return f"{_middle(figures):.3f}{spread}"


if __name__ == "__main__":
    main()
