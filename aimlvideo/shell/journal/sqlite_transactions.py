"""One SQLite connection of a journal: what one pass of the event loop writes is one transaction, one sync serves many.

A step is in the write-ahead log, and survives a killed process, when the pass of the event loop in which it was
written is over. That costs a killed process no more than the time that an answer waits to be read, and a third of
what a transaction for each step costs. What is synced before anything rests on it, or stands in the job file, waits up
to `LAZY_COMMIT` for the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio

from aimlvideo.errors import DiskFailed, VideoError
from aimlvideo.shell.journal.sqlite_file import (
    PASS_THROUGH,
    JournalFile,
    OpenFiles,
    sync,
)

LAZY_COMMIT = 0.05
"""Seconds within which a step is in the log on which nothing rests yet."""
GATHERING = 0.01
"""Seconds for which the first who wants a sync waits for others to share it."""


class GroupCommit:
    """Reads and writes. After a failure that may have lost something, every further write raises it again."""

    def __init__(self, file: JournalFile, connection: sqlite3.Connection, files: OpenFiles | None) -> None:
        self._file = file
        self._db = connection
        self._files = files
        self._written = self._synced = 0
        self._is_syncing = False
        self._sync_waiters: list[tuple[int, asyncio.Future[bool]]] = []  # each with how much has to be synced for it
        self._whole = False
        self._commit_scheduled = self._lazy_scheduled = False
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._broken: VideoError | None = None
        self._full: DiskFailed | None = None

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Return the rows of a question, also of what is not committed yet."""
        with self._file.errors():
            return self._db.execute(statement, values)

    def write(self, statement: str, values: tuple[Any, ...] = (), *, later: bool = False) -> None:
        """Write in the transaction of this pass of the event loop, or of a `later` one.

        Raises IntegrityError, DiskFailed, JournalError.
        """
        self._raise_if_broken()
        # Committed when this pass of the loop is over, not here: all steps of one pass share one transaction, and the
        # loop does not go on to another answer before they are in the log.
        try:
            self._put(statement, values)
        except PASS_THROUGH:
            raise
        except sqlite3.Error as error:
            self._retry_from_reserve(error)
            self._put(statement, values)
        finally:
            if self._db.in_transaction and not (
                self._commit_scheduled or self._whole or (later and self._lazy_scheduled)
            ):
                self._schedule_commit(later)

    def _put(self, statement: str, values: tuple[Any, ...]) -> None:
        if not self._db.in_transaction:
            # By hand, because the library's own transactions commit at statements that it does not know.
            self._db.execute("BEGIN")
        self._db.execute(statement, values)
        self._written += 1
        if not self._whole:
            self._pending.append((statement, values))

    def _retry_from_reserve(self, error: sqlite3.Error) -> None:
        """Write what this pass wrote once more, where the disk was full and the room kept for that is still there.

        From then on nothing is `synced` any more, so that nothing new is begun. Raises where it cannot be done.
        """
        failure = self._file.as_error(error)
        if self._whole or not isinstance(failure, DiskFailed) or not self._file.free_reserve():
            if self._pending and not self._whole:
                self._broken = failure  # SQLite may have taken back what others wrote in this pass
            raise failure from error
        self._full = failure
        # SQLite may have taken back the whole transaction or only the statement that failed: only a rollback makes sure
        # which, and then all of this pass is written again, in order.
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        again, self._pending = self._pending, []
        try:
            for statement, values in again:
                self._put(statement, values)
        except sqlite3.Error as again_full:
            self._broken = self._file.as_error(again_full)
            raise self._broken from again_full

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Write all that the block writes, or, where it raises, nothing. Inside another such block: as part of it."""
        if self._whole:
            yield
            return
        self.commit()
        self.read("BEGIN")
        self._whole = True
        try:
            yield
            with self._file.errors():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._whole = False

    async def synced(self) -> None:
        """Return when all that was written before this call survives a power cut. Many callers share one sync.

        Raises DiskFailed, then and ever after: what a failed sync left behind, a later one does not bring to disk.
        """
        written_before = self._written
        while self._synced < written_before and self._files is not None:
            if not self._is_syncing or await self._wait_for_sync(written_before):
                await self._sync(self._files)

    async def _sync(self, files: OpenFiles) -> None:
        """Bring what is written to disk; all who waited for it meanwhile wake in one pass of the event loop."""
        # A sync costs some milliseconds whatever it covers: the first who needs one waits a moment for others, and what
        # they have written by then is committed and synced with its own.
        self._is_syncing = True
        try:
            await anyio.sleep(GATHERING)
            self.commit()
            if self._full is not None:
                raise self._full
            # A deleted file still takes writes through its open descriptor: they would be "synced" to nowhere.
            files.check()
            covered = self._written
            await self._to_disk(files.wal)
            self._synced = covered
        finally:
            self._wake_waiters()

    async def _wait_for_sync(self, written: int) -> bool:
        """Return when this much is synced; True: the caller is to begin the next sync instead."""
        begins_next: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._sync_waiters.append((written, begins_next))
        try:
            return await begins_next
        except BaseException:
            # It may have been its turn in the very pass in which it was cancelled: the others would wait for ever.
            if not begins_next.cancelled() and begins_next.result():
                self._wake_waiters()
            raise

    def _wake_waiters(self) -> None:
        """Wake whoever the last sync has covered, and one of the others to begin the next: they sleep on until then."""
        self._is_syncing, waiters, self._sync_waiters = False, self._sync_waiters, []
        for written, begins_next in waiters:
            if begins_next.done():
                continue
            if written <= self._synced:
                begins_next.set_result(False)
            elif not self._is_syncing:
                # From now on, not from when it runs: whoever comes in between would begin a sync of its own.
                self._is_syncing = True
                begins_next.set_result(True)
            else:
                self._sync_waiters.append((written, begins_next))

    async def _to_disk(self, wal: int) -> None:
        try:
            with self._file.errors():
                await anyio.to_thread.run_sync(sync, wal)
        except VideoError as error:
            # The system may have dropped the pages that it could not write: a second fsync that succeeds proves
            # nothing.
            self._broken = error
            raise

    def commit(self) -> None:
        """Bring what was written into the log. Raises DiskFailed."""
        self._raise_if_broken()
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._retry_from_reserve(error)
            with self._file.errors():
                self._db.execute("COMMIT")
        self._pending.clear()

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _schedule_commit(self, later: bool) -> None:
        """Commit when this pass of the event loop is over, or a `later` one; at once where there is no event loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._commit_now()
            return
        if later:
            self._lazy_scheduled = True
            loop.call_later(LAZY_COMMIT, self._commit_later)
        else:
            self._commit_scheduled = True
            loop.call_soon(self._commit_now)

    def _commit_later(self) -> None:
        self._lazy_scheduled = False
        self._commit_now()

    def _commit_now(self) -> None:
        """Commit; a failure is raised to whoever writes next."""
        self._commit_scheduled = False
        if not self._whole:
            with suppress(VideoError, sqlite3.Error):
                self.commit()
