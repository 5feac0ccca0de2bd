"""The file of a journal: made whole or not at all, checked before it is believed, and for one writer at a time."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aimlvideo.core.formatting import command_line
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS, is_clip_journal
from aimlvideo.errors import DiskFailed, JournalError, VideoError
from aimlvideo.shell.descriptors import NO_ROOM, UNSUPPORTED, are_exhausted, write_failure_advice
from aimlvideo.shell.journal.sqlite_schema import APPLICATION, VERSION, migrate, wrong_value

RESERVE = 4 * 2**20
"""Bytes kept on the disk for the last steps of a run on a disk that fills up."""

PASS_THROUGH = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
"""Conflicts that the writer handles, and mistakes of ours: these stay what they are."""

log = logging.getLogger("aimlvideo")

MAGIC = b"SQLite format 3\0"
"""How every SQLite file begins."""

_held_here: list[Path] = []
"""The journals that this process holds now."""
_OPEN = "INSERT OR REPLACE INTO facts VALUES ('unclosed', '')"
_CLOSED = "DELETE FROM facts WHERE name='unclosed'"


class JournalFile(NamedTuple):
    """The file of one journal, by its path, and the files beside it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def wal(self) -> Path:
        """SQLite's write-ahead log, which has the last steps."""
        return self._beside("-wal")

    @property
    def rescued(self) -> Path:
        """Where a journal is written back to whose name another file has."""
        return self._beside(".rescued")

    @property
    def moved(self) -> Path:
        """The word that a run left where its journal had been."""
        return self._beside(".moved")

    @property
    def _reserve(self) -> Path:
        return self._beside(".reserve")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold it for this process alone; the lock of a process that died holds nobody up. Raises JournalError."""
        with warnings.catch_warnings(action="ignore"):  # without locks of the system's it warns, and takes a file
            from filelock import FileLock, Timeout  # noqa: PLC0415 - 10 ms that only whoever writes a journal needs

        lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        try:
            # A lock of the system's, not a file with a process id: it is gone with the process, however that ended.
            lock.acquire(timeout=0)
        except Timeout:
            raise JournalError(self._in_use_message()) from None
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            reason = getattr(error, "strerror", None) or error
            if getattr(error, "errno", None) in (errno.ENOLCK, *UNSUPPORTED):
                raise self._unfit_folder(f"has no locks ({reason})") from error
            # After a run of another user, as by `sudo`, the lock is that user's alone, whose-ever the folder is.
            held = self._beside(".lock")
            place = held if isinstance(error, PermissionError) and os.path.exists(held) else self.path.parent
            expected = "; expected the user whose run it is, or permission to write it" if place == held else ""
            raise JournalError(f"{place} cannot be written: {reason}{expected}") from error
        place = self.path.absolute()
        _held_here.append(place)
        try:
            yield
        finally:
            _held_here.remove(place)
            lock.release()

    @contextmanager
    def opened_to_write(self, *, create: bool) -> Iterator[tuple[sqlite3.Connection, OpenFiles]]:
        """Give a connection to a whole journal, and its open files. Raises JournalError or DiskFailed."""
        with self.errors(), ExitStack() as undo:
            if not self.path.exists():
                self._create(beside_results=create)
            descriptors: list[int] = []
            undo.callback(self.free_reserve)
            undo.callback(_close_all, descriptors)
            _create_file(self._reserve, RESERVE)
            connection = self._connect()
            undo.callback(self.close, connection)
            for file, flags in ((self.path, os.O_RDONLY), (self.wal, os.O_RDWR)):
                descriptors.append(os.open(file, flags))
            # Synced through a descriptor of our own: SQLite has no call that syncs its log without a checkpoint.
            sync(descriptors[-1])
            files = OpenFiles(self, *descriptors)
            if not files.is_in_place():
                # Some mounts (FUSE) number a file anew each time: nothing tells it from another one, not even SQLite.
                raise self._unfit_folder("gives an open file another number than its name")
            undo.pop_all()
        try:
            yield connection, files
        finally:
            try:
                files.end(connection)
            finally:
                # After the connection: to close any descriptor of a file drops SQLite's locks on it.
                files.close()
                self.free_reserve()

    @contextmanager
    def opened_to_read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that cannot write, also while a run does. Raises JournalError."""
        if not self.path.is_file():
            self._refuse_moved()
            raise JournalError(f"there is no journal at {self.path}: expected the output folder of a run")
        had_wal = self._has_wal()
        with self.errors():
            open_reader = self._archive_reader if not self._may_write() else self._tidy_reader
            connection = self._reader() if had_wal else open_reader()
        try:
            with self.errors():
                self._check(connection, had_wal=had_wal)
                connection = _up_to_date(connection)
                self._check_values(connection)
            yield connection
        finally:
            connection.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite and the disk raise into our errors."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last, where SQLite quotes damage
            if isinstance(error, PASS_THROUGH):
                raise
            raise self.as_error(error) from error

    def as_error(self, error: Exception) -> VideoError:
        """Return our error for one of SQLite's or the disk's."""
        message = getattr(error, "strerror", None) or str(error)
        shares_nothing = getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_SHMMAP"  # not where a disk is full
        if shares_nothing or getattr(error, "errno", None) in UNSUPPORTED:
            return self._unfit_folder(f"cannot {'share memory' if shares_nothing else 'sync a file'} ({message})")
        no_files = are_exhausted(error)
        if no_files or getattr(error, "errno", None) in NO_ROOM or "is full" in message or "disk I/O" in message:
            tried = "opened" if no_files else "written"
            return DiskFailed(f"the journal {self} cannot be {tried}: {message}. {write_failure_advice(error)}")
        if "malformed" in message or "no such" in message or "could not decode" in message.lower():
            return JournalError(self.damaged(message))
        if self.path.is_dir():
            return JournalError(
                f"{self} is a folder, expected the file of a run's journal: move it away, then run again"
            )
        if isinstance(error, sqlite3.OperationalError | OSError):
            if "is locked" in message:
                message += ": close the other program that has it open, then run again"
            if os.access(self.path, os.F_OK) and not os.access(self.path, os.R_OK):  # SQLite does not say so
                message = "this user may not read it: expected the user whose run it is, or permission to read"
            return JournalError(f"the journal {self} cannot be used: {message}")
        return JournalError(self.damaged(message))

    def _unfit_folder(self, why: str) -> JournalError:
        """Return what to say of a file system that lacks what a journal needs, as some shares and cloud drives do."""
        # In another folder alone, what was begun in this one would be bought anew.
        instead = "copy this one there, and go on with that" if self.path.exists() else "copy the clips here afterwards"
        return JournalError(
            f"{self.path.parent} cannot hold a journal: its file system {why}. Expected a folder on a disk of this "
            f"machine, or on a share that is mounted with locks: {instead}"
        )

    def damaged(self, why: str) -> str:
        """Return what is wrong with a journal that cannot be read, and what to do."""
        if self.rescued.exists():
            return (
                f"the journal {self} is damaged ({why}) and is not touched. {self.rescued.name} beside it has what "
                f"the last run held: move {self.path.name} away, and that file to its place"
            )
        if self.path.name != JOURNAL:
            return (
                f"the journal {self} is damaged ({why}) and is not touched. If its last run named a generation, fetch "
                f"it with `{command_line('adopt', 'FOLDER', 'GENERATION')}`; then move {self.path.name} away"
            )
        return (
            f"the journal {self} is damaged ({why}) and is not touched. Make a copy of {self.path.parent}, move "
            f"{self.path.name} away, then bring back the ids with `{command_line('recover', self.path.parent)}`"
        )

    def remove(self, is_needless: Callable[[], bool]) -> None:
        """Take the journal away, with all that is beside it, where it is needless.

        Not one that another process has: that one was refused the journal which it now buys by.
        """
        lock = self._beside(".lock")
        with suppress(JournalError), self.lock():
            if not is_needless():
                return
            for file in (self.path, self.wal, self._beside("-shm")):
                file.unlink(missing_ok=True)
            with suppress(PermissionError):  # on Windows an open file has to be closed first
                lock.unlink(missing_ok=True)
        if os.name == "nt":
            with suppress(PermissionError):
                lock.unlink(missing_ok=True)

    def free_reserve(self) -> bool:
        """Free the room that is kept on the disk for the last steps of a run; False where it is gone already."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def close(self, connection: sqlite3.Connection) -> None:
        """Close a journal; one that cannot be marked as closed keeps its write-ahead log."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute(_CLOSED)
            connection.close()
        except sqlite3.Error:
            self._close_keeping_log(connection)

    def _close_keeping_log(self, connection: sqlite3.Connection) -> None:
        """Close a journal whose mark says that its run has not ended, so that its write-ahead log stays beside it."""
        # The last connection to close deletes the log. A reader that is still open keeps it, and with it the steps that
        # could not be brought into the file: a full disk loses nothing.
        try:
            with suppress(sqlite3.Error), closing(self._reader()) as keeper:
                keeper.execute("SELECT count(*) FROM facts").fetchone()
                connection.close()
        finally:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        had_wal = self._has_wal()
        # Absolute: SQLite takes a relative path such as file:x/journal.sqlite3 for a URI.
        connection = sqlite3.connect(self.path.absolute(), isolation_level=None, cached_statements=64)
        try:
            self._check(connection, had_wal=had_wal)
            if (mode := connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]) != "wal":
                raise self._unfit_folder(f"gives SQLite {mode!r}, not 'wal'")
            # NORMAL syncs nothing at a commit: a killed process loses nothing, a power cut what `synced` did not wait
            # for. FULL would sync at each commit, 30 times dearer, where only the intent to buy has to be on disk.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA checkpoint_fullfsync=ON")  # macOS: see `sync`
            migrate(connection)
            self._check_values(connection)
            connection.execute(_OPEN)
            # A copy without its -wal shall say that it is one.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except BaseException:
            self._close_keeping_log(connection) if self._has_wal() else connection.close()
            raise
        return connection

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)

    def _tidy_reader(self) -> sqlite3.Connection:
        """Return a reader that takes the -wal and -shm, which SQLite makes for it, away again when it is closed.

        Only one that may write can do that; where a log was there before, it is somebody's, and must stay.
        """
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("PRAGMA schema_version")
        except sqlite3.OperationalError as error:
            connection.close()
            # On a full disk SQLite can make no file: what needs none is read all the same.
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
                raise
            return self._archive_reader()
        except BaseException:
            connection.close()
            raise
        return connection

    def _may_write(self) -> bool:
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    def _archive_reader(self) -> sqlite3.Connection:
        """Return a reader of one that nobody writes to, and that this user cannot: SQLite makes no file for it."""
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)

    def _create(self, *, beside_results: bool) -> None:
        """Make an empty journal beside its place and move it there, so that there is never half of one."""
        if not beside_results:
            self._refuse_missing_journal()
        # Of a journal that was moved away: SQLite would write them into the new one.
        for ending in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{ending}", f"{self.path}{ending}.old")
        part = self.path.with_name(self.path.name + ".new")
        _create_file(part)
        with part.open("r+b") as file:
            file.write(_empty_journal())
            file.flush()
            sync(file.fileno())
        part.replace(self.path)
        # The rename itself is in the folder: without this a power cut can take the new journal's name away again.
        _sync_folder(self.path.parent)

    def _refuse_moved(self) -> None:
        """Raise JournalError where a run left word that its journal was moved."""
        if self.moved.is_file():
            place = Path(self.moved.read_text(errors="surrogateescape"))
            raise JournalError(
                f"the journal {self} was moved to {place} while its run went on, and clips are paid for: go on "
                f"with {place.parent}. To begin anew here, delete {self.moved}"
            )

    def _refuse_missing_journal(self) -> None:
        """Raise JournalError where something of a run is here and its journal is not."""
        self._refuse_moved()
        # One clip may be made into the folder of a run: the results there are not its own.
        results = () if is_clip_journal(self.path.name) else (self.path.with_name(RESULTS),)
        for trace in (*results, self.wal):
            if trace.exists():
                raise JournalError(
                    f"found {trace} but not {self.path.name}: clips may already be paid for. "
                    f"Restore the journal, or run `{command_line('recover', self.path.parent)}`"
                )

    def _check(self, connection: sqlite3.Connection, *, had_wal: bool) -> None:
        """Refuse what is no whole journal of ours."""
        # SQLite opens any file: without this, a database of another program would be migrated into ruins.
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise JournalError(self.damaged("not a journal of this program"))
        if version > VERSION:
            raise JournalError(f"{self} was written by a newer version of aimlvideo: update with pip, then run again")
        # Not `integrity_check`: that reads every index too, and takes seconds for a million jobs.
        if (check := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise JournalError(self.damaged(check))
        if not had_wal and connection.execute("SELECT 1 FROM facts WHERE name='unclosed'").fetchone():
            raise JournalError(self._without_wal())

    def _check_values(self, connection: sqlite3.Connection) -> None:
        """Refuse a journal with a value that no run writes: SQLite keeps whatever another tool puts into a column."""
        if (why := wrong_value(connection)) is not None:
            raise JournalError(self.damaged(why))

    def _in_use_message(self) -> str:
        place = self.path.parent if self.path.name == JOURNAL else self.path
        # By what was locked here, not by the process id that the journal has: each container has a process 1.
        if self.path.absolute() in _held_here:
            return (
                f"{place} is in use by another run of this very program (process {os.getpid()}): by a client that is "
                "still open, perhaps that of an earlier cell of a notebook. Go on with that one, or close it first"
            )
        owner = None
        with suppress(VideoError, sqlite3.Error), self.opened_to_read() as connection:
            owner = connection.execute("SELECT value FROM facts WHERE name='owner'").fetchone()
        number = owner[0] if owner else "unknown"
        return f"{place} is in use by another run (process {number}): wait for it, or stop it first"

    def _without_wal(self) -> str:
        return (
            f"the run of the journal {self} did not end, and its {self.wal.name}, which has the last steps, is gone: "
            f"clips may be paid for that it does not know. Restore that file. If another SQLite tool has opened the "
            f"journal since, nothing is missing; confirm with: {command_line(self.path, _CLOSED, program='sqlite3')}"
        )

    def _has_wal(self) -> bool:
        return self.wal.exists() and self.wal.stat().st_size > 0


class OpenFiles(NamedTuple):
    """The files of a journal that is written, held open: they tell what became of it, whatever has its name now."""

    file: JournalFile
    database: int
    wal: int

    def check(self) -> None:
        """Raise DiskFailed where these are no longer the whole files that the next run will find."""
        if (place := self.moved_to()) is not None:
            self._note_move(place)
            harm, then = "moved", f"It is {place} now and has the ids of paid generations: go on with {place.parent}"
        elif not self.is_in_place():
            harm = "overwritten" if self._has_its_name() else "deleted or replaced"
            then = (
                f"What it held is written back when the run has ended (as {self.file.rescued.name} where another "
                "file has its name): keep that file, it has the ids of paid generations"
            )
        elif not _is_name_of(self.file.wal, self.wal):
            harm, then = f"left without its {self.file.wal.name}", "What that held is written into it at the end"
        else:
            return
        raise DiskFailed(
            f"the journal {self.file} was {harm} while its run goes on, so nothing more is submitted. {then}"
        )

    def is_in_place(self) -> bool:
        """Tell whether the database still has its name, and its beginning."""
        os.lseek(self.database, 0, os.SEEK_SET)  # not `pread`, which Windows has not
        return self._has_its_name() and os.read(self.database, len(MAGIC)) == MAGIC

    def moved_to(self) -> Path | None:
        """Return where the journal is now, where it or its folder was renamed and the system tells."""
        if self._has_its_name():
            return None
        with suppress(OSError):
            place = Path(os.readlink(f"/proc/self/fd/{self.database}"))
            if _is_name_of(place, self.database):
                return place
        return None

    def _has_its_name(self) -> bool:
        return _is_name_of(self.file.path, self.database)

    def end(self, connection: sqlite3.Connection) -> None:
        """Close a journal, wherever it is by now. Raises DiskFailed where its ids can be kept nowhere."""
        if (place := self.moved_to()) is not None:
            self._note_move(place)
            # Whoever closes last deletes the write-ahead log by the name that it was opened with: under the old name
            # that may be another journal's by now. So a connection by the new name is the last one.
            with suppress(sqlite3.Error), closing(sqlite3.connect(place, isolation_level=None)) as last:
                last.execute("SELECT count(*) FROM facts").fetchone()
                JournalFile(place).close(connection)
            return
        lost = None if self.is_in_place() else self._restore(connection)
        self.file.close(connection)
        if lost is not None:
            raise lost

    def _note_move(self, place: Path) -> None:
        """Leave word at the old place: without it the same command would begin anew there, and buy everything again."""
        with suppress(OSError):
            self.file.path.parent.mkdir(exist_ok=True)
            self.file.moved.write_text(str(place), errors="surrogateescape")

    def _restore(self, connection: sqlite3.Connection) -> DiskFailed | None:
        """Write a journal that was deleted or overwritten to its place again, as far as its connection still holds it.

        Return the error that names the ids where that cannot be done.
        """
        try:
            if connection.in_transaction:
                connection.execute("COMMIT")
            connection.execute(_CLOSED)
            self.file.path.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.path.with_name(self.file.path.name + ".new")
            _create_file(part)
            copy = sqlite3.connect(part.absolute(), isolation_level=None)
            try:
                connection.backup(copy)
                # Of a file that was overwritten only the pages that the connection holds in memory are whole.
                is_whole = copy.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            finally:
                copy.close()
            if not is_whole:
                part.unlink()
                raise sqlite3.DatabaseError("it was overwritten")
            # Another program's file may stand at the old place by now: it is left alone.
            part.replace(self.file.rescued if self.file.path.exists() else self.file.path)
        except (sqlite3.Error, OSError) as error:
            failure = DiskFailed(
                f"the journal {self.file} is gone and cannot be written back ({error}). Paid or in doubt, by job: "
                f"{_ids(connection)}"
            )
            log.error("%s", failure)
            return failure
        return None

    def close(self) -> None:
        """Let go of the files."""
        os.close(self.wal)
        os.close(self.database)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _file_identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file of this name from any other that may take its place; None where there is none."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _is_name_of(path: Path, descriptor: int) -> bool:
    """Tell whether this is the name of an open file: no other file has taken its place."""
    # Twice: on some mounts a file's number changes now and then, and may do so in between.
    return any(_file_identity(path) == _identity(os.fstat(descriptor)) for _ in range(2))


def _ids(connection: sqlite3.Connection) -> str:
    """Return the ids of what is outstanding or paid and not saved, for a person to note."""
    unsaved = "SELECT id, coalesce(generation_id, request_id) FROM jobs WHERE stage NOT IN ('planned', 'saved')"
    try:
        rows = connection.execute(f"{unsaved} AND coalesce(generation_id, request_id) IS NOT NULL").fetchall()
    except sqlite3.Error as error:
        return f"unknown ({error}): look into {RESULTS}, and into the service's log"
    return ", ".join(f"{job_id}: {known_as}" for job_id, known_as in rows) or "none"


@cache
def _empty_journal() -> bytes:
    """Return the content of a journal with nothing in it.

    It is made in memory: in a file, each of its versions would be synced to disk several times.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        # Rows are long: smaller pages are left half empty.
        connection.execute("PRAGMA page_size=8192")
        migrate(connection)
        content = bytearray(connection.serialize() if hasattr(connection, "serialize") else _by_a_file(connection))
    # Written with a write-ahead log from the first byte on (version 2, to write and to read): a file that is turned
    # into such a one later has its pages dropped from memory, and could not be restored from there.
    content[18:20] = 2, 2
    return bytes(content)


def _by_a_file(connection: sqlite3.Connection) -> bytes:
    """Return a database's content, where Python cannot: with SQLite before 3.36, or as uv once brought it."""
    with TemporaryDirectory() as folder:
        file = Path(folder, JOURNAL)
        with closing(sqlite3.connect(file)) as copy:
            connection.backup(copy)
        return file.read_bytes()


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _create_file(path: Path, size: int = 0) -> None:
    """Make a file for its owner only that takes `size` bytes of the disk."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        # Reserved for real: a file of zeros may be stored as a hole that takes no room.
        if size and hasattr(os, "posix_fallocate"):
            with _where_supported():  # not everywhere: with musl, not on NFS or ZFS
                os.posix_fallocate(descriptor, 0, size)
        if os.fstat(descriptor).st_size < size:
            os.write(descriptor, os.urandom(size))
    finally:
        os.close(descriptor)


def _up_to_date(reader: sqlite3.Connection) -> sqlite3.Connection:
    """Return a connection to a journal of this version: that one, or a migrated copy of an older one in memory."""
    if reader.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return reader
    # A reader never changes what it reads: an old journal is migrated in memory, so that an older release can still
    # open the file.
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        reader.backup(copy)
        migrate(copy)
        copy.execute("PRAGMA query_only=ON")
    except BaseException:
        copy.close()
        raise
    reader.close()
    return copy


def sync(descriptor: int) -> None:
    """Return when a file's content survives a power cut."""
    if not _synced_by_drive(descriptor):
        getattr(os, "fdatasync", os.fsync)(descriptor)


def _synced_by_drive(descriptor: int) -> bool:
    """Sync a file on macOS, where `fsync` ends when the drive has its content in memory; False on other systems."""
    try:
        import fcntl  # noqa: PLC0415 - POSIX only

        command = getattr(fcntl, "F_FULLFSYNC", None)
        return command is not None and fcntl.fcntl(descriptor, command) >= 0
    except (ImportError, OSError):  # OSError: not every share can
        return False


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut, where the system has a way to."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _where_supported():  # on a Windows share there is no syncing of folders
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _where_supported() -> Iterator[None]:
    """Leave out what the file system of a folder cannot do."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
