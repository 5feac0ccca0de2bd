"""A local picture to what a wire wants: a `data:` URI, or bare Base64 for a gateway. Its content tells its type."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from aimlvideo.core.catalog.model import Model
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.media_types import FileLimits, MediaLimits, media_type, media_type_name
from aimlvideo.errors import Problem, UsageError

HEAD = 64
"""Bytes that tell a picture's type."""

LINKS = ("http://", "https://", "asset://")
_OTHER_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
LONGEST_PATH = 4096
LONGEST_NAME = 80
MAX_BYTES = 128 * 2**20
"""Bytes of one picture, video or sound that is sent along: in a request it takes several times as much memory."""
MAX_PIXELS = 100_000_000
"""Pixels of a picture that is still to be encoded."""
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""By what EXIF says of a picture's orientation: PIL's number for what puts it upright."""
MOST_INLINE = 4 * 2**20
"""Bytes of a picture that is sent along although there is a place for uploads."""
UPLOAD_HINT = "give a link to it, or a place for uploads: --upload s3://bucket/prefix (upload= in Python)"
TOO_LARGE = f"at most {MAX_BYTES // 2**20} MB are sent along: {UPLOAD_HINT}"
NO_LOCAL_FILES = "is not a link: expected one, or the content itself, as this client sends no local files"
LinkTo = Callable[[BinaryIO, str], str]
"""Returns a link to a content of a media type."""


class Media(NamedTuple):
    """The pictures of jobs whose relative paths start at `folder`, for a service with these `limits`.

    A picture is a link, a path, `bytes`, a PIL image, a `data:` URI or Base64; sounds and videos the same. Where there
    is a place for `uploads`, videos and large files go by a link.
    """

    folder: PurePath | None
    limits: MediaLimits
    uploads: bool = False

    def check(self, value: Any) -> None:
        """Raise UsageError where a picture cannot be sent; of a file it reads no more than tells type and size."""
        if _is_path(value) or _is_raw(value) or (self.limits.looks_inside and _is_inline(value)):
            with self._opened(value) as (file, size):
                self._checked(file, size, value)

    def problems(self, value: Any, place: str, job: VideoJob) -> Iterator[Problem]:
        """Yield why a picture that stands at a place of a job's parameters cannot be sent, where that is so."""
        try:
            self.check(value)
        except UsageError as error:
            yield Problem(place, "a file that can be sent", str(error), job=job.id)

    def path_of(self, value: Any) -> Path | None:
        """Return the file of this machine that a value names, whether it is there or not; None for anything else."""
        if not _is_path(value):
            return None
        try:
            return self._file(value)
        except (OSError, ValueError, RuntimeError):
            return Path(self.folder or "", str(value))

    def changes(self, value: Any) -> bool:
        """Tell whether `encoded` has anything to do."""
        return _is_path(value) or _is_raw(value) or _is_inline(value)

    def encoded(self, value: Any, link_to: LinkTo | None = None) -> Any:
        """Return what is sent for `value`; a link is sent as it is. Reads the whole file: not for the event loop.

        Where there is a place for uploads, `link_to` gives the links. Raises UsageError, and what `link_to` raises.
        """
        is_data = isinstance(value, str) and _is_data(value)
        short = link_to is None or not isinstance(value, str) or len(value) < MOST_INLINE
        if not self.changes(value) or (self.limits.data_uri and is_data and short):
            return value
        with self._opened(value) as (file, size):
            kind = self._checked(file, size, value)
            file.seek(0)
            if link_to is not None and self._goes_by_link(kind, size):
                return link_to(file, kind)
            try:
                text = base64.b64encode(file.read()).decode()
            except OSError as error:
                raise UsageError(f"{_name(value)} cannot be read: {error.strerror}") from error
        return f"data:{kind};base64,{text}" if self.limits.data_uri else text

    @contextmanager
    def _opened(self, value: Any) -> Iterator[tuple[BinaryIO, int]]:
        """Give the content and its size."""
        if not _is_path(value):
            # Not decoded, to learn how large it is.
            if isinstance(value, str) and len(value) > 2 * MAX_BYTES:
                raise UsageError(f"{_name(value)} is too large; {TOO_LARGE}")
            raw = _inline(value) if isinstance(value, str) else _raw(value)
            yield io.BytesIO(raw), len(raw)
            return
        _refuse_other_links(value)
        # A path that is no text comes of our own code: the frame of a clip that this one goes on from.
        if isinstance(value, str) and not self.limits.local_files:
            raise UsageError(f"{_name(value)} {NO_LOCAL_FILES}")
        try:
            path = self._file(value)
            if path.exists() and not path.is_file():
                raise UsageError(f"{_name(value)} is not a file")
            file = path.open("rb")
        except (OSError, ValueError, RuntimeError) as error:
            reason = f"{getattr(error, 'strerror', None) or error}{_path_hint(value)}"
            raise UsageError(f"{_name(value)} cannot be read: {reason}") from error
        with file:
            yield file, path.stat().st_size

    def _file(self, value: str | PurePath) -> Path:
        """Return the file that a path names, also where a Mac has put its letters and their accents down one by one."""
        path = Path(self.folder or "", Path(_native(value)).expanduser())
        if path.name.isascii() or path.exists():
            return path
        spellings = (path.with_name(normalize(form, path.name)) for form in ("NFC", "NFD"))
        return next((spelling for spelling in spellings if spelling.exists()), path)

    def _checked(self, file: BinaryIO, size: int, value: Any) -> str:
        """Return the media type of a picture that can be sent."""
        kind = media_type(file.read(HEAD))
        if kind is None:
            raise UsageError(
                f"{_name(value)} is not a supported image, video or audio file: expected PNG, JPEG, WebP, MP4, MP3 or "
                "the like" + ("" if size else ", and it is empty")
            )
        by_link = self._goes_by_link(kind, size)
        if size > MAX_BYTES and not by_link:
            raise UsageError(f"{_name(value)} has {size / 2**20:.0f} MB; {TOO_LARGE}")
        inline = self.limits.inline
        # By a link, a file's kind and size no longer matter; its pixels and seconds still do.
        for limits in (inline._replace(types=(), max_bytes=inf) if by_link else inline, *self.limits.files):
            if wrong := _beyond(limits, kind, file, size):
                raise UsageError(f"{_name(value)} {wrong}")
        return kind

    def _goes_by_link(self, kind: str, size: int) -> bool:
        return self.uploads and (kind.startswith("video/") or size > min(MOST_INLINE, self.limits.inline.max_bytes))


def _beyond(limits: FileLimits, kind: str, file: BinaryIO, size: int) -> str:
    """Return what keeps a file from being taken, or an empty text."""
    if limits.types and kind not in limits.types:
        hint = f"; {UPLOAD_HINT}" if kind.startswith("video/") and limits.upload_helps else ""
        return f"is {kind}; {limits.taken_by} takes {' and '.join(map(media_type_name, limits.types))}{hint}"
    if size > limits.max_bytes:
        most = f"{limits.taken_by} takes at most {limits.max_bytes / 2**20:g} MB: make it smaller"
        return f"has {size / 2**20:.1f} MB; {most}" + (f", or {UPLOAD_HINT}" if limits.upload_helps else "")
    if kind.startswith("image/"):
        return _wrong_picture(limits, kind, file) if limits.limits_pictures else ""
    return _wrong_length(limits, file) if limits.limits_seconds else ""


def _wrong_picture(limits: FileLimits, kind: str, file: BinaryIO) -> str:
    file.seek(0)
    import imagesize  # noqa: PLC0415 - it brings an XML parser, and few jobs send a picture's file

    width, height = imagesize.get(file)
    if min(width, height) <= 0:
        # In files of the ISO kind it may stand where the library does not look: in a turned one, a sequence.
        return "" if kind in ("image/avif", "image/heic") else "is corrupt: no image size found"
    if limits.pixels and (width, height) != limits.pixels:
        exact = "x".join(map(str, limits.pixels))
        return f"is {width}x{height} pixels; {limits.taken_by} takes {exact} with these parameters"
    if min(width, height) < limits.min_side:
        return f"is {width}x{height} pixels; {limits.taken_by} takes at least {limits.min_side} pixels a side"
    if max(width, height) > limits.max_ratio * min(width, height):
        most = f"{limits.max_ratio:g}"
        return f"is {width}x{height}; {limits.taken_by} takes shapes between 1:{most} and {most}:1"
    return ""


def _wrong_length(limits: FileLimits, file: BinaryIO) -> str:
    from aimlvideo.shell.files.clip_metadata import media_seconds  # noqa: PLC0415 - 30 ms that few jobs need

    seconds = media_seconds(file)
    if seconds is None:
        return ""
    if seconds >= limits.below_seconds:
        return f"lasts {seconds:.1f} s; {limits.taken_by} takes less than {limits.below_seconds:g} s"
    if not limits.min_seconds <= seconds <= limits.max_seconds:
        return f"lasts {seconds:.1f} s; {limits.taken_by} takes {limits.min_seconds:g} to {limits.max_seconds:g} s"
    return ""


def _refuse_other_links(value: Any) -> None:
    if isinstance(value, str) and (link := _OTHER_LINK.match(value)) and link[0].lower() not in LINKS:
        raise UsageError(f"{_name(value)} starts with {link[0]}: expected a path, a link with https://, or a data: URI")


def _is_raw(value: Any) -> bool:
    return isinstance(value, bytes | bytearray) or (hasattr(value, "save") and hasattr(value, "tobytes"))


def local_files_of(job: VideoJob, model: Model) -> Iterator[Problem]:
    """Yield a problem for each parameter of a job that names a file of this machine."""
    media = Media(job.folder, MediaLimits(data_uri=True))
    for place, value in model.media_fields(job.params):
        if media.path_of(value) is not None:
            yield Problem(place, "a link, or the content itself (local_files=False)", _name(value), job=job.id)


def _is_path(value: Any) -> bool:
    if isinstance(value, str):
        linked = value[:8].lower().startswith(LINKS)
        return not linked and not _is_inline(value) and len(value) < LONGEST_PATH
    return isinstance(value, PurePath)


def _native(value: str | PurePath) -> str:
    """Return a path with this system's separators: job files travel from Windows to servers."""
    text = str(value)
    return text if os.sep == "\\" or "/" in text else text.replace("\\", "/")


def _path_hint(value: object) -> str:
    """Return what to do about a path that looks like something else."""
    text = str(value)
    if text.lower().startswith("www."):
        return ": a link begins with https://"
    if text.lstrip().lower().startswith(LINKS):
        return ": a link has no blanks before it"
    if re.match(r"[A-Za-z]:[\\/]", text) and os.sep == "/":
        return ": a path of Windows. Write it as it is on this machine, or beside the job file by its name alone"
    return "; expected a file of this machine, or a link with https://"


def _is_inline(value: Any) -> bool:
    return isinstance(value, str) and (_is_data(value) or _is_base64(value))


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def _is_base64(text: str) -> bool:
    """Tell raw Base64 of a picture from a path: it is long, and its first bytes decode to a known type."""
    # A short text is a path or a slip: no picture is that small.
    if len(text) < 64:
        return False
    try:
        return media_type(base64.b64decode(text[:64], validate=True)) is not None
    except ValueError:
        return False


def _inline(text: str) -> bytes:
    """Return the content of a `data:` URI, or of bare Base64."""
    head, _, content = text.partition(",") if _is_data(text) else ("base64", "", text)
    try:
        return base64.b64decode(content) if head.lower().endswith("base64") else unquote_to_bytes(content)
    except ValueError as error:
        raise UsageError(f"{_name(text)} is not valid Base64: {error}") from error


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    held = io.BytesIO()
    width, height = value.size
    # Told by its head: it is not decoded before.
    if width * height > MAX_PIXELS:
        raise UsageError(f"this picture has {width}x{height} pixels; at most {MAX_PIXELS:,} are sent: make it smaller")
    try:
        # PNG does not carry which way up a phone was held, and a clip of a picture on its side is paid for.
        turn = _TURNS.get(value.getexif().get(_ORIENTATION)) if hasattr(value, "getexif") else None
        (value if turn is None else value.transpose(turn)).save(held, format="PNG")
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"this picture cannot be converted to PNG: {error}; expected one in RGB, as its `convert('RGB')` returns"
        ) from error
    return held.getvalue()


def _name(value: Any) -> str:
    """Return what a message calls a picture: its path, never its content."""
    if not _is_path(value):
        return "this picture"
    text = str(value)
    return text if len(text) <= LONGEST_NAME else f"...{text[3 - LONGEST_NAME :]}"
