"""A worker's journal in PostgreSQL: every step of every job, for many machines.

Steps are buffered and written by one task, in groups; `synced` returns when they are committed. With an `owner` every
statement that writes a step also checks whose the job is: a worker that was frozen, and whose jobs were given to
another meanwhile, changes nothing, and is told so before it sends anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from math import isfinite
from typing import Any, NamedTuple

import anyio
import psycopg
from psycopg_pool import AsyncConnectionPool

from aimlvideo.core.jobs.chains import parents
from aimlvideo.core.jobs.columns import COLUMN_KINDS, PROGRESS_COLUMNS, Kind, columns_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Attempt, Progress, Record
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.budget import Counts, Standing
from aimlvideo.errors import JournalError
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.postgres_connection import (
    AGAIN,
    AWAY,
    NO_ANSWER,
    Connection,
    Database,
    pooled_connection,
)
from aimlvideo.shell.journal.postgres_sync import (
    ROWS,
    SAMPLE,
    SyncPostgresJournal,
    record_of,
)
from aimlvideo.shell.task_groups import task_group

log = logging.getLogger("aimlvideo.journal")


class Refusal(NamedTuple):
    """Why a job may not be bought now: a `Verdict`, or `full`; its price, and what the limit was held against."""

    verdict: str
    price: float | None
    standing: Standing


TYPES: Mapping[Kind, str] = {
    "text": "text", "integer": "int8", "count": "int4", "number": "float8", "bytes": "bytea",
}  # fmt: skip
"""PostgreSQL's type for each kind of column."""
BINARY = tuple(name for name, kind in COLUMN_KINDS.items() if kind == "bytes")
COLUMN_TYPES = ", ".join(f"{name} {TYPES[kind]}" for name, kind in COLUMN_KINDS.items())
# One text for all steps: an array a column cost a worker and PostgreSQL more than the steps themselves.
NEW_STEPS = f"json_to_recordset(%s::json) AS new(id text, intent boolean, counts text, {COLUMN_TYPES})"
ASSIGNED = ", ".join(f"{name} = new.{name}" for name in (*PROGRESS_COLUMNS, "counts"))
# A proxy that mixes up two answers may give a job the generation of one that another worker has. Its intent stays as it
# is written, and whoever takes the job over asks the service which generation has become of that.
ITS_OWN_GENERATION = """(new.generation_id IS NULL OR job.generation_id = new.generation_id OR NOT EXISTS (
        SELECT FROM aimlvideo_jobs other WHERE other.generation_id = new.generation_id AND other.id <> new.id
    ))"""
STEPS = f"""
    UPDATE aimlvideo_jobs AS job SET {ASSIGNED} FROM {NEW_STEPS}
    WHERE job.id = new.id AND (%s::text IS NULL OR job.owner = %s) AND {ITS_OWN_GENERATION}
    RETURNING job.id, NULL, NULL, NULL, NULL
"""
INTENTS = f"""
    WITH verdicts AS MATERIALIZED (SELECT * FROM aimlvideo_admit(%s, %s, %s)), moved AS (
        UPDATE aimlvideo_jobs AS job SET {ASSIGNED}, price = coalesce(verdicts.price, job.price)
        FROM {NEW_STEPS} LEFT JOIN verdicts ON verdicts.id = new.id
        WHERE job.id = new.id AND job.owner = %s AND (new.intent IS NULL OR verdicts.verdict = 'admitted')
            AND {ITS_OWN_GENERATION}
        RETURNING job.id
    )
    SELECT id, NULL, NULL, NULL, NULL FROM moved
    UNION ALL SELECT id, verdict, expected, spent, committed FROM verdicts WHERE verdict <> 'admitted'
"""
"""Steps among which there are intents to buy: those that the account has no room or no money for are not written."""
COLUMNS = ", ".join(PROGRESS_COLUMNS)
UNKNOWN = """
    SELECT name FROM unnest(%s::text[]) name WHERE NOT EXISTS (
        SELECT FROM aimlvideo_jobs WHERE id = name AND (stage <> 'planned' OR request_id IS NOT NULL)
    )
"""
"""Which of these jobs the database does not know to be begun."""
FORGOTTEN = f"""
    INSERT INTO aimlvideo_jobs AS job (id, folder, asked, parents, price, owner, {COLUMNS}, counts)
    SELECT id, folder, asked, parents, price, %s, {COLUMNS}, counts FROM json_to_recordset(%s::json) AS new(
        id text, folder text, asked text, parents text[], price float8, counts text, {COLUMN_TYPES}
    ) WHERE generation_id IS NULL OR NOT EXISTS (
        SELECT FROM aimlvideo_jobs other WHERE other.generation_id = new.generation_id AND other.id <> new.id
    )
    ON CONFLICT (id) DO UPDATE SET {
    ", ".join(f"{name} = EXCLUDED.{name}" for name in (*PROGRESS_COLUMNS, "counts", "owner"))
}
    WHERE job.stage = 'planned' AND job.request_id IS NULL AND job.asked = EXCLUDED.asked AND NOT EXISTS (
        SELECT FROM aimlvideo_attempts old WHERE old.job = job.id AND old.request_id = EXCLUDED.request_id
    )
    RETURNING job.id
"""
"""Writes what was begun into a database that knows nothing of it: what a person has settled is among the attempts."""
REPLACED = f"""
    INSERT INTO aimlvideo_attempts (job, {", ".join(Attempt._fields)})
    VALUES (%s{", %s" * len(Attempt._fields)}) ON CONFLICT DO NOTHING
"""
SEE_PRICE = "SELECT aimlvideo_see_price(%s, %s)"
FULL = "full"
"""The verdict where the account has no place for one more generation."""
TAKE = f"UPDATE aimlvideo_jobs SET owner = %s WHERE id = ANY(%s) RETURNING id, folder, asked, {COLUMNS}"
UNREADABLE = (
    "out of the queue, as what is known of them is damaged: %s. When that is corrected, `aimlvideo enqueue` with their "
    "file puts them back"
)
GATHER = 0.02
"""Seconds in which steps gather, to be written with one statement: what one costs is the same for 5 as for 20."""
PARTING = 10.0
"""Seconds for which one writing or question may take, and for which the last steps are tried on closing."""


def _undamaged(rows: Iterable[Sequence[Any]]) -> Iterator[Record]:
    """Give the jobs of rows; one that is damaged stays where it is, and holds up no other."""
    for row in rows:
        try:
            yield record_of(row)
        except JournalError as error:
            log.error("%s", error)


class PostgresJournal(SyncPostgresJournal, Journal):
    """The journal in one database, for one worker (its `owner`).

    `lost` is called with each job that turns out to be another owner's now, `refused` with each that may not be bought
    now, and why.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], pool: AsyncConnectionPool, owner: str | None
    ) -> None:
        super().__init__(connect)
        self.owner = owner
        self.lease = 10.0
        """Seconds for which it is taken for granted, before a request, that a job is still ours."""
        self.lost: Callable[[str], None] = lambda _: None
        self.refused: Callable[[str, Refusal], None] = lambda _, refusal: None
        self.price_of: Callable[[VideoJob], float | None] = lambda _: None
        self._intents: dict[str, float | None] = {}
        self._seen_prices: dict[str, float] = {}
        self._new_prices: dict[str, float] = {}
        self._parents: dict[str, dict[str, Record]] = {}
        self._sample: Record | None = None
        self._pool = pool
        self._mine: set[str] = set()
        self._known: dict[str, Record] = {}  # how jobs of ours stood when they were read or written last
        self._waiting: dict[str, Progress] = {}
        self._being_written: dict[str, Progress] = {}
        self._replaced: list[tuple[str, Attempt]] = []
        self._written = self._committed = 0
        self._sure_at = time.monotonic()
        self._step_noted = anyio.Event()
        self._commit_waiters: list[tuple[int, asyncio.Future[None]]] = []  # each with how much has to be committed

    @property
    def unwritten(self) -> int:
        """How many steps are noted and not yet committed."""
        return self._written - self._committed

    def adopt(self, job: VideoJob, progress: Progress) -> Record:
        if (record := self.find(job.id)) is not None:
            return record
        self.plan(job)
        self.step(job, progress)
        return Record(job, progress)

    def step(self, job: VideoJob, progress: Progress) -> None:
        """Note a job's progress, to be written next. See `synced`."""
        self._written += 1
        # Only the last of several waiting steps is written: an attempt that ended between two of them is kept here.
        if (before := self._waiting.get(job.id)) is not None and before.is_replaced_by(progress):
            self._replaced.append((job.id, before.attempt))
        self._waiting[job.id] = progress
        if progress.stage is Stage.SUBMITTING:
            self._intents[job.id] = price = self.price_of(job)
            self._see_price(job.model, price)
        elif progress.stage is Stage.RENDERING and progress.request_id is not None:
            self._sample = Record(job, progress)
        self._see_price(job.model, progress.cost_usd)
        self._step_noted.set()

    def _see_price(self, model: str, dollars: float | None) -> None:
        """Remember the highest price of a model, for its jobs whose own is not known."""
        # That one was charged nothing, as what fails is, says nothing of what the next one costs.
        if dollars is not None and dollars > self._seen_prices.get(model, 0.0):
            self._seen_prices[model] = self._new_prices[model] = dollars

    def accepted_sample(self) -> Record | None:
        return super().accepted_sample() if self.owner is None else self._sample

    async def read_sample(self) -> None:
        """Know a job that the service surely took, whichever worker submitted it."""
        if self._sample is None:
            async with pooled_connection(self._pool) as connection:
                self._sample = next(_undamaged(await (await connection.execute(SAMPLE)).fetchall()), None)

    async def price_what_was_bought(self) -> None:
        """Note the prices of jobs that were bought when nobody knew them, and whose cost is not known yet."""
        unpriced = f"{ROWS} WHERE price IS NULL AND cost_usd IS NULL AND counts IS NOT NULL"
        async with pooled_connection(self._pool) as connection:
            for job, _ in _undamaged(await (await connection.execute(unpriced)).fetchall()):
                if (dollars := self.price_of(job)) is not None:
                    note = "UPDATE aimlvideo_jobs SET price = %s WHERE id = %s AND price IS NULL"
                    await connection.execute(note, (dollars, job.id))

    async def synced(self) -> None:
        """Return when all steps noted before this call are committed, and what is ours was surely ours a moment ago."""
        written_before = self._written
        if self._committed < written_before:
            # Woken once, by the writing that covers it: one wake-up for each writing would be one and a half for a job.
            committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._commit_waiters.append((written_before, committed))
            await committed
        # A worker that was frozen wakes up believing that all is still its own: before a request leaves, the database
        # has to say so, within a third of the time after which others take over.
        while self.owner is not None and time.monotonic() - self._sure_at > self.lease:
            await self.verify()

    async def take(self, ids: Iterable[str]) -> list[Record]:
        """Make jobs ours, whoever had them, and return them as they stand."""
        names = list(ids)
        # What an earlier life of a job left to be written is refused before it is ours again. Nearly always there is
        # none, and a worker that waited for all other steps each time would take two thirds as many jobs a second.
        if any(name in self._waiting or name in self._being_written for name in names):
            await self.synced()
        async with pooled_connection(self._pool) as connection:
            rows = await (await connection.execute(TAKE, (self.owner, names))).fetchall()
            records = await self._read_parents(connection, list(_undamaged(rows)))
        if unreadable := sorted({*names} - {record.job.id for record in records}):
            log.error(UNREADABLE, ", ".join(unreadable))
        self._mine.update(row[0] for row in rows)
        self._known.update((record.job.id, record) for record in records)
        return records

    async def _read_parents(self, connection: Connection, records: list[Record]) -> list[Record]:
        """Read how those stand that jobs of ours take clips from: `find` gives them without a wait.

        Returns the jobs without those that take one from a damaged job.
        """
        chained = {
            job.id: names for job, progress in records if progress.stage is Stage.PLANNED and (names := parents(job))
        }
        if not chained:
            return records
        parent_ids = sorted(frozenset().union(*chained.values()))
        rows = await (await connection.execute(f"{ROWS} WHERE id = ANY(%s)", (parent_ids,))).fetchall()
        by_id = {record.job.id: record for record in _undamaged(rows)}
        damaged = {row[0] for row in rows} - by_id.keys()
        for child, names in chained.items():
            self._parents.pop(child, None)  # so that what was read last is found first
            self._parents[child] = {name: by_id[name] for name in names if name in by_id}
        return [record for record in records if damaged.isdisjoint(chained.get(record.job.id, ()))]

    def find(self, job_id: str) -> Record | None:
        """Return one job with its progress, or None; without a wait, where a job of ours takes a clip from it."""
        parent = next((some[job_id] for some in reversed(self._parents.values()) if job_id in some), None)
        return parent or super().find(job_id)

    def waits(self, job: VideoJob) -> bool:
        """Tell whether a job of ours takes a clip from one that had not ended when this one was taken."""
        return any(record.progress.stage not in ENDED for record in self._parents.get(job.id, {}).values())

    async def leave_in_doubt(self, ids: Iterable[str]) -> None:
        """Leave jobs in doubt that nobody can ask about to a person; they hold no place under the cap any more."""
        async with pooled_connection(self._pool) as connection:
            release = "UPDATE aimlvideo_jobs SET owner = NULL WHERE id = ANY(%s) AND owner = %s AND stage = 'in_doubt'"
            await connection.execute(release, (list(ids), self.owner))

    def let_go(self, ids: Iterable[str]) -> None:
        """Count jobs as ours no longer."""
        for name in ids:
            self._mine.discard(name)
            self._known.pop(name, None)
            self._parents.pop(name, None)

    async def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that may be repeated. Tries until there is an answer."""
        while True:
            try:
                with anyio.fail_after(PARTING):
                    async with pooled_connection(self._pool) as connection:
                        done = await connection.execute(statement, values)
                        return await done.fetchall() if done.description else []
            except AWAY as error:
                log.warning("the journal is away: %s", str(error) or NO_ANSWER)
                await anyio.sleep(AGAIN)

    async def verify(self) -> None:
        """Ask whether what is ours still is; name each that is not to `lost`. Tries until there is an answer."""
        while True:
            # The moment before the question counts, not that of the answer: what changes hands while it is on its way
            # is not known.
            began, names = time.monotonic(), list(self._mine)
            try:
                with anyio.fail_after(PARTING):
                    async with pooled_connection(self._pool) as connection:
                        ours = "SELECT id FROM aimlvideo_jobs WHERE id = ANY(%s) AND owner = %s"
                        rows = await (await connection.execute(ours, (names, self.owner))).fetchall()
                        gone = set(names) - {name for (name,) in rows}
                        gone -= await self.restore(connection, gone)
            except AWAY as error:
                log.warning("the journal is away: %s", str(error) or NO_ANSWER)
                await anyio.sleep(AGAIN)
                continue
            self._lose(gone)
            self._sure_at = began
            return

    async def restore(self, connection: Connection, names: Collection[str] | None = None) -> set[str]:
        """Write down again what the database has forgotten of jobs of ours that were begun; return which those were.

        A standby that takes the place of its primary lacks the last seconds, unless it is a synchronous one: such a job
        is planned there, in the queue, or not there at all, and would be bought again.
        """
        known = self._known.keys() if names is None else self._known.keys() & names
        begun = [name for name in known if self._known[name].progress.has_attempt]
        restored = set()
        # One by one, and of those alone: jobs may be large, with pictures in them, and hardly ever is one forgotten.
        for (name,) in await (await connection.execute(UNKNOWN, (begun,))).fetchall() if begun else ():
            job, progress = self._known[name]
            values = (self.owner, _json_text([_whole_row(job, progress, self.price_of(job))]))
            restored.update(await (await connection.execute(FORGOTTEN, values)).fetchall())
        if restored:
            log.warning(
                "the database had forgotten %d jobs that were begun, as a standby may that takes its primary's place: "
                "they are written down again", len(restored)
            )  # fmt: skip
        return {name for (name,) in restored}

    async def write(self) -> None:
        """Write what is noted, in groups, for as long as the journal is open."""
        while True:
            if not self._waiting:
                await self._step_noted.wait()
            await anyio.sleep(GATHER)
            self._step_noted = anyio.Event()
            # Taken together, without an await between: a step that is noted after this line is of the next group.
            steps, self._waiting, covered = self._waiting, {}, self._written
            self._being_written = steps
            replaced, self._replaced = self._replaced, []
            try:
                # Shielded: a statement that is cut off may have been committed or not, and the steps would be written
                # twice or never.
                with anyio.fail_after(PARTING, shield=True):
                    await self._flush(steps, replaced)
            except AWAY as error:
                log.warning("the journal is away: %s", str(error) or NO_ANSWER)
                self._take_back(steps, replaced)
                await anyio.sleep(AGAIN)
                continue
            except BaseException:
                self._take_back(steps, replaced)
                raise
            self._committed, self._being_written = covered, {}
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Wake whoever waited for what is committed now."""
        waiters, self._commit_waiters = self._commit_waiters, []
        for written, committed in waiters:
            if written > self._committed:
                self._commit_waiters.append((written, committed))
            elif not committed.done():
                committed.set_result(None)

    def _take_back(self, steps: dict[str, Progress], replaced: list[tuple[str, Attempt]]) -> None:
        """Let what could not be written wait again, before what has come meanwhile."""
        both = steps.keys() & self._waiting.keys()
        ended = (name for name in both if steps[name].is_replaced_by(self._waiting[name]))
        replaced += ((name, steps[name].attempt) for name in ended)
        self._waiting, self._replaced = steps | self._waiting, replaced + self._replaced

    async def _flush(self, steps: dict[str, Progress], replaced: list[tuple[str, Attempt]]) -> None:
        began = time.monotonic()
        intents = {name: self._intents.get(name) for name, progress in steps.items() if self._buys(progress)}
        async with pooled_connection(self._pool) as connection:
            for model, dollars in list(self._new_prices.items()):
                await connection.execute(SEE_PRICE, (_clean(model), dollars))
                if self._new_prices.get(model) == dollars:
                    del self._new_prices[model]
            # First the attempts that were replaced: an id that is only in memory after the new step is written would be
            # lost.
            for name, attempt in replaced:
                await connection.execute(REPLACED, (name, *map(_clean, attempt)))
            verdicts = await self._write_steps(connection, steps, intents)
            unwritten = steps.keys() - {name for name, *_ in verdicts}
            if restored := await self.restore(connection, unwritten - intents.keys()):
                verdicts += await self._write_steps(connection, {name: steps[name] for name in restored}, {})
        refusals = {
            name: Refusal(verdict, price, Standing(*sums)) for name, verdict, price, *sums in verdicts if verdict
        }
        for name in {name for name, *_ in verdicts} - refusals.keys():
            if name in self._known:
                self._known[name] = self._known[name]._replace(progress=steps[name])
        self._lose(unwritten - restored)
        self._sure_at = began
        for name in intents:
            self._intents.pop(name, None)
        for name, refusal in refusals.items():
            self.refused(name, refusal)

    async def _write_steps(
        self, connection: Connection, steps: Mapping[str, Progress], intents: Mapping[str, float | None]
    ) -> list[tuple[Any, ...]]:
        """Write steps; return a row for each that was written, and for each intent that was refused, with its verdict.

        One statement, which commits itself: the row of the account is never locked while a worker is waited for.
        """
        rows = _json_text([_row(name, progress, name in intents) for name, progress in steps.items()])
        if intents:
            values = (list(intents), list(intents.values()), self.owner, rows, self.owner)
            return await (await connection.execute(INTENTS, values)).fetchall()
        return await (await connection.execute(STEPS, (rows, self.owner, self.owner))).fetchall()

    def _buys(self, progress: Progress) -> bool:
        return progress.stage is Stage.SUBMITTING and self.owner is not None

    def _lose(self, names: Iterable[str]) -> None:
        for name in names:
            log.warning("job %s was given to another worker, or was answered with another job's generation", name)
            self._mine.discard(name)
            self.lost(name)


@asynccontextmanager
async def open_postgres_journal(dsn: str, owner: str | None = None) -> AsyncIterator[PostgresJournal]:
    """Give a journal that steps are written to. On leaving, the last ones are written. Raises JournalError."""
    with ExitStack() as stack:

        def connect() -> psycopg.Connection[Any]:
            return stack.enter_context(Database(dsn).sync_connection())

        async with Database(dsn).pool(size=3) as pool, task_group() as tasks:
            journal = PostgresJournal(connect, pool, owner)
            tasks.start_soon(journal.write)
            try:
                yield journal
            finally:
                # Shielded: a worker that is cancelled still writes down what it has paid for, but does not hang on a
                # dead database.
                with anyio.move_on_after(PARTING, shield=True):
                    await journal.synced()


def _row(name: str, progress: Progress, is_intent: bool) -> dict[str, Any]:
    """Return a step as `NEW_STEPS` reads it; what is not there is NULL."""
    columns = zip(PROGRESS_COLUMNS, columns_of(progress), strict=True)
    row: dict[str, Any] = {key: value for key, value in columns if value is not None}
    for key in BINARY:
        if key in row:
            # The steps travel as JSON, which has no bytes; this is PostgreSQL's own spelling of them.
            row[key] = "\\x" + row[key].hex()
    if is_intent:
        row["intent"] = True
    if (counts := Counts.of(progress)) is not None:
        row["counts"] = counts
    return {"id": name, **row}


def _whole_row(job: VideoJob, progress: Progress, price: float | None) -> dict[str, Any]:
    """Return a job with its progress as `FORGOTTEN` reads it."""
    content = {"folder": str(job.folder) if job.folder else None, "asked": job.content(), "price": price}
    return {**_row(job.id, progress, False), **content, "parents": sorted(parents(job)) or None}


def _json_text(rows: list[dict[str, Any]]) -> str:
    """Return rows as the text of one parameter, without what PostgreSQL's text and JSON cannot hold."""
    try:
        text = json.dumps(rows, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        text = "\\u0000"
    # Rare: only then is it worth to look at each value.
    if "\\u0000" in text:
        cleaned = [{key: _clean(value) for key, value in row.items()} for row in rows]
        text = json.dumps(cleaned, ensure_ascii=False)
    return text


def _clean(value: Any) -> Any:
    """PostgreSQL's text knows no NUL and no lone surrogates, its JSON no infinity; what a service says may have all."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.replace("\0", "").encode(errors="replace").decode() if isinstance(value, str) else value
