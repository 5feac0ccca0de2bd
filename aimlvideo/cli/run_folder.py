"""A run's folder: what its journal keeps of how the run was begun, for the commands that come later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.errors import UsageError
from aimlvideo.shell.journal.base import SERVICE, Journal, refuse_other_service
from aimlvideo.shell.journal.sqlite_reader import read_journal

NAMING = "naming"
"""The fact of a journal that has the template of its clips' names."""
PLAIN_CLIPS = "plain clips"
"""The fact of a journal whose clips carry no recipe."""
LEGACY_URLS = "legacy URLs"
"""The fact of a journal whose jobs are sent to the service's legacy URLs."""
STORE = "store"
"""The fact of a journal that has the URL of the object store that its clips go to."""
SANDBOX = "sandbox"
"""The fact of a journal whose clips are an embedded sandbox's: test pictures that cost nothing."""


@dataclass(frozen=True)  # no slots: what is read once is kept
class RunFolder:
    """The output folder of a run, as its journal was when this asked first. Raises UsageError where there is none."""

    path: Path

    def fact(self, name: str) -> str | None:
        """Return a fact of the folder's journal, None where it was not noted."""
        return self._facts.get(name)

    @cached_property
    def _facts(self) -> Mapping[str, str]:
        if not (self.path / JOURNAL).exists():
            raise UsageError(f"there is no journal in {self.path}: expected the output folder of a run")
        # All at once: a journal is checked whole each time that it is opened.
        with read_journal(self.path / JOURNAL) as journal:
            return journal.facts("")

    @property
    def is_sandbox(self) -> bool:
        """Whether the folder's clips are an embedded sandbox's."""
        return bool(self.fact(SANDBOX))

    def store(self, place: str) -> str | None:
        """Return the URL of the object store that the clips go to, None where they stay in the folder.

        Raises UsageError where that is not known, or where a run into that store has its journal elsewhere.
        """
        from aimlvideo.shell.files.object_stores import (  # noqa: PLC0415 - few commands ask for it
            is_remote,
            is_working_folder,
            journal_folder,
        )

        store = place if is_remote(place) else self.fact(STORE) or None
        if store is None and is_working_folder(self.path):
            raise UsageError(f"the clips of {self.path} go to an object store: expected its URL, as s3://bucket/run")
        if store is not None and self.path.resolve() != (working := journal_folder(store)).resolve():
            raise UsageError(f"{self.path} has the journal of a run into {store}: expected it in {working}")
        return store

    def service(self, service: str | None = None) -> str:
        """Return the service that the folder was begun with. Raises UsageError where another one was named."""
        begun = self.fact(SERVICE)
        refuse_other_service(begun, service or begun, self.path)
        return service or begun or DEFAULT_SERVICE

    def claim_service(self, journal: Journal, service: str) -> None:
        """Note with which service the folder is begun. Raises UsageError where it has another one's ids."""
        refuse_other_service(journal.fact(SERVICE), service, self.path)
        journal.note(SERVICE, service)

    def claim(self, journal: Journal, *, sandbox: bool) -> None:
        """Note whose clips the folder has. Raises UsageError where bought clips and a sandbox's would be mixed."""
        begun_there = bool(journal.fact(SANDBOX))
        # A test picture would count as a saved clip.
        if journal.counts() and begun_there != sandbox:
            whose = "the embedded sandbox's" if begun_there else "not the embedded sandbox's"
            instead = "add --sandbox, or" if begun_there else "leave out --sandbox, or"
            raise UsageError(f"the clips in {self.path} are {whose}: {instead} use another folder")
        journal.note(SANDBOX, "yes" if sandbox else "")
        if sandbox:
            _plan_anew(journal)


def _plan_anew(journal: Journal) -> None:
    """Plan again what an earlier embedded sandbox had begun."""
    # It ended with the process that it was in, and its generations with it: nobody can be asked for them.
    for job, progress in list(journal.open_jobs()):
        if progress.stage is not Stage.PLANNED or progress.retry_of is not None:
            journal.step(job, Progress())
