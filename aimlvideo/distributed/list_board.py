"""The board of a whole list: what all workers do, read from the database, for whoever opens the page."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import ENDED
from aimlvideo.distributed.shared_account import Account
from aimlvideo.errors import DatabaseAway
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from aimlvideo.views.report.board import Board, ChangeLog, live_page

READ_EVERY = 1.0
"""Seconds between two reads of what is under way."""
MOST_NEW = 2000
"""Jobs that come in between two reads, at most; where there are more, the page is loaded again."""

log = logging.getLogger("aimlvideo.board")


class _ListWatch:
    """Notes in `changes` which jobs of a list have changed since it was read last; `find` gives those.

    What is read are the jobs that are under way, those that were, and those that are new: by index, however long the
    list is. Where that does not explain how many have ended, `changes` has readers load the page again.
    """

    def __init__(self, dsn: str, changes: ChangeLog) -> None:
        self.account: Account | None = None
        self._dsn, self._changes = dsn, changes
        self._records: dict[str, Record] = {}
        self._under_way: dict[str, Progress] = {}
        self._ended = self._last = -1

    def find(self, job_id: str) -> Record | None:
        """Return a job that has changed of late, with its progress."""
        return self._records.get(job_id)

    def read(self) -> list[Record]:
        """Return the jobs that have changed since the last time; blocking. Raises DatabaseAway."""
        with open_sync_journal(self._dsn) as journal, journal.snapshot():
            self.account = Account.of(journal.account())
            under_way = {record.job.id: record for record in journal.begun_jobs()}
            formerly_under_way = [
                record for name in self._under_way.keys() - under_way.keys() if (record := journal.find(name))
            ]
            last, new = journal.newer_than(self._last, MOST_NEW)
        moved = [record for name, record in under_way.items() if self._under_way.get(name) != record.progress]
        is_first, ended = self._last < 0, self.account.jobs.get("saved", 0) + self.account.jobs.get("failed", 0)
        noted = sum(record.progress.stage in ENDED for record in (*formerly_under_way, *new))
        # A job may come in and end between two reads, or be tried again after it failed: the sum tells, at no cost.
        if not is_first and (ended != self._ended + noted or len(new) == MOST_NEW):
            self._changes.forget()
        self._under_way = {name: record.progress for name, record in under_way.items()}
        self._ended, self._last = ended, last
        return [] if is_first else [*new, *formerly_under_way, *moved]

    def note(self, records: list[Record]) -> None:
        """Note that these jobs have changed."""
        for record in records:
            self._records.pop(record.job.id, None)
            self._records[record.job.id] = record
            self._changes.changed(record.job.id)
        while len(self._records) > len(self._changes):
            del self._records[next(iter(self._records))]


@asynccontextmanager
async def open_list_board(
    dsn: str, folder: Path, status_line: Callable[[Account], str], *, host: str, port: int
) -> AsyncIterator[str]:
    """Serve the board of a list until the block is left; give its URL. The clips are those of a folder.

    Raises SettingsError where it cannot be served, DatabaseAway or JournalError where there is no list.
    """
    changes = ChangeLog()
    watch = _ListWatch(dsn, changes)

    def line() -> str:
        return status_line(watch.account) if watch.account else ""

    def page(number: int) -> str:
        with open_sync_journal(dsn) as journal:
            return live_page(folder, number, journal)

    async def follow() -> None:
        while True:
            await anyio.sleep(READ_EVERY)
            try:
                watch.note(await anyio.to_thread.run_sync(watch.read))
            except DatabaseAway as error:
                # The page keeps what it shows: a database that is restarted is no reason to take it away.
                log.warning("%s", error)

    await anyio.to_thread.run_sync(watch.read)
    board = Board(folder, watch, line, page=page, changes=changes)
    async with board.served(host, port, follow) as url:
        yield url
