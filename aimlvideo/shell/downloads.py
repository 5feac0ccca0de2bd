"""A link to a whole file, or nothing: never half a clip under its final name."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import aiohttp
import anyio
from yarl import URL

from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead

CHUNK = 2**18
DEAD = (401, 403, 404, 410)
"""Statuses with which a link that has expired or is refused answers."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Clip:
    """A whole file on disk."""

    path: Path
    bytes: int
    sha256: str


class Download:
    """One clip on its way to `path`, through `path.part`. Call `more` until it returns; it goes on where it was cut.

    The link is sent byte for byte: the signature of a re-encoded one does not hold.
    """

    def __init__(self, session: aiohttp.ClientSession, link: str, path: Path) -> None:
        self._session = session
        self._link = link
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._have = 0
        self._total: int | None = None
        self._hash = hashlib.sha256()

    async def more(self) -> Clip:
        """Fetch what is missing, return the whole clip. Raises LinkDead, DownloadFailed (try again) or DiskFailed."""
        try:
            with self._part.open("r+b" if self._have else "wb") as file:
                file.seek(self._have)
                await self._fetch(file)
                await anyio.to_thread.run_sync(_finish, file, self._part, self._path)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DownloadFailed(f"{self._host} was cut after {self._have:,} bytes: {_said(error)}") from error
        except OSError as error:
            self.drop()
            raise DiskFailed(f"{self._path} cannot be written: {error.strerror or error}") from error
        return Clip(self._path, self._have, self._hash.hexdigest())

    def drop(self) -> None:
        """Take away what was fetched so far."""
        self._start_over()
        self._part.unlink(missing_ok=True)

    async def _fetch(self, file: BinaryIO) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={self._have}-"} if self._have else {})
        async with self._session.get(URL(self._link, encoded=True), headers=headers) as response:
            self._check(response.status, response.headers.get("Content-Range", ""), response.content_length, file)
            async for chunk in response.content.iter_chunked(CHUNK):
                if not self._have:
                    self._check_first(chunk)
                file.write(chunk)
                self._hash.update(chunk)
                self._have += len(chunk)
        if self._total is not None and self._have != self._total:
            raise DownloadFailed(f"{self._host} sent {self._have:,} of {self._total:,} bytes")
        if not self._have:
            raise DownloadFailed(f"{self._host} sent an empty file")

    def _check(self, status: int, content_range: str, length: int | None, file: BinaryIO) -> None:
        """Read an answer's head: where its body starts, and how long the whole is."""
        if status in DEAD:
            raise LinkDead(f"the link to the clip at {self._host} is dead (HTTP {status})")
        if status == 206 and (part := _RANGE.fullmatch(content_range)):
            start, total = int(part[1]), int(part[3])
            if start == self._have and self._total in (None, total):
                self._total = total
                return
        if status == 200:
            self._start_over()
            file.seek(0)
            file.truncate()
            self._total = length
            return
        self._start_over()
        raise DownloadFailed(f"{self._host} answered HTTP {status} {content_range}".rstrip())

    def _check_first(self, chunk: bytes) -> None:
        if chunk[4:8] not in _BOXES and not chunk.startswith(b"\x1a\x45\xdf\xa3"):
            raise DownloadFailed(f"{self._host} sent no video: it begins with {chunk[:24]!r}")

    def _start_over(self) -> None:
        self._have, self._total, self._hash = 0, None, hashlib.sha256()

    @property
    def _host(self) -> str:
        return urlsplit(self._link).netloc.rpartition("@")[2]


def whole(path: Path, length: int | None, sha256: str | None = None) -> bool:
    """Tell whether a file is there with its recorded length, and, where `sha256` is given, its recorded content."""
    try:
        right = path.stat().st_size == length
        return right and (sha256 is None or hashlib.sha256(path.read_bytes()).hexdigest() == sha256)
    except OSError:
        return False


def _finish(file: BinaryIO, part: Path, path: Path) -> None:
    """Put a whole file under its final name, so that it is there after a power cut."""
    file.flush()
    os.fsync(file.fileno())
    part.replace(path)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
