"""The output folders of a client's runs: that they can be written, and what has ended in them before."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from aimlvideo.core.formatting import command_line
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS
from aimlvideo.core.jobs.progress import ClipFile, Progress
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.lost_submissions import LEAST_SETTLE
from aimlvideo.core.money.budget import Spending
from aimlvideo.core.wires.json_fields import as_timestamp
from aimlvideo.errors import JournalError, SettingsError, VideoError
from aimlvideo.shell.descriptors import BREATH, BREATHS, are_exhausted
from aimlvideo.shell.files.downloads import is_whole_file
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.journal.base import SERVICE, Journal, refuse_other_service

if TYPE_CHECKING:
    from aimlvideo.shell.files.uploads import Uploads
    from aimlvideo.shell.journal.sqlite import SqliteJournal
    from aimlvideo.shell.journal.sqlite_reader import SqliteReader

UploadsOf = Callable[[Journal], AbstractAsyncContextManager["Uploads | None"]]
"""Gives the uploads of a journal's jobs, for as long as the journal is open."""

_URL_AS_PATH = re.compile(r"[a-z][a-z0-9+.-]+:/(?!/)", re.IGNORECASE)
"""How `s3://bucket/run` begins as a path: of two slashes one is left. A drive of Windows has one letter."""

log = logging.getLogger("aimlvideo")


def checked_folder(path: Path) -> Path:
    """Return an output folder that is there and can be written; make it where it is not. Raises SettingsError."""
    if _URL_AS_PATH.match(path.as_posix()):
        raise SettingsError(
            f"the output {path} is a URL that was made a path: expected a folder of this machine, or, for clips in an "
            "object store, the URL as text"
        )
    try:
        if path.suffix.lower() == ".mp4" and not path.is_dir():
            raise SettingsError(
                f"the output {path} looks like a clip's file: expected a folder, for the clips and a journal"
            )
        # A folder of that name, in the one that one stands in, is nobody's intent.
        if path.parts[:1] == ("~",) and not path.is_dir():
            raise SettingsError(f"the output {path} begins with ~, which no shell has replaced: expected a whole path")
        if path.is_file():
            raise SettingsError(f"the output {path} is a file: expected a folder, for the clips and a journal")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        # ValueError: a name with a NUL in it.
        reason = getattr(error, "strerror", None) or error
        expected = "expected a name for a folder that this system takes, in a place where you may write"
        raise SettingsError(f"the output folder {str(path)[:200]} cannot be created: {reason}; {expected}") from error
    if not path.is_dir() or not os.access(path, os.W_OK):
        # What was begun here would be bought anew in another one.
        or_else = "" if (path / JOURNAL).exists() else ", or use another folder"
        raise SettingsError(f"the output folder {path} cannot be written. Allow writing there{or_else}")
    return path


@asynccontextmanager
async def open_folder_journal(folder: Path) -> AsyncIterator[SqliteJournal]:
    """Open the journal of an output folder for writing, or make it. Raises JournalError, also for an older copy."""
    from aimlvideo.shell.journal.sqlite import open_journal  # noqa: PLC0415 - for clients with a folder alone

    async with open_journal(folder / JOURNAL) as journal:
        _refuse_older_journal(journal, folder)
        yield journal


def _refuse_older_journal(journal: SqliteReader, folder: Path) -> None:
    """Raise JournalError where the results have a generation that the journal does not know: it is an older copy.

    Its jobs would be bought again, and the results, which are written anew from it, would forget the ids.
    """
    results = folder / RESULTS
    # Nearly always all are known, and then no line is read as a whole.
    if all(journal.generation_of(job_id) == name for job_id, name in ResultsFile.paid_generations(results)):
        return
    for row in ResultsFile.read(results):
        job, generation_id = str(row.get("id")), row.get("generation_id")
        # A generation that failed was paid only where its clip was ready, or where it was charged.
        is_paid = row.get("stage") != Stage.FAILED or any(map(row.get, ("video_url", "cost_usd", "cost_units")))
        if generation_id and is_paid and not _knows(journal, job, generation_id, as_timestamp(row.get("submitted_at"))):
            raise JournalError(
                f"{results} has generation {generation_id} of job {job!r}, which {JOURNAL} does not know: this is an "
                "older copy of the journal, and what is paid for would be bought again. Put the newest one back, or "
                f"move this one away and run `{command_line('recover', folder)}`"
            )


def _knows(journal: SqliteReader, job_id: str, generation_id: str, submitted_at: float) -> bool:
    """Tell whether a journal has a generation, or will find it: a submission in doubt is looked up at the service."""
    record = journal.find(job_id)
    if record is None:
        return False
    if any(attempt.generation_id == generation_id for attempt in journal.attempts(job_id)):
        return True
    # Not by the one of before: it was sent again once that had settled.
    is_this_one = submitted_at - (record.progress.submitted_at or 0.0) < LEAST_SETTLE
    return record.progress.stage in (Stage.SUBMITTING, Stage.IN_DOUBT) and is_this_one


@dataclass(eq=False)
class _OpenFolder:
    """An output folder with a journal of its own, and the ids of the jobs that are under way in it."""

    journal: Journal
    results: ResultsFile
    uploads: Uploads | None
    exit_stack: AsyncExitStack
    users: int = 0
    ids_under_way: set[str] = field(default_factory=set)
    spending: Spending = field(default_factory=Spending)


class OpenFolders:
    """The folders that one client has open. Runs into the same one at the same time share its journal."""

    def __init__(self, uploads_of: UploadsOf, service: str) -> None:
        self._open: dict[Path, _OpenFolder] = {}
        self._changing: dict[Path, anyio.Event] = {}
        """Those that a run is just opening or closing: set when that is done."""
        self._lent: dict[Path, SqliteJournal] = {}
        self._uploads_of, self._service = uploads_of, service

    def lend(self, path: Path, journal: SqliteJournal) -> None:
        """Let runs into a folder use its journal, which somebody else has from `open_folder_journal`, from here on."""
        self._lent[_name(path)] = journal

    @asynccontextmanager
    async def open(self, path: Path, *, verify: bool, remote: bool) -> AsyncIterator[_OpenFolder]:
        """Give a folder, opened by the first who uses it, closed by the last. Raises JournalError, DiskFailed."""
        name = _name(path)
        while (changed := self._changing.get(name)) is not None:
            await changed.wait()
        # A file that another run of this client is just writing would be found damaged.
        if name in self._open and verify:
            raise SettingsError(f"{path} cannot be verified while another run of this client writes into it")
        if name not in self._open:
            with self._change(name):
                self._open[name] = await self._opened(path, verify=verify, remote=remote)
        folder = self._open[name]
        folder.users += 1
        try:
            yield folder
        finally:
            folder.users -= 1
            if not folder.users:
                del self._open[name]
                # What was uploaded is removed first, which may take a minute; its journal is locked until then.
                with self._change(name):
                    await folder.exit_stack.aclose()

    @contextmanager
    def _change(self, name: Path) -> Iterator[None]:
        changed = self._changing[name] = anyio.Event()
        try:
            yield
        finally:
            del self._changing[name]
            changed.set()

    async def _opened(self, path: Path, *, verify: bool, remote: bool) -> _OpenFolder:
        """Open a folder's journal and results; where too many files are open, once some are closed."""
        for _ in range(BREATHS):
            try:
                return await self._opened_at_once(path, verify=verify, remote=remote)
            except VideoError as error:
                if not are_exhausted(error):
                    raise
                log.warning("%s. It is tried again in %.0f s", error, BREATH)
                await anyio.sleep(BREATH)
        return await self._opened_at_once(path, verify=verify, remote=remote)

    async def _opened_at_once(self, path: Path, *, verify: bool, remote: bool) -> _OpenFolder:
        async with AsyncExitStack() as stack:
            if (journal := self._lent.get(_name(path))) is None:
                journal = await stack.enter_async_context(open_folder_journal(path))
                _claim_service(journal, path, self._service)
            ResultsFile.rewrite(path / RESULTS, _ended_jobs(journal, path, verify=verify, remote=remote))
            results = stack.enter_context(closing(ResultsFile(path / RESULTS)))
            uploads = await stack.enter_async_context(self._uploads_of(journal))
            return _OpenFolder(journal, results, uploads, stack.pop_all())


def _claim_service(journal: Journal, folder: Path, service: str) -> None:
    """Note with which service a folder is begun. Raises SettingsError where it has another one's generations."""
    begun = journal.fact(SERVICE)
    refuse_other_service(begun, service, folder)
    # Of an earlier release's folder nobody knows it.
    if begun is None and not journal.counts():
        journal.note(SERVICE, service)


def _name(path: Path) -> Path:
    """Return the name that a folder has, however it is reached."""
    # A folder through a link, or with `..`, is the same folder: opened twice, its jobs would be bought twice.
    return path.resolve()


def _ended_jobs(journal: Journal, folder: Path, *, verify: bool, remote: bool) -> Iterator[Result]:
    """Give what has ended before; a job whose file is gone, or no longer whole, is fetched again by the run.

    With `remote`, the clips are in an object store, and not looked for here.
    """
    # One transaction, over when the last result is given: the journal knows that a clip is gone before a file written
    # from these results forgets it, wherever the process dies.
    with journal.planning():
        for job, progress in journal.ended_jobs():
            saved = progress.stage is Stage.SAVED and not remote
            if saved and not is_saved(folder, progress, verify=verify):
                journal.step(job, progress.to(Stage.READY))
            else:
                yield Result.of(job, progress, folder)


def is_saved(folder: Path, progress: Progress, *, verify: bool = False) -> bool:
    """Tell whether the clips of a saved job are all in this folder, whole."""
    files = progress.files or (ClipFile(progress.file or "", progress.bytes, progress.sha256),)
    return all(_is_saved(folder, clip, progress, verify=verify) for clip in files)


def _is_saved(folder: Path, clip: ClipFile, progress: Progress, *, verify: bool) -> bool:
    """Tell whether a clip is there, whole. A journal that was recovered knows of a further clip only that it was."""
    if clip.bytes is None and clip.file != progress.file:
        return (folder / clip.file).is_file()
    return is_whole_file(folder / clip.file, clip.bytes, clip.sha256 if verify else None)
