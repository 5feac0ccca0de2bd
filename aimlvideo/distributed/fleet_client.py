"""A client that is one of many: its journal and what it has learned are in the database that all share."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.stages import OUTSTANDING
from aimlvideo.core.money.budget import Budget, Spending
from aimlvideo.distributed.registry import SharedDurations
from aimlvideo.pipeline.chains import Chains
from aimlvideo.pipeline.limiters import Limiters
from aimlvideo.pipeline.pipeline import Pipeline
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.files.object_stores import ClipStore
from aimlvideo.shell.files.uploads import Uploads, UploadStore
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.postgres import PostgresJournal
from aimlvideo.shell.journal.postgres_connection import required_row
from aimlvideo.shell.journal.postgres_sync import ALIVE, FACTS, FORGET, NOTE
from aimlvideo.shell.user_folders import NOWHERE

LIVES = f"SELECT 1 FROM aimlvideo_workers WHERE id = %s AND seen_at > now() - interval '{ALIVE} s'"


@dataclass(frozen=True, slots=True)
class _SharedRecords:
    """The records of uploads in the database: asked for without holding up the event loop, until it answers."""

    journal: PostgresJournal

    async def facts(self, beginning: str) -> Mapping[str, str]:
        """Return the facts whose names begin so."""
        return dict(await self.journal.ask(FACTS, beginning))

    async def note(self, name: str, value: str) -> None:
        """Write one fact."""
        await self.journal.ask(NOTE, name, value)

    async def forget(self, name: str) -> None:
        """Take one fact away."""
        await self.journal.ask(FORGET, name)

    async def outstanding(self, job_ids: set[str]) -> tuple[set[str], bool]:
        """Return which of these jobs are outstanding, and whether any other job is."""
        stages = [stage.value for stage in OUTSTANDING]
        ours = "SELECT id FROM aimlvideo_jobs WHERE id = ANY(%s) AND stage = ANY(%s)"
        ids = {name for (name,) in await self.journal.ask(ours, list(job_ids), stages)}
        rows = await self.journal.ask(f"SELECT {' + '.join(sorted(stages))} FROM aimlvideo_account")
        (count,) = required_row(next(iter(rows), None), "aimlvideo_account")
        return ids, count > len(ids)

    async def is_alive(self, worker: str) -> bool:
        """Tell whether a worker was heard of lately."""
        return bool(await self.journal.ask(LIVES, worker))


class FleetClient(VideoClient):
    """`VideoClient` for a worker. `learned` is what all workers know of durations so far.

    `upload_store` is the place for uploads, where it is open already.
    """

    _is_one_of_many = True

    def __init__(
        self,
        journal: PostgresJournal,
        learned: Mapping[str, Any],
        limiters: Limiters | None = None,
        upload_store: UploadStore | None = None,
        **settings: Any,
    ) -> None:
        self._open_store = upload_store
        self._durations = SharedDurations(NOWHERE, learned)
        super().__init__(**settings, journal=journal, knowledge=self._durations, limiters=limiters)
        self._postgres = journal

    @property
    def pipeline(self) -> Pipeline:
        """What all jobs of this client go through."""
        return self._pipeline

    async def read_prices(self) -> None:
        """Know what the service's clips cost, where it says so. Raises ServiceError."""
        await self._prices.read(self.send)

    @property
    def knowledge(self) -> SharedDurations | None:
        """What is learned of durations, None where polling is fixed."""
        return self._durations if self._poll_policies.learns else None

    def _window(self) -> int:
        """Return no limit: how many jobs this worker has in hand is decided where they are taken from the queue."""
        return sys.maxsize

    def _most_bought(self) -> float:
        """Return no limit, for the same reason."""
        return inf

    async def _open_upload_store(self, url: str) -> UploadStore:
        """Return the place that is open already, if there is one."""
        return self._open_store or await super()._open_upload_store(url)

    def _new_uploads(self, store: UploadStore, journal: Journal) -> Uploads:
        """Return this worker's uploads: other workers have folders of their own, and remove nothing of ours."""
        owner = self._postgres.owner or ""
        return Uploads(store, _SharedRecords(self._postgres), self._settings.timeout, owner)

    async def _budget(self, limit: float | None, journal: Journal, spending: Spending | None) -> Budget:
        """Return no limit: what may be spent is decided in the database."""
        return Budget(None)

    def _in_order(self, run: Run, records: AsyncIterator[Record]) -> AsyncIterator[Record]:
        return Chains(run, parents_ended=True).in_order(records)

    @asynccontextmanager
    async def work(self, records: AsyncIterator[Record], store: ClipStore) -> AsyncIterator[Run]:
        """Give the results of jobs as they come in, whatever their stage; their clips are kept in `store`."""
        async with self._open_run(store.staging, store=store) as run:
            self._feed(run, records)
            yield run
