"""Which file name a finished video gets."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePath
from string import Formatter
from typing import ClassVar

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.errors import SettingsError, UsageError

JOURNAL, RESULTS, REPORT = "journal.sqlite3", "results.jsonl", "report.html"
"""What a run leaves in its folder, beside the clips."""

LONGEST = 200
"""Bytes of a name in UTF-8 before its ending: file systems take 255, also with `-2.mp4.part` behind it."""

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|clock\$|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)")
_REFUSED = re.compile(
    r"[\x00-\x1f\x7f-\x9f<>:\"/\\|?*\ud800-\udfff\ufffe\uffff\u200e\u200f\u2028-\u202e\u2066-\u2069]+"
)
"""What some file system refuses, or what makes a name read otherwise than it is written."""
_PLAIN_STEM = re.compile(r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)$)[A-Za-z0-9_-]{1,100}")
"""What nearly every name is: nothing in it has to be changed."""
OWN_FILES = {
    RESULTS,
    REPORT,
    JOURNAL,
    *(JOURNAL + ending for ending in ("-wal", "-shm", ".lock", ".reserve", ".new", ".recovering")),
}
"""What a run writes itself in its folder: no clip has such a name."""


def is_plain_name(name: str) -> bool:
    """Tell whether a name that was written down is one of a clip in the folder itself, on every system."""
    # Also what only Windows takes for a path: a journal may be read on another system than it was written on.
    plain = (
        not re.search(r"[/\\:\x00-\x1f\x7f\ud800-\udfff]", name)
        and name.strip(". ") != ""
        and not _RESERVED.match(name)
    )
    return plain and len(name.encode(errors="replace")) <= 255 and name.casefold() not in OWN_FILES


def clip_journal_name(clip: str) -> str:
    """Return the name of the journal that lies hidden beside the file of one clip."""
    return f".{clip}.journal"


def is_clip_journal(name: str) -> bool:
    """Tell whether a journal is of one clip alone, by its name."""
    return name.startswith(".") and name.endswith(".journal")


def refuse_own_name(path: PurePath) -> None:
    """Raise UsageError where a clip would have the name of a file that runs write: it might replace a journal."""
    # Also where there is no run yet: one that begins there later, and each next clip, would find it damaged.
    if path.name.casefold() in OWN_FILES or is_clip_journal(path.name):
        raise UsageError(f"{path} has the name of a file that runs write themselves: expected another name")


def file_name(text: str, ending: str = ".mp4", *, hashed_id: str | None = None, longest: int = LONGEST) -> str:
    """Return a file name for a job's id: letters of every script and blanks stay, what file systems refuse does not.

    Two ids that differ in refused characters alone get the same name, unless a hash of one, as `hashed_id`, is in it;
    such a name has at most `longest` bytes before its ending.
    """
    if hashed_id is None:
        return (_stem(text) or "clip") + ending
    digest = hashlib.sha256(hashed_id.encode(errors="surrogatepass")).hexdigest()[:10]
    return f"{_cut(_stem(text) or 'clip', longest - 11)}-{digest}{ending}"


def _stem(text: str) -> str:
    if _PLAIN_STEM.fullmatch(text):
        return text
    # Composed letters: macOS decomposes names, and the same id would be another name when the folder is copied.
    stem = _REFUSED.sub("_", unicodedata.normalize("NFC", text)).strip(" .")
    if stem != text.strip(" ."):
        stem = stem.strip("_ .")
    return _cut(f"_{stem}" if _RESERVED.match(stem) else stem, LONGEST)


def _cut(stem: str, most: int) -> str:
    # Cut by bytes, as file systems count; `ignore` drops the rest of a letter that was cut in the middle.
    return stem.encode()[:most].decode(errors="ignore").rstrip(" .")


def numbered_name(name: str, index: int) -> str:
    """Return the name of a generation's clip: `clip.mp4`, and `clip-2.mp4` for the second (`index` 1)."""
    stem, dot, ending = name.rpartition(".")
    return name if index == 0 else f"{stem or ending}-{index + 1}" + (f"{dot}{ending}" if stem else "")


class NameTemplate:
    """A template for clips' names, such as `{id} {seed}`: fields are `OWN_FIELDS` and the job's parameters.

    Raises SettingsError where it cannot be read.
    """

    OWN_FIELDS: ClassVar[Mapping[str, Callable[[VideoJob], object]]] = {
        "id": lambda job: job.id,
        "model": lambda job: job.model,
    }
    """What a template may name beside a job's parameters."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._parts = _parsed(template)

    def name(self, job: VideoJob) -> str:
        """Return a clip's name, before `file_name`; a parameter that the job does not set is left empty."""
        values = {**{field: value(job) for field, value in self.OWN_FIELDS.items()}, **job.params}
        return " ".join("".join(text + _as_name_part(values.get(name or "")) for text, name in self._parts).split())

    def problem(self, names: Collection[str], shown: Collection[str] = ()) -> str:
        """Return what is wrong with a field that is none of these parameters' `names`; an empty text if nothing is.

        Where there are too many to list all of them, those to be `shown` are listed.
        """
        fields = [*self.OWN_FIELDS, *names]
        for _, field in self._parts:
            if field is not None and field not in fields:
                nearest = difflib.get_close_matches(field, fields, 1, 0.6)
                hint = f"did you mean {{{nearest[0]}}}? " if nearest else ""
                listed = ", ".join([*self.OWN_FIELDS, *sorted(shown or names)])
                template = repr(self._template)
                return f"the name template {template} has {{{field}}}, which no job has: {hint}expected {listed}"
        return ""


def _parsed(template: str) -> list[tuple[str, str | None]]:
    """Return the plain texts of a template, each with the field behind it."""
    if not isinstance(template, str):
        raise SettingsError(f"the name template is of type {type(template).__name__}: expected text")
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise SettingsError(f"the name template {template!r} cannot be read: {error}") from error
    formats = [
        f"{name}{'!' if conversion else ''}{conversion or ''}{':' if spec else ''}{spec}"
        for _, name, spec, conversion in parts
        if spec or conversion
    ]
    if formats:
        raise SettingsError(f"the name template {template!r} has {{{formats[0]}}}: expected a field's name alone")
    if not any(name for _, name, *_ in parts):
        raise SettingsError(f"the name template {template!r} has no field: expected one such as '{{id}} {{seed}}'")
    return [(text, name) for text, name, *_ in parts]


def _as_name_part(value: object) -> str:
    return "" if value is None else str(value)[:80]
