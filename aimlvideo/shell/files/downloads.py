"""A link to a whole file, or nothing: never half a clip under its final name, never one clip over another."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import io
import itertools
import os
import re
import ssl
import threading
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Self
from urllib.parse import unquote_to_bytes, urlsplit

import aiohttp
import anyio
from yarl import URL

from aimlvideo.core.links import data_of_link, resolve_link, same_origin
from aimlvideo.core.media_types import is_video
from aimlvideo.core.mp4_boxes import is_led_by_its_index, is_surely_cut_mp4, is_whole_mp4
from aimlvideo.core.service_clock import retry_after
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead, ServiceError
from aimlvideo.settings import Settings
from aimlvideo.shell import clock
from aimlvideo.shell.descriptors import BREATH, TOO_MANY, write_failure_advice
from aimlvideo.shell.files.private_files import drop_link
from aimlvideo.shell.http.bodies import Unpacker, loss_reason
from aimlvideo.shell.http.custom_transport import ClipSource

CHUNK = 2**18
BATCH = 2**20
"""Bytes that are written and hashed at once, in a thread: a smaller clip is opened, written and named in one go."""
MAX_CLIP = 8 * 2**30
"""Bytes of a clip at most."""
LEAST_RATE, RATE_WINDOW = 1024, 30.0
"""Bytes a second that a download brings at least, over so many seconds; one that only trickles is begun anew."""
HEAD_TIMEOUT = 120.0
"""Seconds until the head of an answer is here, with all redirects on the way to it."""
HEAD = 200
"""Bytes that tell a video from something else."""
SCANNED = (0.1, 0.4, 1.5, None)
"""Seconds after which a file that another program holds on Windows is tried to rename again; None: no more."""
DEAD = (401, 403, 404, 410)
"""Statuses with which a link that has expired or is refused answers."""
WHOLE = (200, 203)
"""Statuses of a whole clip: also of one that a proxy on the way has changed."""

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)
_opening, _naming = threading.Lock(), threading.Lock()
_inodes_in_use: set[tuple[int, int, str]] = set()
"""The files that downloads of this process write to now, by device, number, and name in one case.

A number alone tells too little: on a mounted cloud drive all new files may have the same one.
"""


class Clip(NamedTuple):
    """A whole file on disk."""

    path: Path
    bytes: int
    sha256: str


class ServiceOrigin(NamedTuple):
    """Where the service is, and the headers that show it the key for an address of its own."""

    base_url: str
    authorization: Callable[[str], Mapping[str, str]]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return where the service of these settings is."""

        def authorization(address: str) -> Mapping[str, str]:
            return settings.chosen_service.authorize(Request("GET", address), settings.api_key, clock.wall())

        return cls(settings.base_url, authorization)


class Download:
    """One clip on its way to `path`, through `path.part`. Call `fetch` until it returns; it goes on where it was cut.

    The link is sent byte for byte: the signature of a re-encoded one does not hold. Where another file has the name
    already (also one that differs in case alone, where the file system makes no difference), it is replaced; unless
    `overwrite` is False: then the clip gets the next free name, `NAME-2.mp4`, and its `Clip` says so. `edit` may change
    the whole clip in place before it gets its final name, and says whether it did; `Clip` is of the file as it is then.
    Of a large film whose index comes first, it is given what came first, to change that index alone.
    """

    def __init__(
        self,
        clips: ClipSource,
        link: str,
        path: Path,
        *,
        overwrite: bool = True,
        edit: Callable[[BinaryIO], bool] | None = None,
        size: int | None = None,
        service: ServiceOrigin | None = None,
    ) -> None:
        self._clips = clips
        self._link = link
        self._size = size
        self._service = service
        self._with_key = False
        self._path = path
        self._overwrite = overwrite
        self._edit = edit
        self._part = path.with_name(path.name + ".part")
        self._start_over()

    async def fetch(self) -> Clip:
        """Fetch what is missing, return the whole clip. Raises LinkDead, DownloadFailed (try again) or DiskFailed."""
        data = data_of_link(self._link)
        target = self._target() if data is None else None
        if self._have and not (self._resumable and (not self._written or is_whole_file(self._part, self._written))):
            self._start_over()
        try:
            if target is not None:
                await self._follow(target)
            elif data is not None:
                await anyio.to_thread.run_sync(self._unpack, *data)
            path = await anyio.to_thread.run_sync(self._finish)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise LinkDead(f"the clip's link is not a valid URL: {loss_reason(error)}") from error
        except aiohttp.TooManyRedirects as error:
            raise LinkDead(f"{self._host} redirects more than {len(error.history)} times") from error
        except ValueError as error:
            raise LinkDead(f"the clip's link leads to no possible address: {loss_reason(error)}") from error
        except (aiohttp.ClientError, ServiceError, TimeoutError, ConnectionError, ssl.SSLError) as error:
            raise DownloadFailed(
                f"the download from {self._host} was cut off after {self._have:,} bytes: {loss_reason(error)}"
            ) from error
        except OSError as error:
            # Other files are closed meanwhile: it passes by itself.
            if error.errno in TOO_MANY:
                raise DownloadFailed(f"too many open files: {error.strerror}", retry_after=BREATH) from error
            self.discard()
            advice = write_failure_advice(error)
            raise DiskFailed(f"{self._path} cannot be written: {error.strerror or error}. {advice}") from error
        finally:
            self._close()
        return Clip(path, self._have, self._hash.hexdigest())

    def discard(self) -> None:
        """Take away what was fetched so far."""
        self._start_over()
        self._close_file()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _target(self) -> URL:
        """Return the link as it came; only what no request can hold is encoded."""
        try:
            address = resolve_link(self._link, self._service.base_url if self._service else "")
            self._host = urlsplit(address).netloc.rpartition("@")[2]
            # Signed links hold byte for byte: yarl would re-encode what it thinks is written badly, and the signature
            # would not match.
            target = URL(address, encoded=True)
            if target.port is None or target.host is None:
                raise ValueError("it names no host")
            return target
        except ValueError as error:
            raise LinkDead(f"the clip's link is not a valid URL: {error}") from error

    def _unpack(self, is_base64: bool, data: str) -> None:
        """Take the clip that stands in the link itself."""
        self._start_over()
        plain = unquote_to_bytes(data)
        try:
            # Some encoders leave out the padding or break the lines.
            clip = base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=False) if is_base64 else plain
        except ValueError as error:
            raise LinkDead(f"the clip's link holds no clip: {error}") from error
        self._host = "the service"
        self._head = clip[:HEAD]
        self._check_head()
        self._pieces, self._have = [clip], len(clip)

    def _write(self) -> int:
        """Write and hash what was received and not written yet; runs in a thread, as all that waits for the disk."""
        if self._file is None:
            self._file = self._open()
        pieces, self._pieces = self._pieces, []
        if not self._written and (head := self._edited_head(pieces)) is not None:
            pieces, self._is_edited = [head], True
        for piece in pieces:
            _write_all(self._file, piece)
            if self._edit is None or self._is_edited:
                self._hash.update(piece)
            self._written += len(piece)
        return self._file

    def _edited_head(self, pieces: list[bytes]) -> bytes | None:
        """Return how a large film begins that is to be edited; None where that has to wait until all of it is here."""
        if self._edit is None or self._total is None:
            return None
        # Once the rest is on disk, it would be read and written again to make room, and read once more for its hash.
        clip = io.BytesIO(b"".join(pieces))
        return clip.getvalue() if is_led_by_its_index(clip, self._total) and self._edit(clip) else None

    def _open(self) -> int:
        """Open the file of what was written so far; another download's file is left alone."""
        # As one step: another download that names and lets go of this very file in between would be written over.
        with _opening:
            file = _open_to_write(self._part, new=not self._written)
            opened = os.fstat(file)
            name = unicodedata.normalize("NFKD", self._part.name).casefold()
            inode = (opened.st_dev, opened.st_ino, name)
            if not (is_taken := inode in _inodes_in_use):
                _inodes_in_use.add(inode)
                self._inode = inode
        if not is_taken:
            if opened.st_size != self._written:
                os.ftruncate(file, self._written)
            if self._written:
                os.lseek(file, self._written, os.SEEK_SET)
            return file
        os.close(file)
        self._part = next(_numbered(self._part))
        if self._written:
            raise DownloadFailed("another download writes to the file that this one began")
        return self._open()

    def _close(self) -> None:
        self._close_file()
        if self._inode is not None:
            with _opening:
                _inodes_in_use.discard(self._inode)
            self._inode = None

    def _close_file(self) -> None:
        """Close what was written to, which stays this download's own."""
        if self._file is not None:
            file, self._file = self._file, None
            # What a full disk has not taken it does not take now either: the next attempt finds less than was written.
            with suppress(OSError):
                os.close(file)

    async def _follow(self, target: URL) -> None:
        """Receive what a link leads to, also behind a page that sends everybody round who does not show its cookie."""
        try:
            await self._receive(target)
        except aiohttp.TooManyRedirects as error:
            # No session keeps one. It is shown where it was set, as aiohttp drops it on the way to any other host.
            place = error.history[-1].url
            at_place = (answer.cookies for answer in error.history if answer.url.origin() == place.origin())
            cookies = {name: cookie.coded_value for one in at_place for name, cookie in one.items()}
            if not cookies:
                raise
            await self._receive(place, {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})

    async def _receive(self, target: URL, cookies: Mapping[str, str] = MappingProxyType({})) -> None:
        headers = {"Accept-Encoding": "identity", **cookies}
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
            # A weak tag says that two bodies mean the same, not that their bytes are.
            if self._tag.startswith('"'):
                headers["If-Range"] = self._tag
        if self._with_key and self._service is not None:
            headers |= self._service.authorization(str(target))
        async with (
            asyncio.timeout(HEAD_TIMEOUT) as until_head,
            self._clips.get(target, headers=headers, auto_decompress=False) as response,
        ):
            # Within this time all redirects are followed and the head is here: one that trickles is none.
            until_head.reschedule(None)
            if response.status in (401, 403) and not self._with_key and self._is_at_the_service(target):
                self._with_key = True  # the service keeps its clips behind the key: it goes to this origin alone
                await self._receive(target, cookies)
                return
            compressed = response.headers.get("Content-Encoding", "identity") != "identity"
            self._check(response.status, response.headers, response.content_length)
            decompressor: Unpacker | None = None
            pace = _Pace()
            async for received in response.content.iter_chunked(CHUNK):
                pace.check(len(received))
                if compressed and not self._have and decompressor is None:
                    decompressor = Unpacker.of(received, response.headers["Content-Encoding"])
                for chunk in (received,) if decompressor is None else _decompressed(decompressor, received):
                    await self._take(chunk)
            if compressed and decompressor is None:
                self._total = response.content_length  # a false label: the clip came as it is
            elif decompressor is not None and decompressor.eof:
                self._total = self._have
        self._check_end()

    async def _take(self, chunk: bytes) -> None:
        """Take a piece of the clip; where enough has come together it is written before more is received."""
        if self._have + len(chunk) > MAX_CLIP:
            raise LinkDead(f"{self._host} sends more than {MAX_CLIP:,} bytes: no clip is that large")
        self._sniff(chunk)
        self._pieces.append(chunk)
        self._have += len(chunk)
        if self._have - self._written >= BATCH:
            await anyio.to_thread.run_sync(self._write)

    def _is_at_the_service(self, target: URL) -> bool:
        return self._service is not None and same_origin(str(target), self._service.base_url)

    def _check(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Read an answer's head: where its body starts, and how long the whole is."""
        if status in DEAD:
            raise LinkDead(f"the link to the clip at {self._host} is dead (HTTP {status})")
        tag, content_range = headers.get("ETag", ""), headers.get("Content-Range", "")
        if status == 206 and (part := _RANGE.fullmatch(content_range)):
            start, total = int(part[1]), int(part[3])
            if start == 0:
                self._start_over()  # some caches give whole blocks, and the first one is that of the beginning
            # Only an exact continuation of the same file is appended; everything else begins again.
            if start == self._have and self._total in (None, total) and (not self._have or tag in ("", self._tag)):
                self._total, self._tag = total, tag or self._tag
                return
        if status in WHOLE:
            self._start_over()
            self._tag = tag
            self._resumable = headers.get("Content-Encoding", "identity") == "identity"
            self._total = length if self._resumable else None
            return
        wait = retry_after(headers) if status in (429, 503) else None
        if status in (*WHOLE, 206, 416):
            self._start_over()
        raise DownloadFailed(f"{self._host} answered HTTP {status} {content_range}".rstrip(), retry_after=wait)

    def _sniff(self, chunk: bytes) -> None:
        """Refuse what begins as no video does, as soon as that can be told."""
        # At once, not at the end: an error page of a gigabyte is not downloaded to learn that it is none.
        if len(self._head) < HEAD:
            self._head += chunk[: HEAD - len(self._head)]
            if len(self._head) == HEAD:
                self._check_head()

    def _check_head(self) -> None:
        if not is_video(self._head):
            begins = self._head[:24]
            self._start_over()
            raise DownloadFailed(f"{self._host} sent no video: it begins with {begins!r}")

    def _check_end(self) -> None:
        if self._total is not None and self._have != self._total:
            have, total = self._have, self._total
            if have > total:
                # The pieces are not of one file: the next try must not go on behind them.
                self._start_over()
            raise DownloadFailed(f"{self._host} sent {have:,} of {total:,} bytes")
        if not self._have:
            raise DownloadFailed(f"{self._host} sent an empty file")
        if self._have < HEAD:
            self._check_head()

    def _finish(self) -> Path:
        """Put a whole file under its final name, so that it is there after a power cut; return that name."""
        file = self._write_rest() if self._written else self._write_at_once()
        # Before the rename: after a power cut the final name must never stand for a file whose content did not reach
        # the disk.
        os.fsync(file)
        self._close_file()  # Windows renames no file that is open
        # As one step: two that end at once would both find the name free, and one clip would replace the other.
        with _naming:
            path = self._path
            if not self._overwrite and path.exists() and not is_whole_file(path, self._have, self._hash.hexdigest()):
                path = next(_numbered(path))
            _rename(self._part, path)
        self._close()
        return path

    def _write_at_once(self) -> int:
        """Write a clip that is in memory, as it is to be kept."""
        content = b"".join(self._pieces)
        clip = io.BytesIO(content)
        self._check_boxes(clip, self._have)
        if self._edit is not None and self._edit(clip):
            content = clip.getvalue()
        self._file = self._open()
        _write_all(self._file, content)
        self._hash.update(content)
        self._pieces, self._have, self._written = [], len(content), len(content)
        return self._file

    def _write_rest(self) -> int:
        """Write what is missing of a larger clip, and make it what is to be kept."""
        file = self._write()
        with self._part.open("r+b") as clip:
            self._check_boxes(clip, self._written)
            if self._edit is None or self._is_edited:
                self._have = self._written
                return file
            if not self._edit(clip) and clip.seek(0, os.SEEK_END) != self._have:
                # Given up in the middle: what is left has lost its own order, so it is kept as it comes next time.
                self._edit = None
                self._start_over()
                raise DownloadFailed(
                    f"the clip of {self._host} cannot be edited: it is fetched again, to stay as it is"
                )
            # Once, here: the hash of what came is half of the work of a large clip, and is that of no file any more.
            clip.seek(0)
            self._hash = hashlib.file_digest(clip, hashlib.sha256)
            self._have = clip.tell()
        return file

    def _check_boxes(self, clip: BinaryIO, length: int) -> None:
        """Refuse a clip of another length than the service says, or cut by its own boxes: more so at unknown length."""
        if self._total is not None and self._size in (None, self._have):
            if is_surely_cut_mp4(clip, length):
                have = self._have
                self._start_over()
                raise DownloadFailed(
                    f"{self._host} sent all of its {have:,} bytes, but they are no whole clip: its MP4 ends in the "
                    "middle of a box, or lacks its index (moov)"
                )
            return
        is_whole = is_whole_mp4(clip, length)
        if self._size not in (None, self._have) and not is_whole:
            have = self._have
            self._start_over()
            raise DownloadFailed(f"{self._host} sent {have:,} of {self._size:,} bytes")
        if is_whole is False:
            have = self._have
            self._start_over()
            raise DownloadFailed(f"{self._host} sent {have:,} bytes of a clip whose MP4 boxes announce more")

    def _start_over(self) -> None:
        self._have, self._total, self._hash = 0, None, hashlib.sha256()
        self._pieces, self._written, self._is_edited = list[bytes](), 0, False
        self._head, self._tag, self._resumable = b"", "", True

    _have: int
    """Bytes received: those in the file, and those in the pieces."""
    _written: int
    """Bytes in the file."""
    _is_edited: bool
    """Whether what is in the file is edited already, so that it has more bytes than were received for it."""
    _file: int | None = None
    """The descriptor of the file that is open now: Python's file objects make seven more system calls a clip, and each
    lets the event loop's thread and this one take the interpreter from each other."""
    _inode: tuple[int, int, str] | None = None
    _total: int | None
    _tag: str
    _host: str = ""


class _Pace:
    """How fast a download comes: below the least rate over a whole window it is given up."""

    def __init__(self) -> None:
        self._began, self._received = time.monotonic(), 0

    def check(self, received: int) -> None:
        """Count what was received. Raises DownloadFailed where it only trickles."""
        self._received += received
        seconds = time.monotonic() - self._began
        if seconds < RATE_WINDOW:
            return
        # A host that sends a byte now and then would hold a download's place for hours; no timeout between two chunks
        # ends that.
        if self._received < LEAST_RATE * seconds:
            raise DownloadFailed(f"the download is too slow: {self._received:,} bytes in {seconds:.0f} s")
        self._began, self._received = time.monotonic(), 0


def _open_to_write(path: Path, *, new: bool) -> int:
    """Open a file, one that is there already or a `new` one; a symbolic link gives way to a file in its place."""
    flags = os.O_WRONLY | (os.O_CREAT if new else 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place is refused at once, and not waited for
    if not hasattr(os, "O_NOFOLLOW"):
        drop_link(path)
    try:
        return os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        drop_link(path)
        return os.open(path, flags, 0o666)


def _rename(part: Path, path: Path) -> None:
    """Give a whole file its name. On Windows a virus scanner may hold it for a moment, as it does each new file."""
    for wait in SCANNED:
        try:
            os.replace(part, path)
        except PermissionError as error:
            if getattr(error, "winerror", None) is None or wait is None:
                raise
            time.sleep(wait)
        else:
            return


def _write_all(file: int, content: bytes) -> None:
    """Write all of it: the system may take a part at a time."""
    written = os.write(file, content)
    while written < len(content):
        written += os.write(file, memoryview(content)[written:])


def is_whole_file(path: Path, length: int | None, sha256: str | None = None) -> bool:
    """Tell whether a file is there with its recorded length, and, where `sha256` is given, its recorded content."""
    try:
        if path.stat().st_size != length:
            return False
        if sha256 is None:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _numbered(path: Path) -> Iterator[Path]:
    """Give the free names beside one that is taken: `clip-2.mp4`, `clip-3.mp4`."""
    for number in itertools.count(2):
        other = path.with_name(f"{path.stem}-{number}{path.suffix}")
        if not other.exists():
            yield other


def _decompressed(decompressor: Unpacker, received: bytes) -> Iterator[bytes]:
    """Give what a chunk unpacks to, piece by piece: a few KB may stand for hundreds of MB."""
    try:
        yield from decompressor.unpack(received, CHUNK)
    except zlib.error as error:
        raise DownloadFailed(f"the clip cannot be unpacked: {error}") from error
