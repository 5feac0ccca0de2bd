"""A copy of the database that was put back is older than what was bought since, and would have it bought again.

When the account submitted last is on the row of its rate, by the database's clock, and only ever grows. Workers note
that moment beside the clips as well, where a backup of the database does not reach.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from aimlvideo.errors import JournalError, SettingsError
from aimlvideo.shell.files.object_stores import ClipStore
from aimlvideo.shell.journal.postgres_connection import Connection, required_row

TOKEN = ".aimlvideo-list"
"""The mark of a job list in the place of its clips, where all workers save: its first line is the list's, and the
second the moment of the last submission that was noted."""
LAST_SUBMISSION = "SELECT due FROM aimlvideo_rate"
LAG = timedelta(seconds=10)
"""By how much a standby may be behind the primary whose place it takes: those at work write what it lacks."""

log = logging.getLogger("aimlvideo.worker")


@dataclass(eq=False)
class DatabaseCopyCheck:
    """One worker's look at whether the database is the one that the account's submissions were written into."""

    store: ClipStore
    token: str
    _last: datetime | None = None

    async def begin(self, connection: Connection) -> None:
        """Return where the database knows what was submitted of these clips before. Raises JournalError."""
        _, noted = await self.read_note(self.store)
        last = await _last_submission(connection)
        if noted is not None and last < noted:
            raise self._older(last, noted)
        self._last = last

    async def go_on(self, connection: Connection) -> None:
        """Note when the account submitted last. Raises JournalError where the database has forgotten submissions."""
        last, before = await _last_submission(connection), self._last
        if before is not None and last < before - LAG:
            raise self._older(last, before)
        if before is None or last > before:
            try:
                await self.store.replace_text(TOKEN, f"{self.token}\n{last.isoformat()}\n")
            except (OSError, SettingsError) as error:
                log.warning("%s", error)
                return
            self._last = last

    @staticmethod
    async def read_note(store: ClipStore) -> tuple[str | None, datetime | None]:
        """Return the token of the list whose clips are here, and when something was submitted last, where noted."""
        token, _, noted = (await store.read_text(TOKEN) or "").partition("\n")
        try:
            moment = datetime.fromisoformat(noted.strip())
        except ValueError:
            moment = None
        return token.strip() or None, moment if moment and moment.tzinfo else None

    def _older(self, last: datetime, noted: datetime) -> JournalError:
        return JournalError(
            f"this database is an older copy: something was submitted at {noted:%Y-%m-%d %H:%M:%S %z}, and it knows of "
            f"nothing after {last:%Y-%m-%d %H:%M:%S %z}, so what is paid for would be bought again. Put the newest one "
            f"back; or see with `aimlvideo reconcile` what it lacks, and then remove the second line of {TOKEN} in "
            f"{self.store}"
        )


async def _last_submission(connection: Connection) -> datetime:
    row = await (await connection.execute(LAST_SUBMISSION)).fetchone()
    moment: datetime = required_row(row, "aimlvideo_rate")[0]
    return moment
