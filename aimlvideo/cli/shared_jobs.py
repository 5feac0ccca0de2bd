"""Many machines from the command: make the tables, queue a file, work, drain, say where it stands."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from uuid import uuid4

import anyio

from aimlvideo.cli.cost_estimate import Tally
from aimlvideo.cli.generation_check import Settlement, completed_since
from aimlvideo.cli.job_reader import JobReader, ReaderOptions
from aimlvideo.cli.options import Address, ClientOptions, ServiceOptions
from aimlvideo.cli.run_summary import RunSummary, not_retried
from aimlvideo.cli.service_facts import NO_FACTS, ServiceFacts, learn_without_a_run
from aimlvideo.cli.session import serve_metrics
from aimlvideo.cli.signals import TOGETHER, in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import format_usd, pluralize
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.distributed.list_board import open_list_board
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.queue import JobQueue, enqueue_jobs, enqueue_stranded
from aimlvideo.distributed.shared_account import Account, AccountLimits
from aimlvideo.distributed.worker import Stopped, Worker
from aimlvideo.errors import InvalidJobs, UsageError
from aimlvideo.pipeline.retries import is_still_refused
from aimlvideo.shell import clock
from aimlvideo.shell.files.job_files import NO_DEFAULTS, JobDefaults, JobFile
from aimlvideo.shell.files.json_jobs import Line
from aimlvideo.shell.journal.base import SERVICE, UPLOAD, refuse_other_service
from aimlvideo.shell.journal.postgres_connection import (
    AWAY,
    Database,
    postgres_errors,
    resolved_dsn,
)
from aimlvideo.shell.journal.postgres_schema import init_tables
from aimlvideo.shell.journal.postgres_sync import NewJobs, SyncPostgresJournal, open_sync_journal
from aimlvideo.shell.state.catalog_cache import known_catalog
from aimlvideo.shell.task_groups import task_group

NO_LIMITS = AccountLimits()
RETRIED_AT_ONCE = 200
"""Failed jobs that are planned again and queued in one transaction."""
SAY_EVERY = 10.0
"""Seconds between two lines of a worker, where something happened."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What is needed before new jobs are queued: that the service takes them, and that a person agrees to the price."""

    facts: Callable[[], ServiceFacts] = lambda: NO_FACTS
    """Asks the service, once nothing is wrong with the file."""
    settings: ClientOptions | None = None
    """With these, what the service says of models and of the key counts."""
    anyway: bool = False
    confirm_above: float = inf

    def ask(self, new: NewJobs, tally: Tally, facts: ServiceFacts, terminal: Terminal) -> None:
        """Say what the new jobs of a file will cost, and ask where that is much. Raises UsageError after a no."""
        if not new.count:
            return
        if self.settings is not None:
            tally.summary(self.settings, facts).obstacles(facts).refuse(terminal, anyway=self.anyway)
        unpriced = f", plus {pluralize(new.unpriced, 'job')} of unknown price" if new.unpriced else ""
        price = "price unknown" if new.dollars is None else f"{format_usd(new.dollars)}{unpriced}"
        terminal.say(f"{pluralize(new.count, 'new job')}, {price}")
        # As before a run: an unknown price may be any.
        above = new.dollars is None or new.unpriced or new.dollars > self.confirm_above
        if above and self.confirm_above < inf and not terminal.confirm("go on?"):
            raise UsageError("not confirmed: nothing was queued")


NO_CONSENT = Consent()


class SharedJobs:
    """The jobs that many workers share, and what the commands do with them; where no database is named, an own one."""

    def __init__(self, dsn: str | None, terminal: Terminal) -> None:
        self._dsn, self._terminal = dsn, terminal

    @contextmanager
    def journal(self) -> Iterator[SyncPostgresJournal]:
        """Give the journal of the jobs. Raises JournalError where the database has none."""
        with resolved_dsn(self._dsn) as where, open_sync_journal(where) as journal:
            yield journal

    def init(self, limits: AccountLimits = NO_LIMITS) -> None:
        """Make the tables of the journal and of the engine, and set the limits that are given."""
        with resolved_dsn(self._dsn) as where:
            init_tables(where, lambda database: in_loop(_install(database)))
            account = in_loop(_set_limits(where, limits))
            self._terminal.say(f"the tables are ready; limits of the account: {account.limits}")

    def show_limits(self, limits: AccountLimits) -> None:
        """Set the limits that are given, for all workers at once, and show all of them."""
        with resolved_dsn(self._dsn) as where, open_sync_journal(where):
            self._terminal.say(str(in_loop(_set_limits(where, limits)).limits))

    def queue(
        self,
        name: str,
        options: ReaderOptions,
        *,
        retry_failed: bool,
        defaults: JobDefaults = NO_DEFAULTS,
        consent: Consent = NO_CONSENT,
    ) -> None:
        """Write all jobs of a file into the journal, nothing where anything is wrong, and queue them.

        Where the `consent` has settings, the service is asked for models that the catalogue does not know.
        """
        with JobFile(name).kept() as file:
            _check_file(file, options, consent.settings, defaults, self._terminal)
            reader = JobReader(known_catalog(), file.folder, options)
            self._queue_checked(file, reader, defaults, consent, retry_failed=retry_failed)

    def _queue_checked(
        self, file: JobFile, reader: JobReader, defaults: JobDefaults, consent: Consent, *, retry_failed: bool
    ) -> None:
        """Queue the jobs of a file that was read before; what the database has may be in their way still."""
        facts = consent.facts()
        tally = Tally(reader.catalog, facts.prices)
        queued = 0
        with resolved_dsn(self._dsn) as database, open_sync_journal(database) as journal:
            options, service = reader.options, reader.options.service
            # Before anybody is asked; and again, since another command may begin the list meanwhile.
            refuse_other_service(journal.fact(SERVICE), service)

            def queue(new: NewJobs) -> None:
                nonlocal queued
                consent.ask(new, tally, facts, self._terminal)
                refuse_other_service(journal.claim(SERVICE, service), service)
                for name, value in ((MATRIX, "yes" if options.matrix else None), (UPLOAD, options.upload)):
                    if value is not None:
                        journal.note(name, value)
                queued += enqueue_jobs(journal.db, new.ids)

            with file.lines(reader.catalog, defaults) as lines, journal.planning(queue):
                names = _plan(journal, reader, lines, tally)
                # By a connection of its own: the other one is copying.
                with open_sync_journal(database) as earlier:
                    reader.check_chains(lambda name: earlier.find(name) is not None)
                if reader.problems:
                    reader.say_remarks(self._terminal.remark)
                    raise InvalidJobs(reader.problems)
            retried, refused, unknown = _queue_failed(journal, consent.settings) if retry_failed else (0, 0, 0)
            # Also jobs that another command planned and died over: whatever was begun has a place in the queue.
            queued += retried + enqueue_jobs(journal.db, journal.begun_ids(), begun=True)
            queued += enqueue_stranded(journal.db, names)
        reader.say_remarks(self._terminal.remark)
        self._say_queued(queued, refused, unknown)

    def _say_queued(self, queued: int, refused: int, unknown: int) -> None:
        """Say how many jobs were queued, and of the failed ones how many were not and why."""
        self._terminal.say(f"{pluralize(queued, 'job')} queued")
        if refused:
            self._terminal.say(not_retried(refused))
        if unknown:
            self._terminal.problem(
                f"{pluralize(unknown, 'job')} not tried again: the service does not say at present, or not to this API "
                "key, whether it has completed the failed generation since, which would be bought twice. Give the "
                "command again later, with the key and the base URL of then"
            )

    def work(
        self,
        output: str,
        settings: ClientOptions,
        limits: AccountLimits,
        *,
        until_empty: bool = False,
        metrics: int | None = None,
    ) -> None:
        """Work until the worker is stopped, drained, or (where asked) the queue is empty.

        Raises what halted it, where it was ended otherwise.
        """

        async def run(where: str) -> Worker:
            opened = open_worker(where, output, settings, limits, until_empty=until_empty)
            async with opened as worker, task_group() as tasks:
                worker.on_result = self._terminal.result
                with serve_metrics(worker.metrics, metrics, self._terminal):
                    self._terminal.say(
                        f"worker {worker.registry.name} saves to {output}; all workers: {worker.account.limits}"
                    )
                    tasks.start_soon(_obey_signals, worker, self._terminal)
                    tasks.start_soon(_say_progress, worker, self._terminal)
                    await worker.run()
                    tasks.cancel_scope.cancel()
            self._terminal.say(f"worker {worker.registry.name} has ended: {_of_this_worker(worker)}")
            return worker

        with resolved_dsn(self._dsn) as where:
            try:
                halted = in_loop(run(where)).results.halted
            except AWAY as error:
                raise Database(where).error(error) from None
        if halted is not None and not isinstance(halted, Stopped):
            raise halted

    def drain(self) -> None:
        """Tell all workers to buy nothing more, to see through what they have, and to end."""
        with self.journal() as journal:
            journal.account()  # raises where there is none that could be drained
            with journal.db.transaction():
                # First, so that the moment is one after the wait for whoever is joining: it is drained too.
                journal.db.execute("SELECT FROM aimlvideo_account FOR UPDATE")
                journal.db.execute("UPDATE aimlvideo_account SET drained_at = clock_timestamp()")
        self._terminal.say("the workers buy nothing more; each exits when its outstanding generations have ended")

    def show_status(self) -> int:
        """Say where all jobs stand, and who works on them; return 0 all saved, 1 some failed, 3 unfinished."""
        with self.journal() as journal:
            account = Account.of(journal.account())
            summary = RunSummary.of_list(journal, account)
            summary.show(self._terminal)
            outstanding = f"{account.outstanding:,} outstanding, at most {account.room:,} at present"
            self._terminal.say(f"  limits of all workers: {account.limits}; {outstanding}")
            for name, age, in_hand in journal.workers():
                self._terminal.say(f"  worker {name}: {in_hand} in hand, last heartbeat {age:.0f} s ago")
        return summary.exit_code

    def serve_board(self, folder: Path, at: Address) -> None:
        """Serve the board of the whole list until a signal comes."""
        host, port = at

        async def serve(where: str) -> None:
            async with open_list_board(where, folder, _of_all, host=host, port=port) as url:
                self._terminal.say(f"the board is at {url}")
                if self._terminal.json:
                    self._terminal.value({"board": url})
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    async for _ in signals:
                        return

        with resolved_dsn(self._dsn) as where:
            in_loop(serve(where))

    def settle(
        self, job_id: str, generation: str | None, *, base_url: str | None = None, api_key: str | None = None
    ) -> None:
        """Settle a job in doubt: it has become `generation`, or (None) it was never accepted."""
        with self.journal() as journal:
            record = journal.find(job_id)
            if record is None:
                raise UsageError(f"there is no job {job_id!r} in this database")
            service = journal.fact(SERVICE) or DEFAULT_SERVICE
            settings = ServiceOptions(service=service, base_url=base_url, api_key=api_key).client_options()
            progress = Settlement.of(journal, record, generation).checked(settings, self._terminal)
            # Together: a job that is settled and not queued would be planned for ever.
            with postgres_errors(), journal.db.transaction():
                if not journal.settle(record, progress):
                    raise UsageError(
                        f"job {job_id!r} is being submitted, or has just moved on: check again with `status`"
                    )
                enqueue_jobs(journal.db, [job_id], begun=generation is not None, again=True)


def _check_file(
    file: JobFile,
    options: ReaderOptions,
    settings: ClientOptions | None,
    defaults: JobDefaults,
    terminal: Terminal,
) -> None:
    """Raise InvalidJobs for what is wrong with a file, as far as that can be said without the database.

    With `settings`, the service is asked for models that the catalogue does not know, and the file read once more.
    """
    reader = JobReader(known_catalog(), file.folder, options)
    reader.read_all(file, defaults)
    if settings is not None and learn_without_a_run(settings, reader.unknown_models):
        _check_file(file, options, None, defaults, terminal)
        return
    if reader.problems:
        reader.say_remarks(terminal.remark)
        raise InvalidJobs(reader.problems)


def _plan(journal: SyncPostgresJournal, reader: JobReader, lines: Iterator[Line], tally: Tally) -> list[str]:
    """Plan every job of a file at its price; return their ids. What is wrong is noted in `reader`."""
    names = []
    for place, job, params in reader.jobs(lines):
        try:
            names.append(journal.plan(job, distinct=True, price=tally.add(job.model, params)).job.id)
        except InvalidJobs as error:
            reader.problems += (replace(problem, where=place) for problem in error.problems)
    return names


def _queue_failed(journal: SyncPostgresJournal, settings: ClientOptions | None) -> tuple[int, int, int]:
    """Queue the failed jobs again; return how many, and how many not: refused by moderation, or nobody can be asked."""
    failed = list(journal.failed_jobs())
    allowed = [record for record in failed if not is_still_refused(record)]
    # Where the service can be asked: a generation that has completed since is not bought again.
    completed, unknown = completed_since(allowed, settings) if settings is not None else (set[str](), set[str]())
    retried = [record for record in allowed if record.job.id not in unknown]
    queued = 0
    for start in range(0, len(retried), RETRIED_AT_ONCE):
        # Together: a job that is planned anew and not queued would be so for ever. Few at once: meanwhile no worker
        # buys anything.
        some = retried[start : start + RETRIED_AT_ONCE]
        with postgres_errors(), journal.db.transaction():
            queued += enqueue_jobs(journal.db, journal.retry_failed(some, completed), again=True)
    return queued, len(failed) - len(allowed), len(unknown)


async def _install(dsn: str) -> None:
    async with JobQueue.open(dsn, uuid4()) as engine:
        await engine.install()


async def _set_limits(dsn: str, limits: AccountLimits) -> Account:
    async with Database(dsn).connection() as connection:
        return await limits.set(connection)


async def _say_progress(worker: Worker, terminal: Terminal) -> None:
    """Say now and then what this worker has done, and where the whole list stands."""
    before = ""
    while True:
        await anyio.sleep(SAY_EVERY)
        if (line := _of_this_worker(worker)) != before:
            terminal.say(f"this worker: {line}; {_of_all(worker.account)}")
            before = line


def _of_this_worker(worker: Worker) -> str:
    stages = worker.results.stats.stages
    away = f"; PostgreSQL is away ({' '.join(worker.away.split())})" if worker.away else ""
    return f"{stages[Stage.SAVED]} saved, {stages[Stage.FAILED]} failed, {len(worker.places)} in hand{away}"


def _of_all(account: Account) -> str:
    counts = ", ".join(f"{count:,} {stage.replace('_', ' ')}" for stage, count in account.jobs.items())
    clips = pluralize(account.unknown_costs, "clip")
    unknown = f", with the price of {clips} whose cost in USD nobody said" if account.unknown_costs else ""
    return f"all workers: {counts or 'no jobs'}, {format_usd(account.spent)} spent{unknown}"


async def _obey_signals(worker: Worker, terminal: Terminal) -> None:
    """Wind the worker down at the first SIGTERM or Ctrl-C, end it at the second, also where it was drained before."""
    first: float | None = None
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with task_group() as tasks:
            async for _ in signals:
                now = clock.loop()
                if first is None:
                    first = now
                    terminal.say("stopping: downloads are finished, the rest is left to other workers")
                    tasks.start_soon(worker.stop)
                elif now - first > TOGETHER:
                    raise KeyboardInterrupt
