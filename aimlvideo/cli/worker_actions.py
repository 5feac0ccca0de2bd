"""Many machines from the command: make the tables, queue a file, work, drain, say where it stands."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import psycopg

from aimlvideo.cli.live_pages import serve_metrics
from aimlvideo.cli.options import ClientOptions
from aimlvideo.cli.plan import JobReader
from aimlvideo.cli.reconciliation import reconcile_jobs
from aimlvideo.cli.run_summary import settled_sentence, summarize
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import known_catalog
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.jobs.file_names import RESULTS
from aimlvideo.core.jobs.job import result_of
from aimlvideo.core.lost_submissions import settled
from aimlvideo.distributed.embedded_postgres import found_dsn
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.queue import open_queue
from aimlvideo.distributed.worker import Stopped, Worker, WorkerLimits, worker_metrics
from aimlvideo.errors import InvalidJobs, JournalError, UsageError
from aimlvideo.shell.files.job_files import base_folder, job_lines
from aimlvideo.shell.files.output_folders import checked_folder
from aimlvideo.shell.files.results_file import write_results
from aimlvideo.shell.journal.postgres import open_sync_journal
from aimlvideo.shell.journal.postgres_schema import AWAY, init_tables
from aimlvideo.shell.task_groups import task_group
from aimlvideo.views.report.report_file import write_report


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works, beside the client's settings. Seconds."""

    output: str
    cap: int
    rate: float
    poll_rate: float
    heartbeat: float
    until_empty: bool
    metrics: int | None


def init_database(dsn: str | None, terminal: Terminal) -> int:
    """Make the tables of the journal and of the engine; return the exit code."""
    with found_dsn(dsn) as where:
        init_tables(where)
        asyncio.run(_install(where))
        terminal.say("the tables are there")
    return 0


def queue_file(name: str, dsn: str | None, reader_of: dict[str, Any], terminal: Terminal, *, retry_failed: bool) -> int:
    """Write all jobs of a file into the journal, nothing where anything is wrong, and queue them; return the code."""
    catalog = known_catalog()
    reader = JobReader(catalog, folder=base_folder(name), **reader_of)
    with found_dsn(dsn) as database, open_sync_journal(database) as journal:
        if (begun := journal.fact("service") or reader.service) != reader.service:
            raise UsageError(f"these jobs were begun with --service {begun}: use that, or another database")
        journal.note("service", reader.service)
        with job_lines(name, catalog) as lines, journal.planning():
            for where, job, _ in reader.jobs(lines):
                try:
                    journal.plan(job, distinct=job.derived)
                except InvalidJobs as error:
                    reader.problems += (replace(problem, where=where) for problem in error.problems)
            if reader.problems:
                raise InvalidJobs(reader.problems)
        if retry_failed:
            journal.retry_failed()
        fresh = asyncio.run(_queue(database, journal.open_ids()))
    terminal.say(f"{pluralize(fresh, 'job')} queued")
    return 0


def work(dsn: str | None, options: WorkerOptions, settings: ClientOptions, terminal: Terminal) -> int:
    """Work until the worker is stopped, drained, or (where asked) the queue is empty; return the exit code."""

    async def run(where: str) -> Worker:
        terms = WorkerLimits(where, options.cap, options.heartbeat, options.until_empty)
        opened = open_worker(terms, options.output, settings, rate=options.rate, poll_rate=options.poll_rate)
        async with opened as worker, task_group() as tasks:
            with serve_metrics(lambda: worker_metrics(worker), options.metrics, terminal):
                tasks.start_soon(_obey_signals, worker, terminal)
                await worker.run()
        return worker

    with found_dsn(dsn) as where:
        try:
            halted = asyncio.run(run(where)).results.halted
        except AWAY as error:
            raise JournalError(f"the database cannot be reached: {error}") from error
    if halted is None or isinstance(halted, Stopped):
        return 0
    terminal.problem(str(halted))
    return 3


def start_draining(dsn: str | None, terminal: Terminal) -> int:
    """Tell all workers to take nothing more, to see through what they have, and to end; return the exit code."""
    with found_dsn(dsn) as where, open_sync_journal(where) as journal:
        journal.note("drain", str(time.time()))
    terminal.say("the workers take nothing more: each worker exits when its current jobs have finished")
    return 0


def show_status(dsn: str | None, terminal: Terminal) -> int:
    """Say where all jobs stand, and who works on them; return 0 all saved, 1 some failed, 3 unfinished."""
    with found_dsn(dsn) as where, open_sync_journal(where) as journal:
        summary = summarize(journal)
        for line in summary.lines():
            terminal.say(line)
        for name, age, in_hand in journal.workers():
            terminal.say(f"  worker {name}: {in_hand} in hand, heard of {age:.0f} s ago")
    return summary.exit_code


def write_page(folder: Path, dsn: str | None, terminal: Terminal) -> int:
    """Write `report.html` and `results.jsonl` of all jobs into the folder of the clips; return the exit code."""
    checked_folder(folder)
    with found_dsn(dsn) as where, open_sync_journal(where) as journal:
        path = write_report(folder, records=chain(journal.open_jobs(), journal.ended_jobs()))
        write_results(folder / RESULTS, (result_of(job, progress, folder) for job, progress in journal.ended_jobs()))
    terminal.say(f"the page is {path}: open it in a browser; what became of each job is in {folder / RESULTS}")
    return 0


def settle_job(job_id: str, generation: str | None, dsn: str | None, terminal: Terminal) -> int:
    """Settle a job in doubt: it has become `generation`, or (None) it was never accepted. Returns the exit code."""
    with found_dsn(dsn) as where, open_sync_journal(where) as journal:
        record = journal.find(job_id)
        if record is None:
            raise UsageError(f"there is no job {job_id!r} in this database")
        if not journal.settle(record, settled(record, generation)):
            raise UsageError(f"job {job_id!r} is being submitted, or has moved, just now: look again with status")
        asyncio.run(_queue(where, [job_id]))
    terminal.say(settled_sentence(job_id, generation))
    return 0


def reconcile_all(dsn: str | None, settings: ClientOptions, terminal: Terminal) -> int:
    """Say what all jobs really cost, and what does not match; return 1 where anything does not."""
    with found_dsn(dsn) as where, open_sync_journal(where) as journal:
        records = [*journal.ended_jobs(), *journal.open_jobs()]
    return reconcile_jobs(records, settings, terminal)


async def _install(dsn: str) -> None:
    async with open_queue(dsn, uuid4()) as engine:
        await engine.install()


async def _queue(dsn: str, names: Iterable[str]) -> int:
    try:
        async with open_queue(dsn, uuid4()) as engine:
            return await engine.put(names)
    except psycopg.Error as error:
        raise JournalError(f"the jobs are written down, and could not be queued: {error}. Run again") from error


async def _obey_signals(worker: Worker, terminal: Terminal) -> None:
    """Wind the worker down at the first SIGTERM or Ctrl-C, end it at the second."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with task_group() as tasks:
            async for _ in signals:
                if worker.winding_down and worker.results.halted is not None:
                    raise KeyboardInterrupt
                terminal.say("stopping: downloads are seen through, the rest is left to other workers")
                tasks.start_soon(worker.stop)
