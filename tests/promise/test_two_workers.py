"""The promise over PostgreSQL: random rounds of two workers, of which one is killed, or stands still and goes on.

Answers are lost meanwhile, and a person settles what stays in doubt, also by a wrong generation. Real time, since a
database takes some: a few rounds in each run of the tests, PROMISE_ROUNDS=100 for more.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import anyio
import pytest

from aimlvideo.cli import session
from aimlvideo.cli.job_reader import ReaderOptions
from aimlvideo.cli.shared_jobs import SharedJobs
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import id_prefix
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import Unclear, UsageError
from aimlvideo.pipeline import download
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.fakes import JOB, MODEL, FakeClient, FakeDownload, FakeService, FakeTransport, answer
from tests.promise.worker_process import served, started, work

pytestmark = [pytest.mark.long, pytest.mark.real_time]

NAMES = [f"job{number}" for number in range(8)]
OWNERS = {id_prefix(VideoJob(MODEL, id=name)): name for name in NAMES}
QUIET = Terminal(quiet=True)


class CountingService(FakeService):
    """Judges each purchase when it is made: whether somebody asked for it, whether it is the first, what it costs."""

    def __init__(self, limit: float | None) -> None:
        super().__init__(seconds=0.2)
        self.limit, self.queued, self.wrong = limit, set[str](), list[str]()

    def note(self, name: str, request_id: str, model: str = MODEL) -> None:
        super().note(name, request_id, model)
        job = OWNERS[request_id[:15]]
        before = [
            row
            for row in self.log[:-1]
            if OWNERS[row.request_id[:15]] == job and not self.has_failed(row.generation_id)
        ]
        exposure = sum(row.price for row in self.log if not self.has_failed(row.generation_id))
        if job not in self.queued:
            self.wrong.append(f"{job} was bought and nobody asked for it")
        if before:
            self.wrong.append(f"{job} was bought twice: {[row.request_id for row in before]}, {request_id}")
        if self.limit is not None and exposure > self.limit + 0.005:
            self.wrong.append(f"{exposure:.2f} USD are bought under a limit of {self.limit:.2f}")

    def has_failed(self, generation_id: str) -> bool:
        """Tell whether a generation has ended unbilled."""
        return generation_id in self.broken and self.clock() >= self.accepted[generation_id] + self.seconds


def set_faults(service: FakeService, chance: random.Random) -> None:
    """Say what becomes of the next submissions."""
    refusals = [None, None, None, None, Unclear("reset"), answer(429, retry_after="0"), answer(503)]
    service.posts.clear()
    service.lost.clear()
    for _ in range(chance.randrange(6)):
        refused = chance.choice(refusals)
        service.posts.append(refused)
        if refused is None:
            service.lost.append(chance.choice([None, Unclear("reset"), answer(502)]))
    if chance.random() < 0.3:
        service.broken[f"gen-{len(service.accepted)}"] = "out of memory"


@pytest.mark.parametrize("limit", [None, 1.25])
async def test_nothing_is_bought_twice_unasked_or_past_the_limit_and_no_id_is_lost(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    monkeypatch.setattr(download, "Download", FakeDownload)
    monkeypatch.setattr(session, "VideoClient", lambda **settings: FakeClient(service, **settings))
    service, chance = CountingService(limit), random.Random(int(os.environ.get("PROMISE_SEED", "1")))
    for number in range(int(os.environ.get("PROMISE_ROUNDS", "2"))):
        jobs = sorted(chance.sample(NAMES, chance.randint(2, 6)))
        service.queued |= set(jobs)
        file = tmp_path / f"jobs-{number}.jsonl"
        file.write_text("".join(json.dumps({**JOB, "id": name}) + "\n" for name in jobs))
        retry = chance.random() < 0.5
        how = partial(SharedJobs(dsn, QUIET).queue, str(file), ReaderOptions(), retry_failed=retry)
        await anyio.to_thread.run_sync(how)
        set_faults(service, chance)
        address, out = tmp_path / f"service-{number}", tmp_path / "out"
        async with served(service, address) as was_asked:
            process = started(address, dsn, out, limit)
            await was_asked.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work, FakeTransport(service, "key-1"), dsn, out, limit, 4.0)
                await anyio.sleep(chance.uniform(0.0, 1.2))
                if chance.random() < 0.5:
                    await stand_still(process, chance.uniform(0.2, 2.0))
                process.kill()
            await anyio.to_thread.run_sync(process.join)
        assert not service.wrong, (number, service.wrong)
        check_ids(service, dsn)
        if chance.random() < 0.5:
            await anyio.to_thread.run_sync(settle_doubts, service, dsn, chance)


async def stand_still(process: BaseProcess, seconds: float) -> None:
    """Stop a worker, for longer than its heartbeat or not, and let it go on for a while."""
    assert process.pid is not None
    with suppress(ProcessLookupError):  # it has found the queue empty, and has ended
        os.kill(process.pid, signal.SIGSTOP)
        await anyio.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)
        await anyio.sleep(0.5)


def settle_doubts(service: CountingService, dsn: str, chance: random.Random) -> None:
    """Settle what is in doubt as a person does who looks into the dashboard, after a mistake that has to be refused."""
    jobs = SharedJobs(dsn, QUIET)
    with jobs.journal() as journal:
        doubtful = [job.id for job, progress in journal.all_jobs() if progress.stage is Stage.IN_DOUBT]
    for name in doubtful:
        with open_sync_journal(dsn) as journal:
            record = journal.find(name)
        assert record is not None
        own = {row.generation_id for row in service.log if row.request_id == record.progress.request_id}
        others = [row.generation_id for row in service.log if OWNERS[row.request_id[:15]] != name]
        how = {"base_url": "http://127.0.0.1:1", "api_key": "key-1"}
        if others:
            with pytest.raises(UsageError):
                jobs.settle(name, chance.choice(others), **how)
        jobs.settle(name, next(iter(own), None), **how)


def check_ids(service: CountingService, dsn: str) -> None:
    """Each accepted generation is in the journal, or its job in doubt."""
    with open_sync_journal(dsn) as journal:
        records = {name: journal.find(name) for name in NAMES}
        attempts = {name: journal.attempts(name) for name in NAMES}
    for row in service.log:
        name = OWNERS[row.request_id[:15]]
        record = records[name]
        assert record is not None
        assert row.request_id in {attempt.request_id for attempt in attempts[name]}, (name, attempts[name])
        is_doubted = record.progress.stage in (Stage.SUBMITTING, Stage.IN_DOUBT)
        generations = Counter(attempt.generation_id for attempt in attempts[name])
        is_known = bool(generations[row.generation_id])
        assert is_known or is_doubted or service.has_failed(row.generation_id), (name, row, record.progress)
