"""A worker, put together: database, key, store, limits, client, queue. Nothing is taken before all of it is right."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import Any
from uuid import uuid4

import anyio

from aimlvideo.core.jobs.progress import Record
from aimlvideo.distributed.database_copies import TOKEN, DatabaseCopyCheck
from aimlvideo.distributed.fleet_client import FleetClient
from aimlvideo.distributed.registry import SharedDurations, WorkerRegistry
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.shared_limits import WorkerShares
from aimlvideo.distributed.worker import Worker
from aimlvideo.errors import Busy, GenerationFailed, Rejected, ServiceError, SettingsError, Unavailable, Unclear
from aimlvideo.pipeline.prices import GOOD_FOR
from aimlvideo.shell.files.object_stores import ClipStore, open_worker_store
from aimlvideo.shell.files.uploads import UploadStore
from aimlvideo.shell.http.retrying import retrying
from aimlvideo.shell.journal.base import SERVICE, UPLOAD, refuse_other_service
from aimlvideo.shell.journal.postgres import PostgresJournal, open_postgres_journal
from aimlvideo.shell.journal.postgres_connection import AWAY, Connection, Database
from aimlvideo.shell.journal.postgres_schema import refuse_changed_order
from aimlvideo.shell.journal.postgres_sync import CLAIM, open_sync_journal
from aimlvideo.shell.task_groups import background_tasks

log = logging.getLogger("aimlvideo.worker")
NO_GENERATION = "aimlvideo-key-check"
GATEWAY_AWAY = (None, 502, 504)
LEAVING = 5.0
"""Seconds that a worker takes at most to say that it is gone; the others see it a heartbeat later."""


@asynccontextmanager
async def open_worker(
    dsn: str, output: str, settings: Mapping[str, Any], limits: AccountLimits, *, until_empty: bool = False
) -> AsyncIterator[Worker]:
    """Give a worker that is ready to `run`.

    Raises SettingsError where it does not agree with those at work, Refused where the service refuses the key,
    DatabaseAway or Unavailable where one of the two cannot be reached, JournalError where the database is an
    older copy.
    """
    worker = uuid4()
    registry = WorkerRegistry(worker, f"{socket.gethostname()}:{os.getpid()}")
    refusals: list[tuple[str, float | None]] = []
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_connected(dsn))
        await anyio.to_thread.run_sync(_check_tables, dsn)
        learned = await SharedDurations.read(connection)
        refuse_other_service(await _fact(connection, SERVICE), settings["service"])
        journal = await stack.enter_async_context(open_postgres_journal(dsn, str(worker)))
        pool = await stack.enter_async_context(Database(dsn).pool(size=2))
        # Only to begin with: those that count are agreed on in `_join`, after all that can fail has been tried, and are
        # taken over with the first heartbeat, before the first job.
        limits_before = (await Account.read(connection)).limits
        fleet = WorkerShares(pool, _noting(refusals), limits_before)
        store_of_queue = None if settings.get("upload") else await _queued_upload(connection)
        chosen = {**settings, "upload": store_of_queue.url if store_of_queue else settings.get("upload")}
        client = FleetClient(journal, learned, fleet.limiters, store_of_queue, **chosen)
        await stack.enter_async_context(client)
        await _check_key(client)
        store = stack.enter_context(open_worker_store(output, str(worker)))
        copy_check = DatabaseCopyCheck(store, await _check_output(connection, store))
        await copy_check.begin(connection)
        account = await _join(connection, registry, settings["service"], limits, stack)
        await store.sweep(await WorkerRegistry.ids(connection))
        await _know_prices(client, journal, needed=account.limits.max_spend != inf)
        await stack.enter_async_context(background_tasks(partial(_refresh_prices, client)))
        feed, records = anyio.create_memory_object_stream[Record](inf)
        stack.callback(records.close)
        stack.callback(feed.close)
        opened: list[Worker] = []
        run = await stack.enter_async_context(client.work(_still_ours(records, opened), store))
        opened.append(
            Worker(dsn, until_empty, registry, account, client, journal, fleet, run, feed, refusals, copy_check)
        )
        yield opened[0]


def _noting(refusals: list[tuple[str, float | None]]) -> Callable[[str, float | None], None]:
    """Return what notes a refusal, with its seconds, for the next heartbeat."""

    def note(kind: str, seconds: float | None) -> None:
        # The other workers need to hear of it once, with the longest pause; a thousand refused requests say no more.
        for place, (pending, before) in enumerate(refusals):
            if pending == kind:
                refusals[place] = kind, max(before or 1.0, seconds or 1.0)
                return
        refusals.append((kind, seconds))

    return note


async def _still_ours(records: AsyncIterable[Record], opened: Sequence[Worker]) -> AsyncIterator[Record]:
    """Give the jobs that are still this worker's, which is the one in `opened` by the time that the first one comes."""
    async for record in records:
        if opened[0].still_ours(record):
            yield record


async def _know_prices(client: FleetClient, journal: PostgresJournal, *, needed: bool) -> None:
    """Know what clips cost, and note it with what was bought unpriced. Raises ServiceError where that is `needed`."""
    try:
        await client.read_prices()
    except ServiceError as error:
        # Without a limit nothing depends on it; what is bought now counts at its price of now under a later one.
        if needed:
            raise
        log.warning("the prices could not be read: %s", error)
    journal.price_of = client.price
    await journal.price_what_was_bought()


async def _refresh_prices(client: FleetClient) -> None:
    """Read the prices again and again: a worker lives for weeks, and a limit is kept by those of the day."""
    while True:
        await anyio.sleep(GOOD_FOR)
        try:
            await client.read_prices()
        except ServiceError as error:
            log.warning("the prices could not be read again: %s", error)


async def _check_key(client: FleetClient) -> None:
    """Return where the service answers and takes the key: its balance is read, or an unknown generation asked for.

    Raises Refused where it does not take the key, Unavailable or Unclear where it does not answer.
    """

    async def question() -> None:
        if (balance := client.service.balance) is None:
            await client.status(NO_GENERATION)
        else:
            balance.read(await client.send(balance.request, tries=1))

    try:
        await retrying(question, on=(Unavailable, Unclear), tries=3)
    except Unavailable:
        raise
    except (Rejected, GenerationFailed, Busy):
        return
    except Unclear as error:
        if error.status in GATEWAY_AWAY:
            raise


def _check_tables(dsn: str) -> None:
    """Raise JournalError for a database without our tables, with those of another version, or whose order changed."""
    with open_sync_journal(dsn) as journal:
        refuse_changed_order(journal.db)


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(Database(dsn).connection())
        except AWAY as error:
            raise Database(dsn).error(error) from None
        yield connection


async def _queued_upload(connection: Connection) -> UploadStore | None:
    """Open the place for uploads that the jobs were queued with. Raises SettingsError where it cannot be used."""
    if not (url := await _fact(connection, UPLOAD)):
        return None
    try:
        return await UploadStore.opened(url)
    except SettingsError as error:
        raise SettingsError(
            f"{error}. The jobs were queued with this place: name the right one for all workers by `aimlvideo enqueue "
            "JOBS --upload URL`, or for this worker by --upload URL"
        ) from error


async def _fact(connection: Connection, name: str) -> str | None:
    row = await (await connection.execute("SELECT value FROM aimlvideo_facts WHERE name = %s", (name,))).fetchone()
    return row[0] if row else None


async def _join(
    connection: Connection, registry: WorkerRegistry, service: str, limits: AccountLimits, stack: AsyncExitStack
) -> Account:
    """Agree on service and limits and appear among the workers: at once, so that of two new ones one sees the other."""
    async with connection.transaction():
        # Only now, when the key and the rest are right: a list belongs to the service of its first worker for good.
        row = await (await connection.execute(CLAIM, (SERVICE, service))).fetchone()
        refuse_other_service(row[0] if row else None, service)
        account = await limits.agree(connection)
        await registry.appear(connection, {}, account.limits.heartbeat or 30.0)

    async def leave() -> None:
        # Over the connection of the beginning, which may have died without a word since.
        with anyio.move_on_after(LEAVING, shield=True), suppress(*AWAY):
            await registry.leave(connection)

    stack.push_async_callback(leave)
    return account


CLAIM_OUTPUT = "UPDATE aimlvideo_account SET output_token = coalesce(output_token, %s) RETURNING output_token"
TRIES, PAUSE = 20, 0.1
"""How long a worker that starts at the same moment may take to write the token, and a shared folder to show it."""


async def _check_output(connection: Connection, store: ClipStore) -> str:
    """Return the token of the store, the one that the list's clips go to. Raises SettingsError where it is another.

    The first worker decides: its folder's token is written into the database, once for all.
    """
    token, _ = await DatabaseCopyCheck.read_note(store)
    new = token is None
    if token is None:
        token = str(uuid4())
        await store.write_text(TOKEN, token)
        # Another worker of the same folder may have been faster.
        token = (await DatabaseCopyCheck.read_note(store))[0] or token
    row = await (await connection.execute(CLAIM_OUTPUT, (token,))).fetchone()
    expected = str(row[0]) if row else token
    if expected == token:
        return token
    for _ in range(TRIES if new else 1):
        if (await DatabaseCopyCheck.read_note(store))[0] == expected:
            return expected
        await anyio.sleep(PAUSE)
    if new:
        await store.remove(TOKEN)
    raise SettingsError(
        f"{store} is not where the clips of this job list go: expected the token {expected} in {TOKEN} there. Give the "
        f"output of the other workers, or, where the clips have moved, copy {TOKEN} to the new place"
    )
