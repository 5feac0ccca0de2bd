"""From ready to saved: a few clips at a time; a dead link is asked for again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aimlvideo.core.jobs.job import Progress, VideoJob
from aimlvideo.core.jobs.recipe import recipe_of
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.base import Wire
from aimlvideo.errors import DiskFailed, DownloadFailed, LinkDead, ServiceError
from aimlvideo.pipeline.poll import Send, fetch_status
from aimlvideo.pipeline.run import Entry, Run
from aimlvideo.shell import clock
from aimlvideo.shell.files.clip_metadata import write_metadata
from aimlvideo.shell.files.downloads import Clip, Download
from aimlvideo.shell.http.given_transport import ClipSource
from aimlvideo.shell.http.retrying import retrying

PARALLEL_DOWNLOADS = 8
"""Downloads of one run at a time."""
FRESH_LINKS = 2
"""How often a generation is asked for a fresh link."""

log = logging.getLogger("aimlvideo.download")


@dataclass(eq=False)
class Downloads:
    """Saves clips."""

    clips: ClipSource
    send: Send
    wire: Wire
    metadata: bool = True
    """Whether a clip's recipe is written into its file."""

    async def run(self, run: Run) -> None:
        """Save the clips of a run, one after the other; several of these work side by side."""
        if run.closed:
            return
        async with run.downloads.clone() as waiting:
            async for entry in waiting:
                await self._save(entry)

    async def _save(self, entry: Entry) -> None:
        assert entry.run.spec.folder is not None
        if entry.ended:
            return
        try:
            saved_before = entry.progress.bytes is not None  # then its file is replaced; any other is left alone
            name = entry.progress.file or entry.run.name_of(entry.job)
            clip = await self._bring_entry(entry, entry.run.spec.folder / name, over=saved_before)
            if entry.run.spec.upload is not None:
                await entry.run.spec.upload(clip.path.name)
        except LinkDead as error:
            entry.step(Stage.FAILED, error=error)
            entry.run.end(entry)
        except DiskFailed as error:
            entry.run.halt(error)
            entry.run.end(entry, error)
        except (DownloadFailed, ServiceError) as error:
            entry.run.end(entry, error)
        else:
            saved = {"file": clip.path.name, "bytes": clip.bytes, "sha256": clip.sha256}
            entry.step(Stage.SAVED, saved_at=clock.wall(), **saved)
            entry.run.end(entry)

    async def _bring_entry(self, entry: Entry, path: Path, *, over: bool) -> Clip:
        async def fresh_link() -> str | None:
            seen = await fetch_status(self.send, self.wire, entry.progress.generation_id or "", entry.job)
            if seen.video_url:
                entry.step(Stage.READY, video_url=seen.video_url)
            return seen.video_url

        edit = partial(_write_recipe, entry.job, entry.progress) if self.metadata else None
        return await self.bring(entry.progress.video_url, path, fresh_link, over=over, edit=edit)

    async def bring(
        self,
        link: str | None,
        path: Path,
        fresh_link: Callable[[], Awaitable[str | None]],
        *,
        over: bool = True,
        edit: Callable[[Path], bool] | None = None,
    ) -> Clip:
        """Bring a clip to `path`, whole; a link that is dead or leads to no video is asked for again.

        With `over`, a file that is there already is replaced; else the clip gets the next free name beside it.
        """
        for _ in range(FRESH_LINKS):
            try:
                return await self._fetch(link, path, over=over, edit=edit)
            except DiskFailed:
                raise
            except DownloadFailed as error:
                log.info("a fresh link is asked for: %s", error)
                link = await retrying(fresh_link, on=(ServiceError,))() or link
        return await self._fetch(link, path, over=over, edit=edit)

    async def _fetch(self, link: str | None, path: Path, *, over: bool, edit: Callable[[Path], bool] | None) -> Clip:
        """Bring one link to a whole file; what was cut goes on where it stopped."""
        if not link:
            raise LinkDead("the service gave no link to the clip")
        download = Download(self.clips, link, path, over=over, edit=edit)
        try:
            return await retrying(download.more, on=(DownloadFailed,), unless=(LinkDead, DiskFailed))()
        except DownloadFailed:
            download.drop()
            raise


def _write_recipe(job: VideoJob, progress: Progress, path: Path) -> bool:
    """Write a job's recipe into its clip; runs in a thread."""
    return write_metadata(path, job.id, recipe_of(job, progress))
