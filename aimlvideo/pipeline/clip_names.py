"""How the clips of a run are named."""

from __future__ import annotations

import os
from functools import cached_property, partial

from aimlvideo.core.jobs.file_names import LONGEST, NameTemplate, file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.shell.files.private_files import longest_name


class ClipNames:
    """Names clips by their jobs' ids, or by what a template makes of each, so that no two have one name."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._names: set[str] | None = None

    def name_of(self, job: VideoJob) -> str:
        """Return the file name of a job's clip: its id's, or what the template makes, with a hash where it is taken."""
        text = NameTemplate(self._spec.name).name(job) if self._spec.name else job.id
        hashed = partial(file_name, hashed_id=job.id, longest=self._longest_name)
        if not _can_name_a_file(text):
            return hashed(text.encode("ascii", "replace").decode())
        name = file_name(text)
        if len(name.removesuffix(".mp4").encode()) > self._longest_name:
            return hashed(text)
        # The usual case reads nothing: going through a million jobs for names is left to those whose name may be taken.
        if text == job.id and name == f"{text}.mp4":
            return name
        if self._spec.ids_under_way is None:
            # What others name at this moment nobody can read: two clips of one name would become one.
            return hashed(text)
        if self._names is None:
            self._names = self._spec.journal.file_names
        other = self._spec.journal.find(name.removesuffix(".mp4"))
        if name.casefold() in self._names or (other is not None and other.job.id != job.id):
            name = hashed(text)
        self._names.add(name.casefold())
        return name

    @cached_property
    def _longest_name(self) -> int:
        return LONGEST if self._spec.folder is None else longest_name(self._spec.folder)


def _can_name_a_file(text: str) -> bool:
    """Tell whether a file can be named so here: under a locale of an old code page it cannot have all letters."""
    try:
        return text.isascii() or bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False
