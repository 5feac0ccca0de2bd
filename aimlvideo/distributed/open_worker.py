"""A worker, put together: journal, limits, client, store, queue."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from typing import Any
from uuid import uuid4

import anyio
import psycopg

from aimlvideo.core.jobs.job import Record
from aimlvideo.distributed.fleet_client import FleetClient
from aimlvideo.distributed.registry import WorkerRegistry, read_durations
from aimlvideo.distributed.shared_limits import WorkerShares, open_permits
from aimlvideo.distributed.worker import Worker, WorkerLimits
from aimlvideo.errors import SettingsError
from aimlvideo.shell.files.object_stores import opened_store
from aimlvideo.shell.journal.postgres import PostgresJournal, open_postgres_journal

LIVE = "SELECT count(*) FROM aimlvideo_workers WHERE seen_at > now() - make_interval(secs => %s)"


@asynccontextmanager
async def open_worker(
    terms: WorkerLimits, output: str, settings: Mapping[str, Any], *, rate: float, poll_rate: float
) -> AsyncIterator[Worker]:
    """Give a worker that is ready to `run`. Raises SettingsError where it does not agree with those at work."""
    worker = uuid4()
    roll = WorkerRegistry(worker, f"{socket.gethostname()}:{os.getpid()}")
    told: list[tuple[str, float | None]] = []

    def tell(kind: str, seconds: float | None) -> None:
        if kind not in (pending for pending, _ in told):
            told.append((kind, seconds))

    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(open_postgres_journal(terms.dsn, str(worker)))
        async with await psycopg.AsyncConnection.connect(terms.dsn, autocommit=True) as connection:
            live = await (await connection.execute(LIVE, (terms.heartbeat,))).fetchone()
            learned = await read_durations(connection)
        _agreed(journal, settings["service"], {"max_outstanding": terms.cap, "rate": rate}, live=bool(live and live[0]))
        permits = await stack.enter_async_context(open_permits(terms.dsn, rate))
        limits = {"max_outstanding": terms.cap, "rate": rate, "poll_rate": poll_rate}
        client = await stack.enter_async_context(FleetClient(journal, learned, **settings, **limits))
        fleet = WorkerShares(client.row, permits, tell, rate=rate, poll_rate=poll_rate, cap=terms.cap)
        store = stack.enter_context(opened_store(output, str(worker)[:8]))
        feed, records = anyio.create_memory_object_stream[Record](inf)
        stack.callback(records.close)
        stack.callback(feed.close)
        opened: list[Worker] = []

        async def ours() -> AsyncIterator[Record]:
            async for record in records:
                if opened[0].still_ours(record):
                    yield record

        run = await stack.enter_async_context(client.work(ours(), store))
        opened.append(Worker(terms, roll, client, journal, fleet, run, feed, told))
        yield opened[0]


def _agreed(journal: PostgresJournal, service: str, limits: dict[str, float], *, live: bool) -> None:
    """Keep all workers to one service and one set of limits: the account has but one."""
    if (begun := journal.fact("service") or service) != service:
        raise SettingsError(f"these jobs were queued with --service {begun}: use that, or another database")
    journal.note("service", service)
    before = json.loads(journal.fact("limits") or "{}")
    if live and before != limits:
        said = " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in before.items())
        raise SettingsError(f"the other workers run with {said}: give the same, or stop them first")
    journal.note("limits", json.dumps(limits))
