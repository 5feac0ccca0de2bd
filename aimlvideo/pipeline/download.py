"""From ready to saved: a few clips at a time; a dead link is asked for again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio

from aimlvideo.core.jobs.file_names import numbered_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import ClipFile, Progress
from aimlvideo.core.jobs.recipe import recipe_of
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import DownloadLimit
from aimlvideo.core.wires.base import Generation, Wire
from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead, OutOfPatience, ServiceError
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.request_log import Send
from aimlvideo.pipeline.status_checks import fetch_status
from aimlvideo.shell import clock
from aimlvideo.shell.files.downloads import Clip, Download, ServiceOrigin
from aimlvideo.shell.http.custom_transport import ClipSource
from aimlvideo.shell.http.retrying import retrying

FRESH_LINKS = 2
"""How many new links are asked for."""
LINK_WAITS = (0.0, 2.0, 6.0, 18.0)
"""Seconds before each of them; where the service gives the same link again, it works a little after completion."""

Edit = Callable[[BinaryIO], bool]
"""Changes a whole clip in place, and says whether it did."""

OnFailure = Callable[[DownloadFailed], None]

log = logging.getLogger("aimlvideo.download")


@dataclass(eq=False)
class Downloads:
    """Saves clips."""

    clips: ClipSource
    send: Send
    wire: Wire
    service: ServiceOrigin | None = None
    metadata: bool = True
    """Whether a clip's recipe is written into its file."""
    limit: DownloadLimit = field(default_factory=DownloadLimit)
    """How many clips of a run are fetched at a time."""
    refuse_another_s: Callable[[Entry, Generation], None] = lambda entry, generation: None
    """Raises ServiceError where an answer about a job's generation is about another job's."""

    async def save(self, entry: Entry) -> None:
        """Save the clips of one job, or leave them where they are where that takes longer than the run's patience."""
        patience, failures = entry.run.spec.patience, deque[DownloadFailed](maxlen=1)
        with contained(entry):
            with anyio.move_on_after(patience) as scope:
                await self._save(entry, failures.append)
            if scope.cancelled_caught and not entry.ended:
                if clock.loop() - scope.deadline > clock.STOOD_STILL:
                    await self.save(entry)
                    return
                generation_id = entry.progress.generation_id
                why = f"the download of generation {generation_id} did not end within {patience:g} s"
                why += f"; the last try failed: {failures[0]}" if failures else ""
                to_fetch = f"To fetch it: the same command again, or client.wait({generation_id!r})"
                entry.end(OutOfPatience(f"{why}. {to_fetch}", generation_id=generation_id))

    async def _save(self, entry: Entry, on_failure: OnFailure) -> None:
        assert entry.run.spec.folder is not None
        if entry.ended:
            return
        try:
            # A size in the journal means that the file of this name was ours, and is damaged or gone: it may be
            # replaced. Without one, a file of this name is somebody else's, and the clip gets the next free name.
            saved_before = entry.progress.bytes is not None
            name = entry.progress.file or entry.run.names.name_of(entry.job)
            clips = []
            for index in range(max(1, len(entry.progress.video_urls))):
                ours = entry.progress.files[index].file if index < len(entry.progress.files) else None
                path = entry.run.spec.folder / (ours or numbered_name(name, index))
                replaceable = ours is not None or (saved_before and index == 0)
                clips.append(await self._fetch_clip(entry, path, index, on_failure, overwrite=replaceable))
                if entry.run.spec.store is not None:
                    await entry.run.spec.store.upload(clips[-1].path.name)
        except LinkDead as error:
            entry.step(Stage.FAILED, error=error)
            entry.end()
        except DiskFailed as error:
            entry.stop_run(error)
        except (DownloadFailed, ServiceError) as error:
            entry.end(error)
        else:
            files = tuple(ClipFile(clip.path.name, clip.bytes, clip.sha256) for clip in clips)
            size = sum(clip.bytes for clip in clips)
            self.limit.on_saved(size, clock.loop(), more_wait=entry.run.clips_wait)
            saved = {**files[0]._asdict(), "files": files if len(files) > 1 else ()}
            entry.step(Stage.SAVED, saved_at=clock.wall(), **saved)
            entry.end()

    async def _fetch_clip(
        self, entry: Entry, path: Path, index: int, on_failure: OnFailure, *, overwrite: bool
    ) -> Clip:
        """Bring one clip of a generation to `path`."""

        async def fresh_link() -> str | None:
            generation = await fetch_status(self.send, self.wire, entry.progress.generation_id or "", entry.job)
            self.refuse_another_s(entry, generation)
            links = generation.video_urls
            # A service that has dropped one of several clips since must not give another one's link for it.
            if index < len(links):
                several = links if len(links) > 1 else ()
                entry.step(Stage.READY, video_url=links[0], video_urls=several, file_sizes=generation.file_sizes)
                return links[index]
            return None

        edit = self.edit_of(entry.job, entry.progress)

        def size() -> int | None:
            sizes = entry.progress.file_sizes
            return sizes[index] if index < len(sizes) else None

        link = entry.progress.video_urls[index] if entry.progress.video_urls else entry.progress.video_url
        return await self.fetch(
            link, path, fresh_link, overwrite=overwrite, edit=edit, size=size, on_failure=on_failure
        )

    def edit_of(self, job: VideoJob, progress: Progress) -> Edit | None:
        """Return what writes a job's recipe into its clip; None where clips are saved as they come."""
        return partial(_write_recipe, job, progress) if self.metadata else None

    async def fetch(
        self,
        link: str | None,
        path: Path,
        fresh_link: Callable[[], Awaitable[str | None]],
        *,
        overwrite: bool = True,
        edit: Edit | None = None,
        size: Callable[[], int | None] = lambda: None,
        on_failure: OnFailure = lambda _: None,
    ) -> Clip:
        """Bring a clip to `path`, whole; a link that is dead or leads to no video is asked for again.

        With `overwrite`, a file that is there already is replaced; else the clip gets the next free name beside it.
        `on_failure` is called with the reason of each try that fails.
        """
        new_links = 0
        for wait in LINK_WAITS:
            try:
                return await self._fetch_link(link, path, on_failure, overwrite=overwrite, edit=edit, size=size())
            except DiskFailed:
                raise
            except DownloadFailed as error:
                if new_links == FRESH_LINKS:
                    raise
                log.info("a fresh link is asked for in %.0f s: %s", wait, error)
                await anyio.sleep(wait)
                # The same link again uses up no new one: a service that has not moved the file yet gets all the waits.
                fresh = await retrying(fresh_link, on=(ServiceError,)) or link
                new_links, link = new_links + (fresh != link), fresh
        return await self._fetch_link(link, path, on_failure, overwrite=overwrite, edit=edit, size=size())

    async def _fetch_link(
        self,
        link: str | None,
        path: Path,
        on_failure: OnFailure,
        *,
        overwrite: bool,
        edit: Edit | None,
        size: int | None,
    ) -> Clip:
        """Bring one link to a whole file; what was cut goes on where it stopped."""
        if not link:
            raise LinkDead("the service gave no link to the clip")
        download = Download(self.clips, link, path, overwrite=overwrite, edit=edit, size=size, service=self.service)

        async def attempt() -> Clip:
            try:
                return await download.fetch()
            except DownloadFailed as error:
                on_failure(error)
                raise

        try:
            return await retrying(attempt, on=(DownloadFailed,), unless=(LinkDead, DiskFailed))
        except DownloadFailed:
            download.discard()
            raise


def _write_recipe(job: VideoJob, progress: Progress, clip: BinaryIO) -> bool:
    """Write a job's recipe into its clip; runs in a thread."""
    from aimlvideo.shell.files.clip_metadata import write_metadata  # noqa: PLC0415 - 8 ms that only a saved clip needs

    return write_metadata(clip, job.id, recipe_of(job, progress))
