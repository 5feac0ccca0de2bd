"""Where finished clips go, when that is not the folder they arrive in: an object store, or a folder that many share.

A clip is fetched whole into a folder of our own (`staging`) and then put under its final name by the store's own means:
an object appears when its upload is complete, a file by a rename. Nobody ever sees half a clip.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import unquote, urlsplit

import anyio

from aimlvideo.core.formatting import without_passwords
from aimlvideo.core.store_schemes import ATOMIC_SCHEMES, STORE_EXTRAS
from aimlvideo.errors import DiskFailed, DownloadFailed, SettingsError
from aimlvideo.shell import clock
from aimlvideo.shell.user_folders import lasting_folder, state_folder

REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
RUNS = "runs"
"""The folder of the journals of runs whose clips go there, under this user's."""


log = logging.getLogger("aimlvideo.stores")


class ClipStore(Protocol):
    """A place for whole clips."""

    staging: Path
    """The folder that clips arrive in."""

    async def upload(self, name: str) -> None:
        """Bring a clip from the staging to its place. Raises DownloadFailed (try again) or DiskFailed."""

    async def fetch(self, name: str, into: Path) -> Path:
        """Return a clip in its place as a file of this machine, brought `into` a folder where it is on none.

        Raises DownloadFailed (try again).
        """

    async def length(self, name: str) -> int | None:
        """Return the bytes of a clip in its place, None where it is not there."""

    async def read_text(self, name: str) -> str | None:
        """Return a small file in the place of the clips, None where it is not there."""

    async def write_text(self, name: str, text: str) -> None:
        """Write a small file there. Raises SettingsError."""

    async def replace_text(self, name: str, text: str) -> None:
        """Write a small file there, in place of the one that is there. Raises SettingsError."""

    async def remove(self, name: str) -> None:
        """Remove a small file there."""

    async def sweep(self, alive: Collection[str]) -> None:
        """Remove what killed workers have left half fetched; `alive` are the ids of those on the roll."""


ARRIVING = ".arriving-"
"""How the folder begins in which a worker's clips arrive; the first letters of its id follow."""
ABANDONED = 3600.0
"""Seconds without a change, after which the folder of a worker that is not on the roll belongs to nobody."""


class _SharedFolder(ClipStore):
    """A folder that several workers share: each fetches into a part of its own, and renames."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self.folder, self.staging = folder, staging

    async def upload(self, name: str) -> None:
        """Rename a clip to its place."""
        try:
            (self.staging / name).replace(self.folder / name)
        except OSError as error:
            raise DiskFailed(f"{self.folder / name} cannot be written: {error.strerror or error}") from error

    async def fetch(self, name: str, into: Path) -> Path:
        """Return a clip in its place. Raises DownloadFailed where it is not there (yet)."""
        path = self.folder / name
        if not path.is_file():
            raise DownloadFailed(f"there is no {path}: do all workers see the same folder?")
        return path

    async def length(self, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except OSError:
            return None

    def __str__(self) -> str:
        return str(self.folder)

    async def read_text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text().strip()
        except OSError:
            return None

    async def write_text(self, name: str, text: str) -> None:
        """Write a small file where none is. Raises SettingsError."""
        try:
            # Exclusively: of two workers that start together, one writes it and the other finds it.
            with (self.folder / name).open("x") as file:
                file.write(text)
        except FileExistsError:
            return
        except OSError as error:
            raise SettingsError(f"{self.folder / name} cannot be written: {error.strerror or error}") from error

    async def replace_text(self, name: str, text: str) -> None:
        try:
            (self.staging / name).write_text(text)
            (self.staging / name).replace(self.folder / name)
        except OSError as error:
            raise SettingsError(f"{self.folder / name} cannot be written: {error.strerror or error}") from error

    async def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    async def sweep(self, alive: Collection[str]) -> None:
        """Remove the staging folders of killed workers: of none on the roll, and of none that changed of late."""
        await anyio.to_thread.run_sync(self._sweep, {_staging_name(worker) for worker in alive})

    def _sweep(self, in_use: set[str]) -> None:
        for staging in self.folder.glob(f"{ARRIVING}*"):
            # By age too: a worker that is cut off from the database is on no roll, and may be fetching all the same.
            with suppress(OSError):
                newest = max(path.stat().st_mtime for path in (staging, *staging.iterdir()))
                if staging != self.staging and staging.name not in in_use and clock.wall() - newest > ABANDONED:
                    shutil.rmtree(staging)


class Filesystem:
    """An object store, and the path of a URL in it, by fsspec: this is its one importer. Raises SettingsError."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec  # noqa: PLC0415 - an extra

            # One of its own: fsspec shares those of one address, and uploads change a setting of theirs.
            self.files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        except ImportError as error:
            extra = STORE_EXTRAS.get(urlsplit(url).scheme)
            hint = f". Install it with: pip install 'aimlvideo[{extra}]'" if extra else ""
            raise SettingsError(f"{url}: {error}{hint}") from error
        except ValueError as error:
            raise SettingsError(f"{url} is not a writable location: {error}") from error
        except Exception as error:
            # Some are connected to at once, and each store has its own exceptions.
            raise SettingsError(
                f"{without_passwords(url)} cannot be reached: expected a store that answers ({error})"
            ) from error
        self._root = root.rstrip("/")

    def path(self, name: str) -> str:
        """Return where a name below the URL is, as the store calls it."""
        return f"{self._root}/{name}"

    def put(self, source: str, place: str) -> None:
        """Write a file of this machine to a path, marked as what the ending of that says that it is."""
        kind, _ = mimetypes.guess_type(place)
        protocol = self.files.protocol
        # S3 and Google's store mark it themselves. Azure's marks everything as bytes, which browsers save instead of
        # playing, and which a service that is sent the link may refuse.
        is_azure = "abfs" in (protocol if isinstance(protocol, tuple | list) else (protocol,))
        marked = {"content_settings": {"content_type": kind}} if kind and is_azure else {}
        self.files.put_file(source, place, **marked)


class ObjectStore(ClipStore):
    """A folder of an object store, by its URL: `s3://bucket/run` (see `Filesystem`)."""

    def __init__(self, url: str, staging: Path) -> None:
        self.url, self.staging = url.rstrip("/"), staging
        self._store = Filesystem(self.url)

    @classmethod
    async def opened(cls, url: str) -> Self:
        """Return a store that clips can be put in, with the working folder of its URL. Raises SettingsError."""
        store = cls(url, _working_folder(url))
        await anyio.to_thread.run_sync(store.check)
        return store

    async def upload(self, name: str) -> None:
        """Upload a clip, whole or not at all, and take it out of the staging."""
        source, place = self.staging / name, self._store.path(name)
        try:
            await anyio.to_thread.run_sync(self._put, str(source), place)
        except Exception as error:
            # Each store has its own exceptions, and most are no OSError.
            raise DownloadFailed(f"{self.url}/{name} could not be written: {error}") from error
        source.unlink(missing_ok=True)

    async def fetch(self, name: str, into: Path) -> Path:
        """Download a clip `into` a folder. Raises DownloadFailed (try again)."""
        path = into / name
        try:
            into.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a folder of this machine
            await anyio.to_thread.run_sync(self._store.files.get_file, self._store.path(name), str(path))
        except Exception as error:
            raise DownloadFailed(f"{self.url}/{name} could not be read: {error}") from error
        return path

    async def length(self, name: str) -> int | None:
        try:
            return int((await anyio.to_thread.run_sync(self._store.files.info, self._store.path(name)))["size"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise DownloadFailed(f"{self.url}/{name} could not be checked: {error}") from error

    def __str__(self) -> str:
        return self.url

    async def read_text(self, name: str) -> str | None:
        try:
            content = await anyio.to_thread.run_sync(self._store.files.cat_file, self._store.path(name))
            return str(content.decode()).strip()
        except FileNotFoundError:
            return None
        except Exception as error:
            raise SettingsError(f"{self.url}/{name} cannot be read: {error}") from error

    async def write_text(self, name: str, text: str) -> None:
        try:
            await anyio.to_thread.run_sync(self._store.files.pipe_file, self._store.path(name), text.encode())
        except Exception as error:
            raise SettingsError(f"{self.url}/{name} cannot be written: {error}") from error

    replace_text = write_text

    async def remove(self, name: str) -> None:
        await anyio.to_thread.run_sync(self._store.files.rm_file, self._store.path(name))

    async def sweep(self, alive: Collection[str]) -> None:
        """Leave everything: clips arrive in a temporary folder of this machine, which the system tidies up."""

    def check(self) -> None:
        """Raise SettingsError where nothing can be written: before anything is paid."""
        probe = self._store.path(".aimlvideo")
        try:
            # Tried, not asked about: permissions of stores are many, and a run that cannot save must not buy.
            self._store.files.pipe_file(probe, b"")
            self._store.files.rm_file(probe)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            raise SettingsError(
                f"{self.url} cannot be written: is it there, and may this account write to it? "
                f"({type(error).__name__}: {reason})"
            ) from error

    async def upload_copy(self, name: str) -> None:
        """Upload a file that stays in the staging too. Where that fails, it is only there."""
        try:
            await anyio.to_thread.run_sync(self._put, str(self.staging / name), self._store.path(name))
        except Exception as error:
            log.warning("%s/%s could not be written: %s", self.url, name, error)

    def _put(self, source: str, place: str) -> None:
        if self._scheme in ATOMIC_SCHEMES:
            self._store.put(source, place)
            return
        part = f"{place}.{os.getpid()}.part"
        self._store.put(source, part)
        self._store.files.mv(part, place)

    @property
    def _scheme(self) -> str:
        return urlsplit(self.url).scheme.lower()


def is_remote(output: str) -> bool:
    """Tell whether an output is a URL, not a folder of this machine. Raises SettingsError for one that is no URL."""
    shown = without_passwords(output)
    try:
        scheme, place, *_ = urlsplit(output) if REMOTE.match(output) else ("file", "")
    except ValueError as error:
        raise SettingsError(f"{shown!r} is not a URL ({error}): expected one, or a folder") from None
    # A path would be made of it, of this machine, and clips be bought into that.
    if REMOTE.fullmatch(output.strip()) or (scheme in STORE_EXTRAS and not place.strip()):
        raise SettingsError(
            f"{shown!r} names no bucket: expected s3://bucket/run, or a folder (is a variable not set?)"
        )
    return scheme != "file"


def _local_folder(output: str) -> Path:
    """Return the folder that an output without a store means; `file:///path` is one too."""
    return Path(unquote(urlsplit(output).path)) if REMOTE.match(output) else Path(output)


def _working_folder(url: str) -> Path:
    """Return where a run whose clips go to an object store has its journal: the same for the same URL."""
    # For people who look into the folder; the digest is what tells two URLs apart.
    digest = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:8]
    folder = lasting_folder("the journal of a run into an object store") / RUNS
    # A journal that was begun while its folder still had the password in its name is gone on with.
    old, new = (
        folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', text).strip('-')[-60:]}-{digest}"
        for text in (url, without_passwords(url))
    )
    return old if old.exists() else new


def is_working_folder(path: Path) -> bool:
    """Tell whether a folder is where a run has its journal whose clips go to an object store."""
    return path.resolve().parent == (state_folder() / RUNS).resolve()


def journal_folder(output: str) -> Path:
    """Return the folder on this machine that a run has its journal in, whatever its output is."""
    return _working_folder(output) if is_remote(output) else _local_folder(output)


@contextmanager
def open_worker_store(output: str, name: str) -> Iterator[ObjectStore | _SharedFolder]:
    """Give the place that many workers put their clips in; `name` is this worker's, for its staging.

    Raises SettingsError where nothing can be written there.
    """
    if is_remote(output):
        with tempfile.TemporaryDirectory(prefix="aimlvideo-") as staging:
            store = ObjectStore(output, Path(staging))
            store.check()
            yield store
        return
    folder = _local_folder(output)
    # In the folder itself, so that moving a clip to its name is one rename within one file system; one for each worker,
    # so that none sweeps away another's.
    own_staging = folder / _staging_name(name)
    try:
        own_staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the output folder {folder} cannot be created: {error.strerror}") from error
    try:
        yield _SharedFolder(folder, own_staging)
    finally:
        shutil.rmtree(own_staging, ignore_errors=True)


def _staging_name(worker: str) -> str:
    return f"{ARRIVING}{worker[:8]}"
