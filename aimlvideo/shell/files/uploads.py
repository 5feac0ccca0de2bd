"""Large local files and local videos, put where a service can fetch them: `s3://bucket/prefix` behind signed links.

Each content is put there once, into a folder whose name says until when its links are valid. A file is removed when the
run ends, unless a generation that was given its link is outstanding: that one may still be fetching it. What a crash
leaves is removed by the next run of the same journal, or, once its links have expired, by whoever comes next.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import os
import re
import secrets
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from math import ceil
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self
from urllib.parse import urlsplit

import anyio

from aimlvideo.core.jobs.stages import OUTSTANDING, Stage
from aimlvideo.core.store_schemes import OTHER_STORES
from aimlvideo.errors import SettingsError, UploadFailed, UsageError
from aimlvideo.shell import clock
from aimlvideo.shell.files.object_stores import Filesystem
from aimlvideo.shell.journal.base import Journal

FOLDER_FACT = "upload folder "
"""How the facts begin that name a folder of uploads, until it is removed; each says which process it belongs to."""
CLOSING = 60.0
"""Seconds that removing may take at the end of a run."""

log = logging.getLogger("aimlvideo.uploads")


class UploadStore:
    """A place in an object store that gives signed links. All its methods block: call them in a thread."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = Filesystem(self.url)
        self.files = self._store.files
        # Only a shared folder has it: there, folders have to be made; an object store has none.
        if hasattr(self.files, "auto_mkdir"):
            self.files.auto_mkdir = True

    @classmethod
    async def opened(cls, url: str) -> UploadStore:
        """Return a place for uploads that can be written and gives links. Raises SettingsError."""

        def opened() -> UploadStore:
            store = cls(url)
            store.check()
            try:
                store.remove_expired(clock.wall())
            except Exception as error:
                # Tidying up fails no run.
                log.warning("what earlier runs left in %s could not be removed: %s", store.url, error)
            return store

        return await anyio.to_thread.run_sync(opened)

    def check(self) -> None:
        """Raise SettingsError where nothing can be written, or no link can be signed: before anything is paid."""
        # Written and signed for real: permissions of object stores are too many to be asked about one by one.
        probe = f".aimlvideo-{secrets.token_hex(4)}"
        with self._as_settings_error("cannot be written: is it there, and may this account write to it?"):
            self.files.pipe_file(self.path(probe), b"")
        try:
            with self._as_settings_error(
                f"can be written, but no link to it can be signed: expected s3:// (or {OTHER_STORES}), "
                "and an account that may sign"
            ):
                link = self.sign(probe, 60)
                if urlsplit(link).scheme not in ("http", "https"):
                    raise ValueError(f"{urlsplit(link).scheme or 'a bare path'!r} is not a scheme that a service reads")
        finally:
            with suppress(Exception):
                self.files.rm_file(self.path(probe))

    @staticmethod
    def valid_until(folder: str) -> float | None:
        """Return until when the links into a folder are valid; None for a folder that is none of ours."""
        match = _FOLDER.fullmatch(folder)
        return None if match is None else float(match[1])

    def path(self, name: str) -> str:
        """Return where a name of this place is, as the store calls it."""
        return self._store.path(name)

    def size(self, name: str) -> int | None:
        """Return the bytes of an object, None where it is not there."""
        try:
            return int(self.files.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def put(self, name: str, file: BinaryIO) -> None:
        """Write an object, whole or not at all."""
        own = getattr(file, "name", None)
        if isinstance(own, str | Path) and Path(own).suffix == Path(name).suffix and _leads_to(own, file):
            self._store.put(str(own), self.path(name))
            return
        # By its ending the store tells services what it is: a file named otherwise is handed over under a right name.
        with tempfile.TemporaryDirectory(prefix="aimlvideo-") as folder:
            renamed = Path(folder) / Path(name).name
            with renamed.open("wb") as copy:
                file.seek(0)
                shutil.copyfileobj(file, copy)
            self._store.put(str(renamed), self.path(name))

    def sign(self, name: str, seconds: float) -> str:
        """Return a link to an object that is valid for so many seconds."""
        return str(self.files.sign(self.path(name), expiration=int(seconds)))

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder of this place, without the folder's own."""
        path = self.path(folder).rstrip("/")
        # fsspec remembers listings: another process's files would not be seen.
        self.files.invalidate_cache()
        try:
            return [str(name).rstrip("/").rpartition("/")[2] for name in self.files.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    def remove(self, folder: str, names: list[str]) -> None:
        """Remove objects of a folder, and the folder itself where nothing else is in it."""
        for name in names:
            with suppress(FileNotFoundError):
                self.files.rm_file(self.path(f"{folder}/{name}"))
        if not self.names(folder):
            # Object stores have no empty folders.
            with suppress(Exception):
                self.files.rmdir(self.path(folder))

    def remove_expired(self, now: float) -> int:
        """Remove the folders whose links nobody can use any more; return how many."""
        expired = [
            name for name in self.names() if (until := UploadStore.valid_until(name)) is not None and until < now
        ]
        for folder in expired:
            self.remove(folder, self.names(folder))
        return len(expired)

    @contextmanager
    def _as_settings_error(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Each store has its own exceptions.
            reason = (str(error).splitlines() or [""])[0]
            raise SettingsError(f"upload: {self.url} {what} ({type(error).__name__}: {reason})") from error


class _UploadRecords(Protocol):
    """Where it stands which folders of uploads there are, and which jobs may still fetch from them."""

    async def facts(self, beginning: str) -> Mapping[str, str]:
        """Return the facts of the journal whose names begin so."""

    async def note(self, name: str, value: str) -> None:
        """Write one fact."""

    async def forget(self, name: str) -> None:
        """Take one fact away."""

    async def outstanding(self, job_ids: set[str]) -> tuple[set[str], bool]:
        """Return which of these jobs are outstanding, and whether any other job is."""

    async def is_alive(self, worker: str) -> bool:
        """Tell whether another worker may still hand out links."""


@dataclass(frozen=True, slots=True)
class _JournalRecords(_UploadRecords):
    """The records of a journal that is this process's own."""

    journal: Journal

    async def facts(self, beginning: str) -> Mapping[str, str]:
        return self.journal.facts(beginning)

    async def note(self, name: str, value: str) -> None:
        self.journal.note(name, value)

    async def forget(self, name: str) -> None:
        self.journal.forget(name)

    async def outstanding(self, job_ids: set[str]) -> tuple[set[str], bool]:
        # The journal gives the outstanding ones first: a million planned jobs behind them are not read.
        begun = takewhile(lambda record: record.progress.stage is not Stage.PLANNED, self.journal.open_jobs())
        ids = {record.job.id for record in begun if record.progress.stage in OUTSTANDING}
        return ids & job_ids, bool(ids - job_ids)

    async def is_alive(self, worker: str) -> bool:
        """Tell that nobody else hands out links."""
        return False


@dataclass(eq=False)
class Uploads:
    """The uploads of the jobs of one journal. `patience`: how long one generation is waited for, in seconds.

    `owner` is the worker that this process is, where several share the journal.
    """

    store: UploadStore
    records: _UploadRecords
    patience: float
    owner: str = ""
    _folder: str = ""
    _users: dict[str, set[str]] = field(default_factory=dict)
    """The jobs that were given a link to an object, by the object's name."""
    _own: set[str] = field(default_factory=set)
    """Objects that this process has put there; the others are an earlier one's of the same journal."""
    _digests: dict[tuple[object, ...], str] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _preparing: anyio.Lock = field(default_factory=anyio.Lock)

    @classmethod
    def of_journal(cls, store: UploadStore, journal: Journal, patience: float) -> Self:
        """Return the uploads of a journal that is this process's own."""
        return cls(store, _JournalRecords(journal), patience)

    async def prepare(self) -> None:
        """Choose the folder of the next links, and write it down before anything is put into it."""
        async with self._preparing:
            now = clock.wall()
            if (UploadStore.valid_until(self._folder) or 0) < now + _needed_validity(self.patience):
                new = _upload_folder(now + _validity(self.patience), secrets.token_hex(6))
                folder = await self._usable_folder(now) or new
                await self.records.note(self._fact(folder), self.owner)
                self._folder = folder

    def link(self, job_id: str, file: BinaryIO, kind: str) -> str:
        """Return a signed link to a file's content for a job; the content is put there the first time. In a thread.

        Raises UploadFailed, and UsageError for a file that is changed meanwhile.
        """
        folder, state = self._folder, _state_of(file)
        name = f"{folder}/{self._digest(file, state)[:32]}{_ending(kind)}"
        # One lock for the table of locks, one for each object: two jobs of one picture put it there once, two of
        # different ones do not wait for each other.
        with self._lock:
            lock = self._locks[name]
        with lock:
            try:
                # The size, because a process that died may have left half an object where a store does not write whole
                # ones.
                if name not in self._users and self.store.size(name) != _size(file):
                    self.store.put(name, file)
                    self._own.add(name)
                    if _state_of(file) != state:
                        # Under the name of a content that it is not: the next job of that content would be given it.
                        self.store.remove(folder, [name.rpartition("/")[2]])
                        raise UsageError(f"{file.name} was changed while it was read: expected it to stay as it is")
                self._users.setdefault(name, set()).add(job_id)
                return self.store.sign(name, (UploadStore.valid_until(folder) or 0) - clock.wall())
            except UsageError:
                raise
            except Exception as error:
                # Each store has its own exceptions.
                raise UploadFailed(f"a file could not be put into {self.store.url}: {error}. Run again") from error

    async def close(self) -> None:
        """Remove what no outstanding generation may still fetch: of this process, and of those that are gone."""
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSING):
                await self._close()
        except Exception as error:  # a journal that is away, too: tidying up fails no run
            log.warning("uploaded files stay in %s: %s", self.store.url, error)

    async def _close(self) -> None:
        folders = await self._folders()
        if not folders:
            return
        outstanding, others_outstanding = await self.records.outstanding(set[str]().union(*self._users.values()))
        used = {name for name, jobs in self._users.items() if jobs & outstanding}
        for folder, owner in sorted(folders.items()):
            if owner != self.owner and (others_outstanding or await self.records.is_alive(owner)):
                continue
            # Which files the jobs of an earlier process were given, only that process knew.
            only_own = others_outstanding
            if await anyio.to_thread.run_sync(self._remove, folder, used, only_own, abandon_on_cancel=True):
                await self.records.forget(self._fact(folder))

    async def _folders(self) -> dict[str, str]:
        """Return the folders that the journal knows in this store, with the process that each belongs to."""
        beginning = self._fact("")
        return {name.removeprefix(beginning): owner for name, owner in (await self.records.facts(beginning)).items()}

    def _remove(self, folder: str, used: set[str], only_own: bool) -> bool:
        """Remove what is not used of a folder; tell whether nothing is left in it."""
        try:
            names = self.store.names(folder)
            paths = {name: f"{folder}/{name}" for name in names}
            # What an outstanding generation may still fetch stays; while others work here, so does what is theirs.
            removable = [
                name for name, path in paths.items() if path not in used and (not only_own or path in self._own)
            ]
            self.store.remove(folder, removable)
        except Exception as error:
            again = f"aimlvideo uploads {self.store.url} --remove"
            log.warning("uploaded files could not be removed: %s. Later: %s", error, again)
            return False
        return len(removable) == len(names)

    async def _usable_folder(self, now: float) -> str | None:
        """Return a folder that an earlier process of this journal has left, and whose links are valid long enough."""
        needed = now + _needed_validity(self.patience)
        usable = [name for name, owner in (await self._folders()).items() if owner == self.owner]
        return max((name for name in usable if (UploadStore.valid_until(name) or 0) > needed), default=None)

    def _fact(self, folder: str) -> str:
        return f"{FOLDER_FACT}{self.store.url}/{folder}"

    def _digest(self, file: BinaryIO, state: tuple[object, ...] | None) -> str:
        """Return the SHA-256 of a file's content, read once for each state of a file."""
        if state is None or state not in self._digests:
            file.seek(0)
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            if state is None:
                return digest.hexdigest()
            self._digests[state] = digest.hexdigest()
        return self._digests[state]


def _state_of(file: BinaryIO) -> tuple[object, ...] | None:
    """Return what changes with a file's content; None where it is none of the system's.

    By the open file, not by its name: what has the name may be replaced between the reading and the next look. The name
    counts beside it: on a mounted cloud all files may have one number.
    """
    try:
        state = os.fstat(file.fileno())
    except OSError:
        return None
    return file.name, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _ending(kind: str) -> str:
    usual = {"image/jpeg": ".jpg", "audio/mpeg": ".mp3", "video/quicktime": ".mov", "audio/mp4": ".m4a"}
    return usual.get(kind) or mimetypes.guess_extension(kind) or ".bin"


def _leads_to(name: str | Path, file: BinaryIO) -> bool:
    """Tell whether a name is still that of an open file: what is saved anew meanwhile has another content."""
    try:
        return os.path.samestat(Path(name).stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _size(file: Any) -> int:
    place = file.tell()
    size = int(file.seek(0, os.SEEK_END))
    file.seek(place)
    return size


HOUR, DAY = 3600.0, 86400.0
LONGEST_VALIDITY = 7 * DAY
"""Seconds for which a link can be signed, at most: longer ones are refused by S3."""
_FOLDER = re.compile(r"aimlvideo-(\d{10,12})-[0-9a-f]{12}")


def _upload_folder(until: float, token: str) -> str:
    """Return the name of a folder whose links are valid `until` then, in seconds since 1970.

    The moment is in the name, so that whoever lists the bucket later knows what nobody can fetch any more.
    """
    return f"aimlvideo-{ceil(until)}-{token}"


def _needed_validity(patience: float) -> float:
    """Return for how many seconds a link has to be valid when it is handed out, where a clip is waited for so long.

    The service fetches the file when the generation begins; an hour is for a queue in front of it.
    """
    return min(patience + HOUR, LONGEST_VALIDITY - HOUR)


def _validity(patience: float) -> float:
    """Return for how many seconds the links into a new folder are valid."""
    return min(max(DAY, 2 * _needed_validity(patience)), LONGEST_VALIDITY)
