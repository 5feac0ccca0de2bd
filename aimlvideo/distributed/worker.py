"""One worker: takes jobs from the queue, sees them through with its one client, hands them back.

The client and its poll scheduler live as long as the worker; the engine's connection is opened again whenever it
breaks. What is in flight goes on meanwhile, nothing new starts, and what is heard is written when PostgreSQL is back.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from psycopg import Notify

from aimlvideo.core.jobs.job import Record, Result, result_of
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.distributed.fleet_client import FleetClient
from aimlvideo.distributed.queue import JobQueue, QueueEntry, open_queue
from aimlvideo.distributed.registry import NEWS, WorkerRegistry
from aimlvideo.distributed.shared_limits import WorkerShares
from aimlvideo.errors import InDoubt, OutOfPatience, VideoError
from aimlvideo.pipeline.run import Entry, Run
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.journal.postgres import PostgresJournal
from aimlvideo.shell.journal.postgres_schema import AGAIN, AWAY
from aimlvideo.shell.task_groups import task_group
from aimlvideo.views.metrics import Reading, run_metrics


def worker_metrics(worker: Worker) -> Iterator[Reading]:
    """Give what is true of a worker now."""
    yield from run_metrics(worker.results)
    yield Reading("aimlvideo_in_hand", "Jobs that this worker has taken", len(worker.places))
    depth = {status: float(worker.depth.get(status, 0)) for status in ("queued", "picked")}
    yield Reading("aimlvideo_queue_depth", "Jobs in the queue of all workers", depth, label="status")
    yield Reading("aimlvideo_workers", "Workers heard of lately", worker.workers)
    yield Reading("aimlvideo_journal_unwritten", "Steps not yet written", worker.journal.unwritten)


AT_A_TIME = 100
"""Jobs that are taken with one statement: PgQueuer's takes 0.1 ms a job up to there, and far more beyond."""


IDLE = 0.5
"""Seconds between two looks into an empty queue, at most."""


GATHER = 0.02
"""Seconds in which ended jobs gather, to be handed back together."""


OUTCOMES = {Stage.SAVED: "well", Stage.FAILED: "badly", Stage.PLANNED: "unbought"}
LATER = {"impatient": 60.0, "unsaved": 30.0, "unbought": 0.0}
"""Seconds after which a job that was handed back unfinished is taken again."""


SHARE_EVERY = 30.0
"""Seconds between two times of sharing what was learned."""


PARTING = 30.0
"""Seconds that downloads and answers under way have, when a worker is told to stop."""


log = logging.getLogger("aimlvideo.worker")


class Elsewhere(VideoError):
    """Another worker has this job now."""


class Stopped(VideoError):
    """This worker was told to stop."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker was told. Seconds; `cap` is for all workers together, `poll_rate` too."""

    dsn: str
    cap: int
    heartbeat: float = 30.0
    until_empty: bool = False


@dataclass(eq=False)
class Worker:
    """What a worker has in hand: `places` are the jobs that it sees through, by id."""

    terms: WorkerLimits
    roll: WorkerRegistry
    client: FleetClient
    journal: PostgresJournal
    fleet: WorkerShares
    results: Run
    feed: MemoryObjectSendStream[Record]
    told: list[tuple[str, float | None]]
    places: dict[str, QueueEntry] = field(default_factory=dict)
    workers: int = 1
    depth: dict[str, int] = field(default_factory=dict)
    winding_down: bool = False
    _back: dict[str, tuple[QueueEntry, str]] = field(default_factory=dict)
    _fed: dict[str, Record] = field(default_factory=dict)
    _beaten: float = 0.0
    _turned: float = field(default_factory=time.monotonic)
    _rest_until: float = 0.0
    _shared: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._news = anyio.Event()
        # A lost job may have a request under way: what still comes of it goes to a run that writes nowhere.
        self._detached_run = self.results.detached(InMemoryJournal())
        self.journal.lost, self.journal.lease = self.lose, self.terms.heartbeat / 3

    async def run(self) -> None:
        """Work until there is nothing more to do for this worker, then hand everything back."""
        async with task_group() as tasks:
            tasks.start_soon(self._keep_queue)
            async for result in self.results:
                self._ended(result)
        with anyio.move_on_after(PARTING):
            async with open_queue(self.terms.dsn, self.roll.worker, self.terms.cap) as engine:
                await self._hand_back(engine)
                await self._share(engine)
                await self.roll.leave(engine.connection)

    async def stop(self) -> None:
        """Take nothing more, see downloads and answers under way through, leave the rest to others."""
        self.winding_down = True
        self.results.halt(Stopped("this worker was told to stop"))
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
        self._back.pop(name, None)
        self._fed.pop(name, None)
        self.journal.let_go([name])
        for entry in [entry for entry in self.results.entries if entry.job.id == name]:
            entry.run.end(entry, Elsewhere(f"another worker has job {name} now"))
            entry.run = self._detached_run

    def _leave(self, keep: tuple[Stage, ...]) -> int:
        """End what is in no stage to be kept; return how many are left."""
        left: list[Entry] = [entry for entry in self.results.entries if entry.progress.stage not in keep]
        for entry in left:
            self.results.end(entry, Stopped("left to other workers"))
        return len(self.results.entries)

    def _ended(self, result: Result) -> None:
        """Note what is to be done with a job's place in the queue."""
        if isinstance(result.error, Elsewhere) or result.job.id not in self.places:
            return
        self._back[result.job.id] = self.places[result.job.id], _outcome(result)
        self._news.set()

    async def _keep_queue(self) -> None:
        """Keep up with the queue, over one connection after the other."""
        while True:
            try:
                async with open_queue(self.terms.dsn, self.roll.worker, self.terms.cap, self.terms.heartbeat) as engine:
                    engine.connection.add_notify_handler(self._heard)
                    await engine.connection.execute(f"LISTEN {NEWS}")
                    while True:
                        await self._turn(engine)
            except AWAY as error:
                log.warning("PostgreSQL is away: %s", error)
                await anyio.sleep(AGAIN)

    async def _turn(self, engine: JobQueue) -> None:
        """Say that we live, hand back, pass on, take."""
        now, idle = time.monotonic(), min(IDLE, self.terms.heartbeat / 4)
        if now - self._turned > idle + self.terms.heartbeat / 3:
            await self._came_back(now)
        self._turned = now
        if now - self._beaten >= self.terms.heartbeat / 4:
            await self._beat(engine)
            self._beaten = now
        if now - self._shared >= SHARE_EVERY:
            await self._share(engine)
            self._shared = now
        await self._hand_back(engine)
        while self.told:
            await self.roll.tell(engine.connection, *self.told[0])
            self.told.pop(0)
        full = await self._take(engine)
        with anyio.move_on_after(GATHER if full else idle):
            await self._news.wait()
        await anyio.sleep(GATHER)
        self._news = anyio.Event()

    async def _came_back(self, now: float) -> None:
        """After a freeze, or PostgreSQL's return: find out what is still ours, and let everybody say that they live."""
        await self.journal.verify()
        self._beaten = 0.0
        self._rest_until = now + self.terms.heartbeat / 3

    async def _beat(self, engine: JobQueue) -> None:
        held = {place.id: name for name, place in self.places.items()}
        for gone in await engine.beat(list(self.places.values())):
            self.lose(held[gone])
        self.depth = await engine.depth()
        said = {"in_hand": len(self.places), "outstanding": self.fleet.outstanding.taken}
        present = await self.roll.appear(engine.connection, said, self.terms.heartbeat)
        self.workers = present.workers
        self.fleet.shared_by(present.workers)
        if present.drain is not None and present.drain > self.roll.began and not self.winding_down:
            log.warning("told to drain: nothing more is taken")
            self.winding_down = True

    async def _share(self, engine: JobQueue) -> None:
        if self.client.knowledge is not None:
            await self.client.knowledge.share(engine.connection)
        await engine.tidy()

    async def _hand_back(self, engine: JobQueue) -> None:
        """Give up the places of what has ended here, once the journal surely has it."""
        if not self._back:
            return
        await self.journal.synced()
        by_fate: dict[str, list[QueueEntry]] = defaultdict(list)
        going = dict(self._back)
        for place, fate in going.values():
            by_fate[fate].append(place)
        for fate, places in by_fate.items():
            if fate in ("well", "badly"):
                await engine.done(places, well=fate == "well")
            elif fate == "outstanding":
                await engine.let_go(places)
            else:
                await engine.later(places, LATER[fate])
        for name in going:
            self._back.pop(name, None)
            self.places.pop(name, None)
        self.journal.let_go(going)

    async def _take(self, engine: JobQueue) -> bool:
        """Take what there is room for, and set it on its way. True: there may be more."""
        if self.results.halted is not None or self.winding_down:
            if not self.places:
                self.feed.close()
            return False
        share = ceil(self.terms.cap / self.workers)
        most = min(share - len(self.places), AT_A_TIME)
        if most <= 0 or time.monotonic() < self._rest_until:
            return False
        taken = await engine.take(most, share)
        fresh = {name: place for name, place in taken.items() if name not in self.places}
        if fresh:
            self._set_on_their_way(fresh, await self.journal.take(fresh))
        elif self.terms.until_empty and not self.places and not sum((await engine.depth()).values()):
            self.feed.close()
        return len(taken) == most

    def _set_on_their_way(self, fresh: dict[str, QueueEntry], records: list[Record]) -> None:
        self.places.update(fresh)
        known = {record.job.id for record in records if record.progress.stage not in ENDED}
        for name in fresh.keys() - known:
            self._back[name] = fresh[name], "well"
        for job, progress in sorted(records, key=lambda record: record.progress.stage is Stage.PLANNED):
            if job.id not in known:
                continue
            if self.winding_down or self.results.halted is not None:
                self._back[job.id] = fresh[job.id], _outcome(result_of(job, progress))
            else:
                record = self._fed[job.id] = Record(job, progress)
                self.feed.send_nowait(record)

    def _heard(self, news: Notify) -> None:
        if news.channel == NEWS and (told := self.roll.heard(news.payload)) is not None:
            self.fleet.heard(*told)


def _outcome(result: Result) -> str:
    """Tell what becomes of a job's place in the queue."""
    if result.stage in OUTCOMES:
        return OUTCOMES[result.stage]
    if isinstance(result.error, OutOfPatience):
        return "impatient"
    if isinstance(result.error, InDoubt):
        return "badly"  # it cannot be asked for: a person has to settle it
    return "unsaved" if result.stage is Stage.READY and not isinstance(result.error, Stopped) else "outstanding"
