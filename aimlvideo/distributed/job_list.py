"""JobList: an application adds jobs to the list that workers share, and follows them; it buys nothing itself."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Self, overload

import anyio
from psycopg_pool import AsyncConnectionPool

from aimlvideo.core.arguments import check_argument
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.references import check_with_references
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.jobs.chains import chain_problems
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import is_writable
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.services import DEFAULT_SERVICE, service_of
from aimlvideo.distributed.queue import enqueue_jobs, enqueue_stranded
from aimlvideo.distributed.shared_account import Account
from aimlvideo.errors import (
    DatabaseAway,
    InDoubt,
    InvalidJobs,
    JournalError,
    Problem,
    SettingsError,
    UsageError,
    VideoError,
)
from aimlvideo.pipeline.job_sources import job_of_mapping
from aimlvideo.shell import clock
from aimlvideo.shell.files.media import local_files_of
from aimlvideo.shell.journal.base import SERVICE, refuse_other_service
from aimlvideo.shell.journal.postgres_connection import (
    AGAIN,
    AWAY,
    Connection,
    Database,
    pooled_connection,
    postgres_errors,
)
from aimlvideo.shell.journal.postgres_sync import NewJobs, open_sync_journal, read_records
from aimlvideo.shell.state.catalog_cache import known_catalog

FIRST, LONGEST, GROWTH = 0.1, 2.0, 1.5
"""Seconds between two queries: at first, and at most; and the factor by which they grow while nothing ends."""
PAGE = 1000
"""Jobs that are read with one statement, or checked before others have their turn."""
UNKNOWN = """
    SELECT name FROM unnest(%s::text[]) name WHERE NOT EXISTS (SELECT FROM aimlvideo_jobs WHERE id = name) LIMIT 1
"""
log = logging.getLogger("aimlvideo.jobs")

Job = VideoJob | Mapping[str, Any]


class _EndWatch:
    """Tells any number of tasks when jobs have ended. `read` returns the results of those among some ids that have."""

    def __init__(self, read: Callable[[list[str]], Awaitable[list[Result]]]) -> None:
        self._read = read
        self._waiters: Counter[str] = Counter()
        self._unread: set[str] = set()
        self._results: dict[str, Result] = {}
        self._lock = anyio.Lock()
        self._pause = FIRST
        self._next_at = 0.0

    @contextmanager
    def waiting(self, ids: Collection[str]) -> Iterator[None]:
        """Watch these jobs until the block is left."""
        self._waiters.update(ids)
        self._unread.update(name for name in ids if name not in self._results)
        try:
            yield
        finally:
            self._waiters.subtract(ids)
            for name in ids:
                # Counted: several callers may wait for one job, and the first to leave must not take the result from
                # the others.
                if self._waiters[name] <= 0:
                    del self._waiters[name]
                    self._results.pop(name, None)
                    self._unread.discard(name)

    async def ended(self, ids: Collection[str]) -> list[Result]:
        """Return the results of those among these jobs that have ended, as soon as there is one."""
        while True:
            async with self._lock:  # whoever comes first asks for all; the others find the answer
                now = clock.loop()
                if now >= self._next_at:
                    await self._ask(list(self._waiters), now)
                elif self._unread:
                    await self._ask(list(self._unread), now)
            if results := [self._results[name] for name in ids if name in self._results]:
                return results
            await anyio.sleep_until(self._next_at)

    async def _ask(self, ids: list[str], now: float) -> None:
        is_new = bool(self._unread)
        self._unread.clear()
        results = await self._read([name for name in ids if name not in self._results])
        self._results.update((result.job.id, result) for result in results if result.job.id in self._waiters)
        self._pause = FIRST if results or is_new else min(self._pause * GROWTH, LONGEST)
        self._next_at = now + self._pause


class JobList:
    """The job list in a database, for an application whose workers are other processes.

        async with JobList("postgresql://host/clips") as jobs:
            job_id = await jobs.add({"model": MODEL, "prompt": "..."})
            async for result in jobs.results():
                print(result.job.id, result.stage)

    `output` is the workers' folder, where this machine has it: results then have a `path`. With `local_files=False` a
    job that names a file of this machine is refused, as where strangers write jobs: give the workers
    `--no-local-files` as well. Any number of tasks may use one list at a time.

    Raises UsageError, JournalError or DatabaseAway.
    """

    def __init__(
        self,
        dsn: str,
        *,
        service: str = DEFAULT_SERVICE,
        output: str | Path | None = None,
        strict: bool = False,
        local_files: bool = True,
    ) -> None:
        check_argument("dsn", dsn, str, "text, as postgresql://USER@HOST/NAME")
        if not dsn.strip() or not dsn.isprintable():
            # An empty one would be this machine's own database, whatever that is.
            raise UsageError("dsn is empty or no text that can be written: expected postgresql://USER@HOST/NAME")
        check_argument("output", output, str | PathLike | None, "the name of a folder, or None")
        check_argument("strict", strict, bool, "True or False")
        check_argument("local_files", local_files, bool, "True or False")
        service_of(service)
        self._dsn, self._service, self._strict, self._local_files = dsn, service, strict, local_files
        self._folder = None if output is None else Path(output)
        self._added: dict[str, None] = {}
        self._watch = _EndWatch(self._ended)
        self._stack: AsyncExitStack | None = None
        self._pool: AsyncConnectionPool | None = None

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._check)
        self._catalog: Catalog = known_catalog()
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(Database(self._dsn).pool(size=4, checked=True))
            # Here and not before: another task may have opened it meanwhile.
            if self._stack is not None:
                raise SettingsError("this job list is open already: expected one `async with`, around all that uses it")
            self._pool, self._stack = pool, stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    @overload
    async def add(self, jobs: str, **params: Any) -> str: ...
    @overload
    async def add(self, jobs: Job) -> str: ...
    @overload
    async def add(self, jobs: Iterable[Job]) -> list[str]: ...
    async def add(self, jobs: str | Job | Iterable[Job], **params: Any) -> str | list[str]:
        """Queue one job (or, by a model and its parameters, `add(MODEL, prompt=...)`), or many; return the id, or ids.

        All of them or none: raises InvalidJobs with every problem. A job that is there already stays as it is, so the
        same call again buys nothing twice.
        """
        self._open_pool()
        if isinstance(jobs, str):
            return (await self._add([VideoJob(jobs, **params)]))[0]
        if params:
            # Left out, they would not be missed before the clip is paid for.
            raise UsageError(f"{', '.join(params)} stands beside a job: expected it in the job, or after a model's id")
        if isinstance(jobs, VideoJob | Mapping):
            return (await self._add([jobs]))[0]
        check_argument("jobs", jobs, Iterable, "a model's id, a VideoJob, a dict, or a list of jobs")
        return await self._add(jobs)

    async def results(self, ids: Iterable[str] | None = None) -> AsyncIterator[Result]:
        """Give the results of jobs as they end: of those that this object has added, or of these ids.

        Of those that it has added, the ones that are not given yet when the loop begins. It ends when all of them have
        ended. A failed job is a value, and so is one that only a person can settle.
        Raises UsageError for an id that the list does not have: nothing would ever come of it.
        """
        self._open_pool()
        if ids is not None:
            check_argument("ids", ids, Iterable, "a list of the ids of jobs, or None")
            ids = list(ids)
            await self._refuse_unknown(ids)
        # A dictionary for its order and for its quick removal; its values mean nothing.
        waiting = dict.fromkeys(self._added if ids is None else ids)
        while waiting:
            with self._watch.waiting(list(waiting)):
                results = await self._watch.ended(waiting)
            for result in results:
                del waiting[result.job.id]
                if ids is None:
                    self._added.pop(result.job.id, None)
                yield result

    async def wait(self, job_id: str) -> Result:
        """Return what came of one job, when it has ended."""
        async for result in self.results([job_id]):
            return result
        raise VideoError(f"job {job_id!r} has no result")

    async def status(self, job_id: str) -> Result | None:
        """Return where a job stands, None where there is none of this id."""
        check_argument("job_id", job_id, str, "the id of a job, as text")
        async with self._connection() as connection:
            records = await read_records(connection, [job_id] if _can_be_kept(job_id) else [])
        return next((Result.of(job, progress, self._folder) for (job, progress), _ in records), None)

    async def account(self) -> Account:
        """Return what is true of the whole list: its limits, how many jobs stand where, what was spent."""
        async with self._connection() as connection:
            return await Account.read(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Give a connection for one question. Raises DatabaseAway or JournalError where it is not answered."""
        with postgres_errors():
            async with pooled_connection(self._open_pool()) as connection:
                yield connection

    async def _refuse_unknown(self, ids: list[str]) -> None:
        for name in ids:
            check_argument("an id in ids", name, str, "the id of a job, as text")
            if not _can_be_kept(name):
                raise UsageError(f"there is no job {name!r} in this list")
        # A database that is away for a moment ends no waiting, so neither does it here.
        with suppress(DatabaseAway):
            async with self._connection() as connection:
                row = await (await connection.execute(UNKNOWN, (ids,))).fetchone()
            if row is not None:
                raise UsageError(f"there is no job {row[0]!r} in this list")

    async def _add(self, jobs: Iterable[Job]) -> list[str]:
        checked: list[VideoJob] = []
        problems: list[tuple[int, Problem]] = []
        for number, given in enumerate(jobs, 1):
            try:
                job = given if isinstance(given, VideoJob) else job_of_mapping(given)
                checked.append(job)
                found = self._problems(job)
            except InvalidJobs as error:
                found = error.problems
            problems += [(number, problem) for problem in found]
            if not number % PAGE:
                await anyio.lowlevel.checkpoint()
        if problems:
            # Many jobs may have no id, and a cause is said once for all that have it.
            where = "job number {}" if number > 1 else ""
            raise InvalidJobs([replace(problem, where=where.format(place)) for place, problem in problems])
        # In a thread, over a connection that blocks: one way to plan jobs, which the command takes too.
        ids = await anyio.to_thread.run_sync(self._plan, checked)
        self._added.update(dict.fromkeys(ids))
        return ids

    def _problems(self, job: VideoJob) -> Sequence[Problem]:
        """Return what is wrong with a job. Raises InvalidJobs where that is all that can be said of it."""
        validated = check_with_references(job, self._catalog, service=self._service, strict=self._strict)
        model = model_of(job, self._catalog, self._service)
        if self._local_files or not isinstance(model, Model):
            return validated.problems
        return [*validated.problems, *local_files_of(job.with_params(validated.params), model)]

    def _plan(self, jobs: list[VideoJob]) -> list[str]:
        """Write jobs down and queue them in one transaction, over a connection that blocks: in a thread."""
        with open_sync_journal(self._dsn) as journal:

            def queue(new: NewJobs) -> None:
                refuse_other_service(journal.claim(SERVICE, self._service), self._service)
                enqueue_jobs(journal.db, new.ids)

            if problems := list(chain_problems(jobs, lambda name: journal.find(name) is not None)):
                raise InvalidJobs(problems)
            with journal.planning(queue):
                ids = [journal.plan(job, distinct=True).job.id for job in jobs]
            enqueue_stranded(journal.db, ids)
            return ids

    def _check(self) -> None:
        with open_sync_journal(self._dsn):
            pass

    async def _ended(self, ids: list[str]) -> list[Result]:
        """Return the results of those that have ended; tries until there is an answer."""
        while True:
            try:
                async with pooled_connection(self._open_pool()) as connection:
                    pages = [
                        await read_records(connection, ids[start : start + PAGE], ended=True)
                        for start in range(0, len(ids), PAGE)
                    ]
            except AWAY as error:
                # Whoever waits for hours does not want to hear of a database that was restarted.
                log.warning("%s", Database(self._dsn).error(error))
                await anyio.sleep(AGAIN)
                continue
            return [self._result(job, progress) for page in pages for (job, progress), _ in page]

    def _result(self, job: VideoJob, progress: Progress) -> Result:
        if progress.stage is Stage.IN_DOUBT and not isinstance(progress.error, JournalError):
            why = f"job {job.id!r} may have been accepted, and the service cannot be asked: settle it with `resolve`"
            progress = progress._replace(error=InDoubt(why, request_id=progress.request_id))
        return Result.of(job, progress, self._folder)

    def _open_pool(self) -> AsyncConnectionPool:
        if self._stack is None or self._pool is None:
            raise SettingsError("this job list is not open: use `async with JobList(dsn) as jobs:`")
        return self._pool


def _can_be_kept(name: str) -> bool:
    """Tell whether the database can hold a text: one that cannot is no job's id, and no fault of the database."""
    return "\0" not in name and is_writable(name)
