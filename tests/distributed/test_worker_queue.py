"""What a worker writes, lets go of and gives up, seen at one whose queue is not there and whose disk is held up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import pytest
from psycopg import Notify, OperationalError

from aimlvideo.cli.shared_jobs import SharedJobs, _of_this_worker
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget, Standing, Verdict
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.queue import JobQueue, QueueEntry, enqueue_jobs
from aimlvideo.distributed.registry import NEWS, SharedDurations, WorkerRegistry
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.worker import JOBS_PER_TAKE, Stopped, Worker
from aimlvideo.errors import DownloadFailed, InDoubt, OutOfPatience, OverBudget, Rejected, VideoError
from aimlvideo.pipeline.run import Run
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.shell.journal.postgres import FULL, PostgresJournal, Refusal, open_postgres_journal
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from aimlvideo.shell.user_folders import NOWHERE
from tests.cases import for_each
from tests.fakes import FakeService, FakeTransport

NONE: Any = None
JOB = VideoJob("kling-video/v1.6/pro/image-to-video", id="one", prompt="p")
SENT = Progress().to(Stage.SUBMITTING, request_id="av-1", submitted_at=1.0)


class Journal(PostgresJournal):
    """Commits once the disk is free."""

    def __init__(self) -> None:
        super().__init__(NONE, NONE, "a")
        self.disk_is_free = anyio.Event()

    async def _flush(self, *steps: Any) -> None:
        await self.disk_is_free.wait()

    async def leave_in_doubt(self, ids: Iterable[str]) -> None:
        pass

    async def take(self, ids: Iterable[str]) -> list[Record]:
        return [Record(JOB.with_id(name), SENT if name == "begun" else Progress()) for name in ids]


class Queue(JobQueue):
    """Keeps how places were given up, in words."""

    def __init__(self) -> None:
        self.given_up: list[str] = []

    async def wake_children(self, names: Sequence[str]) -> None:
        self.given_up.append("children woken")

    async def done(self, places: Sequence[QueueEntry], *, succeeded: bool) -> None:
        self.given_up.append("done" if succeeded else "done without a clip")

    async def postpone(self, places: Sequence[QueueEntry]) -> None:
        self.given_up.append("postponed")

    async def give_back(self, places: Sequence[QueueEntry]) -> None:
        self.given_up.append("queued again")

    async def leave(self, places: Sequence[QueueEntry], seconds: float = 0.0) -> None:
        self.given_up.append(f"left for {seconds:g} s")


@asynccontextmanager
async def a_worker(journal: PostgresJournal) -> AsyncIterator[Worker]:
    """Give a worker whose jobs a test moves by hand."""

    async def nothing(*_: Any) -> Path:
        return Path()

    account: Any = SimpleNamespace(limits=AccountLimits(heartbeat=9.0), room=4)
    feed, records = anyio.create_memory_object_stream[Record](9)
    with feed, records:
        async with anyio.create_task_group() as tasks:
            run = Run(RunSpec(journal=journal, save=nothing), tasks, Budget())
            yield Worker("", True, NONE, account, NONE, journal, NONE, run, feed, [], NONE)
            tasks.cancel_scope.cancel()


@pytest.mark.real_time
async def test_after_a_freeze_a_job_that_a_person_has_settled_meanwhile_is_let_go_of(dsn: str) -> None:
    doubtful, settled = SENT.to(Stage.IN_DOUBT), SENT.to(Stage.RENDERING, generation_id="gen-5")
    with open_sync_journal(dsn) as book:
        with book.planning():
            book.plan(JOB)
        async with open_postgres_journal(dsn, "a") as journal, a_worker(journal) as worker:
            worker.places["one"] = NONE
            (record,) = await journal.take(["one"])
            entry = await worker.results.enter(record)
            journal.step(JOB, doubtful)
            await journal.synced()
            assert book.settle(Record(JOB, doubtful), settled)
            await worker._after_silence(0.0)
            assert (entry.ended, worker.places) == (True, {}), "it would be looked up, and its clip not be fetched"


@pytest.mark.real_time
async def test_a_worker_that_was_frozen_lets_go_of_what_was_taken_over_and_takes_nothing_before_others_could_speak(
    dsn: str, tmp_path: Path
) -> None:
    with open_sync_journal(dsn) as book:
        with book.planning():
            book.plan(JOB)
            book.plan(JOB.with_id("two"))
        enqueue_jobs(book.db, ["one"])
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(seconds=60), "k")}
    async with (
        open_worker(dsn, str(tmp_path), settings, AccountLimits(4, 200.0, 100.0, 9.0)) as worker,
        JobQueue.open(dsn, worker.registry.worker) as queue,
        JobQueue.open(dsn, uuid4(), heartbeat=-1) as queue_of_another,
    ):
        await worker._keep_up(queue, 0.5)
        assert await queue_of_another.take_over(9)
        with open_sync_journal(dsn) as book:
            enqueue_jobs(book.db, ["two"])
        worker._last_tick -= 10
        assert not await worker._keep_up(queue, 0.5), "it would ask again without a pause"
        assert worker.places == {}
        assert await queue_of_another.take(9)


@pytest.mark.real_time
async def test_a_worker_that_is_told_to_drain_buys_nothing_more_long_before_its_next_heartbeat(
    dsn: str, tmp_path: Path
) -> None:
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(seconds=60), "k")}
    async with (
        open_worker(dsn, str(tmp_path), settings, AccountLimits(4, 200.0, 100.0, 600.0)) as worker,
        JobQueue.open(dsn, worker.registry.worker) as queue,
    ):
        with open_sync_journal(dsn) as book:
            with book.planning():
                book.plan(JOB)
            enqueue_jobs(book.db, ["one"])
            await worker._keep_up(queue, 0.5)
            assert (list(worker.places), worker.results.halted) == (["one"], None)
            SharedJobs(dsn, Terminal(quiet=True)).drain()
        await worker._keep_up(queue, 0.5)
        assert isinstance(worker.results.halted, Stopped)
        opening = open_worker(dsn, str(tmp_path), settings, AccountLimits())
        async with opening as later, JobQueue.open(dsn, later.registry.worker) as its_queue:
            await later._keep_up(its_queue, 0.5)
            assert later.results.halted is None, "it began after that"


@pytest.mark.real_time
async def test_a_job_that_is_in_doubt_again_is_taken_over_and_waits_for_no_place_under_the_cap(dsn: str) -> None:
    saved = SENT.to(Stage.RENDERING, generation_id="gen-5").to(Stage.READY).to(Stage.SAVED)
    with open_sync_journal(dsn) as book:
        with book.planning():
            book.plan(JOB)
        enqueue_jobs(book.db, ["one"])
        assert book.settle(Record(JOB, Progress()), saved)
    async with (
        open_postgres_journal(dsn, "a") as journal,
        a_worker(journal),
        JobQueue.open(dsn, uuid4()) as queue,
    ):
        places = list((await queue.take(9)).values())
        journal.reopen(Record(JOB, saved), saved._replace(stage=Stage.IN_DOUBT, generation_id=None))
        await queue.done(places, succeeded=True)  # who saved it gives its place up only now
        assert await queue.take(9) == {}, "it may have the last place itself, and would wait for it for ever"
        assert list(await queue.take_over(9)) == ["one"]


@asynccontextmanager
async def an_opened_worker(dsn: str, folder: Path) -> AsyncIterator[tuple[Worker, JobQueue]]:
    """Give a worker as the command opens one, and its queue."""
    settings = {"service": "aimlapi", "api_key": "k", "transport": FakeTransport(FakeService(), "k")}
    async with (
        open_worker(dsn, str(folder), settings, AccountLimits(4, 200.0, 100.0, 9.0)) as worker,
        JobQueue.open(dsn, worker.registry.worker) as queue,
    ):
        yield worker, queue


@pytest.mark.real_time
async def test_what_a_worker_learns_is_shared_every_half_minute_and_not_at_its_end_alone(
    dsn: str, tmp_path: Path
) -> None:
    async with an_opened_worker(dsn, tmp_path) as (worker, queue):
        known = []
        for seconds in (29, 2, 2):
            worker._last_share -= seconds
            worker.client.knowledge.policy(JOB.model).observe(95.0, 105.0, done=True)
            await worker._keep_up(queue, 0.5)
            shared = SharedDurations(NOWHERE, await SharedDurations.read(queue.connection))
            known.append(round(shared.policy(JOB.model).endings))
        assert known == [0, 2, 2], "each time takes locks that all workers wait for"
        worker.results.halt(Stopped("drained"))
        await worker.run()
        shared = SharedDurations(NOWHERE, await SharedDurations.read(queue.connection))
        assert round(shared.policy(JOB.model).endings) == 3, "what it learned last is not lost"


async def test_what_another_worker_was_refused_narrows_this_one_and_no_other_news_does() -> None:
    refused: list[tuple[str, float | None]] = []
    news = json.dumps({"from": "another", "kind": "polls", "seconds": 3.0})
    async with a_worker(Journal()) as worker:
        fleet: Any = SimpleNamespace(on_rejected_elsewhere=lambda *refusal: refused.append(refusal))
        worker.registry, worker.fleet = WorkerRegistry(uuid4(), "ours"), fleet
        for channel, payload in ((NEWS, news), ("their_news", news.replace("3", "4")), (NEWS, "soon")):
            worker._on_notify(Notify(channel, payload, 1))
    assert refused == [("polls", 3.0)]


async def test_a_worker_that_is_stopped_leaves_at_once_what_renders_and_a_download_after_half_a_minute() -> None:
    rendering = SENT.to(Stage.RENDERING, generation_id="gen-0")
    async with a_worker(Journal()) as worker, anyio.create_task_group() as tasks:
        enter = worker.results.enter
        outstanding = await enter(Record(JOB.with_id("outstanding"), rendering))
        download = await enter(Record(JOB.with_id("download"), rendering.to(Stage.READY)))
        tasks.start_soon(worker.stop)
        await anyio.sleep(29)
        assert (outstanding.ended, download.ended) == (True, False)
        await anyio.sleep(2)
        assert download.ended


@pytest.mark.real_time
async def test_what_a_worker_was_refused_is_passed_on_with_its_next_look_at_the_queue(dsn: str, tmp_path: Path) -> None:
    async with an_opened_worker(dsn, tmp_path) as (worker, queue):
        worker.refusals_to_broadcast.append(("polls", 3.0))
        await queue.connection.execute(f"LISTEN {NEWS}")
        await worker._keep_up(queue, 0.5)
        (news,) = [news async for news in queue.connection.notifies(timeout=5, stop_after=1)]
        assert worker.registry.refusal_of(news.payload) is None, "it is this worker's own"
        assert WorkerRegistry(uuid4(), "another").refusal_of(news.payload) == ("polls", 3.0)
        assert worker.refusals_to_broadcast == []


async def test_what_still_comes_of_a_request_is_not_written_once_another_worker_has_its_job() -> None:
    journal = Journal()
    async with a_worker(journal) as worker:
        entry = await worker.results.enter(Record(JOB, SENT))
        worker.lose("one")
        entry.step(Stage.RENDERING, generation_id="gen-0")
        assert journal.unwritten == 0, "the job may be this worker's again by now, with another generation"


async def test_a_place_is_given_up_only_once_the_end_of_its_job_is_committed() -> None:
    journal, queue = Journal(), Queue()
    async with a_worker(journal) as worker, anyio.create_task_group() as tasks:
        tasks.start_soon(journal.write)
        worker.places["one"] = NONE
        entry = await worker.results.enter(Record(JOB, SENT))
        entry.step(Stage.FAILED)
        worker._ended(Result.of(JOB, entry.progress))
        tasks.start_soon(worker._hand_back, queue)
        await anyio.sleep(1)
        assert queue.given_up == [], "a crash now would leave a job that has not ended in no worker's hands"
        journal.disk_is_free.set()
        await anyio.sleep(1)
        assert queue.given_up == ["children woken", "done without a clip"]
        tasks.cancel_scope.cancel()


@for_each(
    ("stage", "error", "given_up"),
    [
        (Stage.SAVED, None, ["children woken", "done"]),
        (Stage.FAILED, Rejected("no"), ["children woken", "done without a clip"]),
        (Stage.PLANNED, Stopped("stop"), ["queued again"]),
        (Stage.SUBMITTING, OverBudget("no money"), ["queued again"]),
        (Stage.IN_DOUBT, InDoubt("ask a person"), ["done without a clip"]),
        (Stage.RENDERING, OutOfPatience("long"), ["left for 60 s"]),
        (Stage.RENDERING, Stopped("stop"), ["left for 0 s"]),
        (Stage.READY, Stopped("stop"), ["left for 0 s"]),
        (Stage.READY, DownloadFailed("a dead link"), ["left for 30 s"]),
    ],
)
async def test_how_a_place_is_given_up_follows_from_how_its_job_ended_here(
    stage: Stage, error: VideoError | None, given_up: list[str]
) -> None:
    queue = Queue()
    async with a_worker(Journal()) as worker:
        worker.places["one"] = NONE
        worker._ended(Result.of(JOB, SENT._replace(stage=stage, error=error)))
        await worker._hand_back(queue)
        assert (queue.given_up, worker.places) == (given_up, {})


async def test_a_job_that_waits_for_another_one_s_clip_is_put_behind_those_that_can_begin() -> None:
    journal, queue = Journal(), Queue()
    journal._parents["one"] = {"parent": Record(JOB.with_id("parent"), Progress())}
    async with a_worker(journal) as worker:
        await worker._begin({"one": NONE})
        await worker._hand_back(queue)
        assert (queue.given_up, worker._fed) == (["postponed"], {})


async def test_what_was_begun_goes_on_before_anything_new_is_bought() -> None:
    async with a_worker(Journal()) as worker:
        await worker._begin({"new": NONE, "begun": NONE})
        assert list(worker._fed) == ["begun", "new"], "it is paid for, and its clip expires"


async def test_a_job_whose_taking_fails_keeps_no_place_here_and_is_begun_when_it_is_taken_again() -> None:
    class AwayAtFirst(Journal):
        is_away = True

        async def take(self, ids: Iterable[str]) -> list[Record]:
            if self.is_away:
                self.is_away = False
                raise OperationalError("the connection was cut")
            return await super().take(ids)

    async with a_worker(AwayAtFirst()) as worker:
        with pytest.raises(OperationalError):
            await worker._begin({"new": NONE})
        assert worker.places == {}, "it would be kept from all others, and never be made"
        await worker._begin({"new": NONE})
        assert list(worker._fed) == ["new"]


async def test_a_job_that_was_lost_before_it_was_begun_is_begun_once_it_was_taken_anew() -> None:
    async with a_worker(Journal()) as worker:
        await worker._begin({"new": NONE})
        (before,) = worker._fed.values()
        worker.lose("new")
        await worker._begin({"new": NONE})
        (now,) = worker._fed.values()
        assert (worker.still_ours(before), worker.still_ours(now), worker.still_ours(now)) == (False, True, False)


async def test_a_job_that_was_lost_and_taken_anew_is_not_given_up_for_how_its_first_life_ended() -> None:
    async with a_worker(Journal()) as worker:
        await worker.results.enter(Record(JOB, SENT))
        worker.lose("one")
        worker.places["one"] = NONE
        worker._ended(await anext(worker.results))
        assert worker._ending == {}


@for_each(
    ("verdict", "waits", "ends"),
    [(FULL, False, False), (Verdict.WAIT, True, False), (Verdict.OVER_BUDGET, False, True)],
)
async def test_what_may_not_be_bought_now_is_queued_again_and_only_a_limit_that_is_reached_ends_the_work(
    verdict: str, waits: bool, ends: bool
) -> None:
    queue = Queue()
    async with a_worker(Journal()) as worker:
        worker.places["one"] = NONE
        await worker.results.enter(Record(JOB, SENT))
        worker.refuse("one", Refusal(verdict, 0.25, Standing(1.0, 0.0)))
        worker._ended(await anext(worker.results))
        await worker._hand_back(queue)
        assert queue.given_up == ["queued again"]
        assert (worker._waits_for_money, worker.results.halted is not None) == (waits, ends)


async def test_a_limit_of_nothing_is_named_as_that() -> None:
    async with a_worker(Journal()) as worker:
        account: Any = SimpleNamespace(limits=AccountLimits(max_spend=0.0))
        worker.account = account
        worker.refuse("one", Refusal(Verdict.OVER_BUDGET, 0.25, Standing(0.0, 0.0)))
        assert "the limit of 0.00 USD" in str(worker.results.halted)


async def test_who_winds_down_gives_back_at_once_what_its_pipeline_has_not_read() -> None:
    queue = Queue()
    async with a_worker(Journal()) as worker:
        await worker._begin({"new": NONE})
        worker._wind_down("the workers were told to drain")
        await worker._hand_back(queue)
        assert (queue.given_up, worker.places) == (["queued again"], {}), "what is outstanding may take half an hour"


@pytest.mark.real_time
async def test_a_worker_that_ends_knows_the_limits_until_then_and_gives_up_what_it_was_given_unheard(
    dsn: str, tmp_path: Path
) -> None:
    async with an_opened_worker(dsn, tmp_path) as (worker, queue):
        worker.results.halt(Stopped("drained"))
        await AccountLimits(heartbeat=20.0).set(queue.connection)
        await worker._keep_up(queue, 0.5)
        assert worker.heartbeat == 20.0
        with open_sync_journal(dsn) as book:
            with book.planning():
                book.plan(JOB)
            enqueue_jobs(book.db, ["one"])
        assert await queue.take(9), "and the answer was lost"
        await worker.run()
        async with JobQueue.open(dsn, uuid4()) as queue_of_another:
            assert await queue_of_another.take(9), "it would wait for a heartbeat"


async def test_a_worker_takes_no_more_than_its_part_of_the_room_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    account: Any = SimpleNamespace(limits=AccountLimits(heartbeat=9.0), room=12, outstanding=3, drained_at=None)

    async def read(connection: Any) -> Any:
        return account

    monkeypatch.setattr(Account, "read", read)
    queue: Any = SimpleNamespace(connection=NONE)
    fleet: Any = SimpleNamespace(outstanding=SimpleNamespace(room=0))
    async with a_worker(Journal()) as worker:
        worker.fleet, worker.workers, worker.registry = fleet, 2, WorkerRegistry(uuid4(), "ours")
        rendering = SENT.to(Stage.RENDERING, generation_id="gen-0")
        for number, progress in enumerate([rendering, rendering, SENT, rendering.to(Stage.READY), Progress()]):
            await worker.results.enter(Record(JOB.with_id(f"job{number}"), progress))
        assert await worker._room(queue) == 6 - 3 - 1, "half of the room, less what holds a place or is going to"
        await worker._begin({"fed": NONE})
        assert await worker._room(queue) == 6 - 3 - 2
        account.outstanding = 10
        assert await worker._room(queue) == 12 - 10 - 2, "the others may have more than their part"
        account.room, account.outstanding = 9999, 4000
        assert await worker._room(queue) == JOBS_PER_TAKE
        assert fleet.outstanding.room == 9999


async def test_who_waits_for_money_takes_nothing_until_something_is_settled_or_nothing_is_outstanding() -> None:
    async with a_worker(Journal()) as worker:
        account: Any = SimpleNamespace(limits=AccountLimits(max_spend=1.0), spent=0.5, committed=0.5, outstanding=2)
        worker.account = account
        assert not worker._must_wait_for_money(), "nothing was refused"
        worker._waits_for_money = True
        assert [worker._must_wait_for_money() for _ in range(2)] == [True, True]
        account.committed = 0.25
        assert [worker._must_wait_for_money() for _ in range(2)] == [False, False], "it is tried again, once"
        worker._waits_for_money = True
        assert worker._must_wait_for_money(), "it was refused again"
        account.outstanding = 0
        assert not worker._must_wait_for_money(), "nothing will settle: the limit is reached"


@pytest.mark.real_time
async def test_a_worker_says_that_its_database_is_away_and_why() -> None:
    async with a_worker(Journal()) as worker:
        worker.dsn, worker.registry = "postgresql://127.0.0.1:1/clips", WorkerRegistry(uuid4(), "here:1")
        with anyio.move_on_after(0.3):
            await worker._keep_queue()
        assert "0 in hand; PostgreSQL is away (connection failed:" in _of_this_worker(worker)
        worker.away = ""
        assert _of_this_worker(worker).endswith("0 in hand")
