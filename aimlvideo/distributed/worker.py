"""One worker: takes jobs from the queue, sees them through with its one client, hands them back.

The client and its poll scheduler live as long as the worker; the engine's connection is opened again whenever it
breaks. What is in flight goes on meanwhile, nothing new starts, and what is heard is written when PostgreSQL is back.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum, auto
from math import ceil, inf

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from psycopg import Notify

from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.budget import Verdict
from aimlvideo.distributed.database_copies import DatabaseCopyCheck
from aimlvideo.distributed.fleet_client import FleetClient
from aimlvideo.distributed.queue import JobQueue, QueueEntry, enqueue_jobs
from aimlvideo.distributed.registry import NEWS, WorkerRegistry
from aimlvideo.distributed.shared_account import Account
from aimlvideo.distributed.shared_limits import WorkerShares
from aimlvideo.errors import InDoubt, OutOfPatience, OverBudget, VideoError
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.journal.postgres import FULL, PostgresJournal, Refusal
from aimlvideo.shell.journal.postgres_connection import AGAIN, AWAY, NO_ANSWER
from aimlvideo.shell.task_groups import task_group
from aimlvideo.views.metrics import Reading, run_metrics

JOBS_PER_TAKE = 250
"""Jobs that are taken with one statement: a round of statements takes 0.1 to 0.2 s, however many there are."""
IDLE = 0.5
"""Seconds between two reads of an empty queue, at most."""
GATHER = 0.05
"""Seconds in which ended jobs gather, to be handed back together, and free places, to be filled together."""
PAUSE_WHEN_FULL = 0.5
"""Seconds for which nothing is taken after the account had no place for a job."""
STALLED = 20.0
"""Seconds that one round of statements may take; then the connection counts as cut."""
SHARE_EVERY = 30.0
"""Seconds between two times of sharing what was learned."""
PARTING = 30.0
"""Seconds that downloads and answers under way have, when a worker is told to stop."""

log = logging.getLogger("aimlvideo.worker")


class _Handback(StrEnum):
    """Why a job's place in the queue is given up, which decides what becomes of it."""

    SAVED = auto()
    FAILED = auto()
    NOT_BEGUN = auto()
    WAITS = auto()
    """It takes a clip from a job that has not ended."""
    IN_DOUBT = auto()
    """It cannot be asked for: a person has to settle it."""
    LEFT = auto()
    TIMED_OUT = auto()
    NOT_DOWNLOADED = auto()


BY_STAGE = {Stage.SAVED: _Handback.SAVED, Stage.FAILED: _Handback.FAILED, Stage.PLANNED: _Handback.NOT_BEGUN}
TAKEN_OVER_AFTER = {_Handback.LEFT: 0.0, _Handback.TIMED_OUT: 60.0, _Handback.NOT_DOWNLOADED: 30.0}
"""Seconds after which a job that was begun, and handed back unfinished, is taken over again."""


class _Elsewhere(VideoError):
    """Another worker has this job now."""


class Stopped(VideoError):
    """This worker is told to stop."""


class _NoPlace(VideoError):
    """The account had no place for this job: as many generations are outstanding as may be."""


@dataclass(eq=False)
class Worker:
    """What a worker has in hand: `places` are the jobs that it sees through, by id."""

    dsn: str
    until_empty: bool
    registry: WorkerRegistry
    account: Account
    client: FleetClient
    journal: PostgresJournal
    fleet: WorkerShares
    results: Run
    feed: MemoryObjectSendStream[Record]
    refusals_to_broadcast: list[tuple[str, float | None]]
    copy_check: DatabaseCopyCheck
    on_result: Callable[[Result], None] = lambda result: None
    places: dict[str, QueueEntry] = field(default_factory=dict)
    workers: int = 1
    away: str = ""
    """Why PostgreSQL is away, while it is."""
    _ending: dict[str, tuple[QueueEntry, _Handback]] = field(default_factory=dict)
    _fed: dict[str, Record] = field(default_factory=dict)
    _last_heartbeat: float = -inf
    _last_take_over: float = 0.0
    _last_tick: float = field(default_factory=time.monotonic)
    _rest_until: float = 0.0
    _waits_for_money: bool = False
    _money_before: tuple[float | None, ...] = ()
    _last_share: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._news = anyio.Event()
        # A lost job may have a request under way: what still comes of it goes to a run that writes nowhere.
        self._detached_run = self.results.detached(InMemoryJournal())
        self.journal.lost, self.journal.refused = self.lose, self.refuse
        self.journal.queue_again = lambda db, name: enqueue_jobs(db, [name], begun=True, again=True)
        self.journal.lease = self.heartbeat / 3

    @property
    def heartbeat(self) -> float:
        """Seconds of silence after which others take over."""
        return self.account.limits.heartbeat or 30.0

    def metrics(self) -> Iterator[Reading]:
        """Give what is true of a worker now."""
        yield from run_metrics(self.results)
        yield Reading("aimlvideo_in_hand", "Jobs that this worker has taken", len(self.places))
        yield Reading("aimlvideo_workers", "Workers heard of lately", self.workers)
        yield Reading("aimlvideo_journal_unwritten", "Steps not yet written", self.journal.unwritten)
        yield from _account_metrics(self.account)

    async def run(self) -> None:
        """Work until there is nothing more to do for this worker, then hand everything back."""
        async with task_group() as tasks:
            tasks.start_soon(self._keep_queue)
            async for result in self.results:
                self._ended(result)
        with anyio.move_on_after(PARTING):
            async with JobQueue.open(self.dsn, self.registry.worker, self.heartbeat) as queue:
                await self._hand_back(queue)
                await queue.release()
                await self._share(queue)
                await self.copy_check.go_on(queue.connection)
                await self.registry.leave(queue.connection)

    async def stop(self) -> None:
        """Take nothing more, see downloads and answers under way through, leave the rest to others."""
        self._wind_down("this worker is told to stop")
        self.feed.close()
        with anyio.move_on_after(PARTING):
            while self._leave(keep=(Stage.SUBMITTING, Stage.READY)):  # noqa: ASYNC110 - jobs move on by themselves
                await anyio.sleep(0.05)
        self._leave(keep=())

    def still_ours(self, record: Record) -> bool:
        """Tell whether a job that was fed is still to be seen through: it may have been lost since, and taken anew."""
        if self._fed.get(record.job.id) is not record:
            return False
        del self._fed[record.job.id]
        return True

    def lose(self, name: str) -> None:
        """Let go of a job that another worker has now. Whatever still comes of it here is not written."""
        self.places.pop(name, None)
        self._ending.pop(name, None)
        self._fed.pop(name, None)
        self.journal.let_go([name])
        for entry in [entry for entry in self.results.entries if entry.job.id == name]:
            entry.end(_Elsewhere(f"another worker has job {name} now"))
            entry.run = self._detached_run

    def refuse(self, name: str, refused: Refusal) -> None:
        """Hand back a job that may not be bought now: its intent was not written, and nothing is sent."""
        if refused.verdict == FULL:
            error: VideoError = _NoPlace(f"no place for job {name}: {self.account.room} generations are outstanding")
            self._rest_until = max(self._rest_until, time.monotonic() + PAUSE_WHEN_FULL)
        else:
            verdict, limit = Verdict(refused.verdict), self.account.limits.max_spend or 0.0
            error = OverBudget(f"all workers: {verdict.refusal(limit, refused.price, refused.standing)}")
            if verdict is Verdict.WAIT:
                self._waits_for_money = True
            else:
                self.results.halt(error)
        for entry in [entry for entry in self.results.entries if entry.job.id == name]:
            self.results.end(entry, error)

    def _wind_down(self, reason: str) -> None:
        """Buy nothing more, and give back at once what was not begun."""
        self.results.halt(Stopped(reason))
        self._give_back_unread()

    def _give_back_unread(self) -> None:
        """Hand back the jobs that were taken and that the pipeline has not read."""
        for name, (job, progress) in self._fed.items():
            self._ending[name] = self.places[name], _handback(Result.of(job, progress))
        if self._fed:
            self._fed.clear()
            self._news.set()

    def _leave(self, keep: tuple[Stage, ...]) -> int:
        """End what is in no stage to be kept; return how many are left."""
        leaving: list[Entry] = [entry for entry in self.results.entries if entry.progress.stage not in keep]
        for entry in leaving:
            self.results.end(entry, Stopped("left to other workers"))
        return len(self.results.entries)

    def _ended(self, result: Result) -> None:
        """Note what is to be done with a job's place in the queue."""
        if isinstance(result.error, _Elsewhere) or result.job.id not in self.places:
            return
        self._ending[result.job.id] = self.places[result.job.id], _handback(result)
        self._news.set()
        if result.stage in ENDED:
            try:
                self.on_result(result)
            except OSError:  # nobody reads on
                raise
            except Exception:
                log.exception("unexpected error in on_result, for job %r", result.job.id)

    async def _keep_queue(self) -> None:
        """Keep up with the queue, over one connection after the other."""
        while True:
            try:
                async with JobQueue.open(self.dsn, self.registry.worker, self.heartbeat) as queue:
                    queue.connection.add_notify_handler(self._on_notify)
                    await queue.connection.execute(f"LISTEN {NEWS}")
                    await queue.catch_up()
                    while True:
                        await self._tick(queue)
            except AWAY as error:
                self.away = str(error) or NO_ANSWER
                log.warning("PostgreSQL is away: %s", self.away)
                # Also where it was away for a moment only: a standby that takes its place lacks the last seconds.
                self._last_tick = -inf
                await anyio.sleep(AGAIN)

    async def _tick(self, queue: JobQueue) -> None:
        """Say that we live, hand back, pass on, take."""
        idle = min(IDLE, self.heartbeat / 4)
        # A connection that died without a word would hang until TCP gives up, while others take our jobs over.
        with anyio.fail_after(STALLED):
            full = await self._keep_up(queue, idle)
        self.away = ""
        if not full:
            with anyio.move_on_after(idle):
                await self._news.wait()
        await anyio.sleep(GATHER)
        self._news = anyio.Event()

    async def _keep_up(self, queue: JobQueue, idle: float) -> bool:
        """Do all that is due. True: there may be more to take."""
        now = time.monotonic()
        # This process was frozen (a laptop asleep, a stopped container): others may have taken over what it believes to
        # have.
        if now - self._last_tick > idle + self.heartbeat / 3:
            # First, and over the connection that is there: before others take what it has forgotten that we have begun.
            await self.journal.restore(queue.connection)
            await queue.reclaim(self.places)
            await self._after_silence(now)
        self._last_tick = now
        if now - self._last_heartbeat >= self.heartbeat / 4:
            await self._send_heartbeat(queue)
            self._last_heartbeat = now
        if now - self._last_share >= SHARE_EVERY:
            await self._share(queue)
            self._last_share = now
        if self.results.halted is not None:
            self._give_back_unread()
        await self._hand_back(queue)
        await self._broadcast_refusals(queue)
        return await self._take(queue)

    async def _broadcast_refusals(self, queue: JobQueue) -> None:
        """Tell the other workers of refusals. What PostgreSQL did not hear is told again."""
        while self.refusals_to_broadcast:
            refusal = self.refusals_to_broadcast[0]
            await self.registry.broadcast(queue.connection, *refusal)
            if self.refusals_to_broadcast[0] == refusal:  # else one with a longer pause came meanwhile
                self.refusals_to_broadcast.pop(0)

    async def _after_silence(self, now: float) -> None:
        """After a freeze, or PostgreSQL's return: find out what is still ours, and let everybody say that they live."""
        # By the journal's own connections too: until one of them answers, nothing can be taken.
        await self.journal.verify()
        self._last_heartbeat = -inf
        self._rest_until = now + self.heartbeat / 3

    async def _send_heartbeat(self, queue: JobQueue) -> None:
        await self.copy_check.go_on(queue.connection)
        names_by_place = {place.id: name for name, place in self.places.items()}
        for gone in await queue.heartbeat_for(list(self.places.values())):
            self.lose(names_by_place[gone])
        status = {"in_hand": len(self.places), "outstanding": self.fleet.outstanding.taken}
        self.workers = await self.registry.appear(queue.connection, status, self.heartbeat)
        await self._read_account(queue)
        queue.heartbeat = self.heartbeat
        self.journal.lease = self.heartbeat / 3
        self.fleet.shared_by(self.workers, self.account.limits)
        self.client.pipeline.request_log.shared_by(self.workers)
        await self.journal.read_sample()

    async def _share(self, queue: JobQueue) -> None:
        if self.client.knowledge is not None:
            await self.client.knowledge.share(queue.connection)
        await queue.compact_log()

    async def _hand_back(self, queue: JobQueue) -> None:
        """Give up the places of what has ended here, once the journal surely has it."""
        if not self._ending:
            return
        # A copy before the await: what ends meanwhile is handed back the next time, after its own sync.
        going = dict(self._ending)
        await self.journal.synced()
        going = {name: back for name, back in going.items() if self._ending.get(name) == back}  # else lost meanwhile
        by_reason: dict[_Handback, list[str]] = defaultdict(list)
        for name, (_, reason) in going.items():
            by_reason[reason].append(name)
        for reason, names in by_reason.items():
            places = [going[name][0] for name in names]
            if reason in (_Handback.SAVED, _Handback.FAILED):
                # Before its place is gone: if we die here, whoever takes the place over finds it ended, and wakes them.
                await queue.wake_children(names)
                await queue.done(places, succeeded=reason is _Handback.SAVED)
            elif reason is _Handback.IN_DOUBT:
                await self.journal.leave_in_doubt(names)
                await queue.done(places, succeeded=False)
            elif reason is _Handback.WAITS:
                await queue.postpone(places)
            elif reason is _Handback.NOT_BEGUN:
                await queue.give_back(places)
            else:
                await queue.leave(places, TAKEN_OVER_AFTER[reason])
        for name, back in going.items():
            if self._ending.get(name) == back:
                self._ending.pop(name, None)
                self.places.pop(name, None)
        self.journal.let_go(going)

    async def _take(self, queue: JobQueue) -> bool:
        """Take over what silent workers left, and take what there is room for. True: there may be more."""
        now = time.monotonic()
        if self.results.halted is not None:
            if not self.places:
                self.feed.close()
            return False
        if now < self._rest_until:
            return False
        orphans: dict[str, QueueEntry] = {}
        if now - self._last_take_over >= min(IDLE, self.heartbeat / 4):
            # Before new jobs: what silent workers began is paid for, and its clips expire.
            orphans = await queue.take_over(JOBS_PER_TAKE)
            await self._begin(orphans)
            if len(orphans) < JOBS_PER_TAKE:
                self._last_take_over = now
        most = await self._room(queue)
        if self._must_wait_for_money():
            most = 0
        taken = await queue.take(most) if most > 0 else {}
        await self._begin(taken)
        if self.until_empty and not taken and not self.places and await queue.is_empty():
            self.feed.close()
        return len(orphans) == JOBS_PER_TAKE or (len(taken) == most > 0)

    def _must_wait_for_money(self) -> bool:
        """Tell whether nothing has been settled since a job was refused that may fit when something is."""
        account = self.account
        money = (account.spent, account.committed, account.limits.max_spend)
        if self._waits_for_money and account.outstanding and self._money_before in ((), money):
            self._money_before = money
            return True
        self._waits_for_money, self._money_before = False, ()
        return False

    async def _read_account(self, queue: JobQueue) -> None:
        self.account = await Account.read(queue.connection)
        self.fleet.outstanding.room = self.account.room
        # Here, and not with the heartbeat: for a quarter of that it would go on to buy.
        if self.results.halted is None and self.registry.is_drained(self.account.drained_at):
            self._wind_down("the workers were told to drain")

    async def _room(self, queue: JobQueue) -> int:
        """Return how many jobs to take: our part of the room, less what we have not begun."""
        await self._read_account(queue)
        begun = sum(entry.progress.stage not in NOT_HELD for entry in self.results.entries)
        waiting = len(self._fed) + sum(entry.progress.stage is Stage.PLANNED for entry in self.results.entries)
        share = ceil(self.account.room / self.workers)
        return min(share - begun - waiting, self.account.room - self.account.outstanding - waiting, JOBS_PER_TAKE)

    async def _begin(self, taken: dict[str, QueueEntry]) -> None:
        """Set jobs that were taken on their way, those that were begun first."""
        fresh = {name: place for name, place in taken.items() if name not in self.places}
        if not fresh:
            return
        self.places.update(fresh)
        try:
            records = await self.journal.take(fresh)
        except BaseException:
            # Without heartbeats they are soon taken over, by us or another: as ours they would wait here for ever.
            for name in fresh:
                self.lose(name)
            raise
        open_records = [record for record in records if record.progress.stage not in ENDED]
        for name in fresh.keys() - {record.job.id for record in open_records}:
            self._ending[name] = fresh[name], _Handback.SAVED
        for job, progress in sorted(open_records, key=lambda record: record.progress.stage is Stage.PLANNED):
            if self.results.halted is not None:
                self._ending[job.id] = fresh[job.id], _handback(Result.of(job, progress))
            elif self.journal.waits(job):
                self._ending[job.id] = fresh[job.id], _Handback.WAITS
            else:
                record = self._fed[job.id] = Record(job, progress)
                self.feed.send_nowait(record)

    def _on_notify(self, news: Notify) -> None:
        if news.channel == NEWS and (refusal := self.registry.refusal_of(news.payload)) is not None:
            self.fleet.on_rejected_elsewhere(*refusal)


NOT_HELD = frozenset({Stage.PLANNED, Stage.READY, *ENDED})
"""Stages in which a job holds no place under the cap."""


def _handback(result: Result) -> _Handback:
    """Return why a worker gives up the place of a job that has ended here."""
    # Before the stage, which says that it is being submitted: its intent was refused, so nothing was sent.
    if isinstance(result.error, _NoPlace | OverBudget):
        return _Handback.NOT_BEGUN
    if result.stage in BY_STAGE:
        return BY_STAGE[result.stage]
    if isinstance(result.error, OutOfPatience):
        return _Handback.TIMED_OUT
    if isinstance(result.error, InDoubt):
        return _Handback.IN_DOUBT
    gave_up = result.stage is Stage.READY and not isinstance(result.error, Stopped)
    return _Handback.NOT_DOWNLOADED if gave_up else _Handback.LEFT


def _account_metrics(account: Account) -> Iterator[Reading]:
    """Give what is true of the whole list, from any worker. Money is in USD."""
    jobs = {stage.value: float(account.jobs.get(stage.value, 0)) for stage in Stage}
    yield Reading("aimlvideo_list_jobs", "Jobs of the whole list, by stage", jobs, label="stage")
    yield Reading("aimlvideo_account_outstanding", "Generations outstanding, of all workers", account.outstanding)
    yield Reading("aimlvideo_account_outstanding_limit", "Generations that may be outstanding", account.room)
    yield Reading("aimlvideo_account_spent_usd", "What all jobs have cost", account.spent)
    yield Reading("aimlvideo_account_committed_usd", "What the outstanding ones will cost", account.committed)
    if (limit := account.limits.max_spend) is not None and limit < inf:
        yield Reading("aimlvideo_account_spending_limit_usd", "What may be spent", limit)
