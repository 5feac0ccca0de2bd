"""What came of a job, as people are given it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, ClassVar, Self

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import UsageError, VideoError


class _OfClient:
    """What a result has of its client beside its fields: `dataclasses.asdict`, pandas and FastAPI copy all of those."""

    __slots__ = ("_save",)
    _save: Callable[[Result, Path], Awaitable[Path]] | None


@dataclass(frozen=True, slots=True)
class Result(_OfClient):
    """What came of a job. Moments are UTC; `cost_usd` is None where unknown, never 0.

    `cost_units` is the cost in the service's own units, where it says no dollars.

    `stage` is `saved` (the file is at `path`; in an object store, where `path` is None, it has the name `file`),
    `ready` (no folder was given: `video_url` is a link that expires), `failed`, or, with an `error` that says why,
    the stage in which an unfinished job was left.

    Where a generation gave several clips, `video_urls`, `paths` and `files` have all of them, the first included.
    """

    job: VideoJob
    stage: Stage
    generation_id: str | None = None
    video_url: str | None = None
    path: Path | None = None
    error: VideoError | None = None
    cost_usd: float | None = None
    polls: int = 0
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    saved_at: datetime | None = None
    request_id: str | None = None
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    cost_units: float | None = None
    video_urls: tuple[str, ...] = ()
    paths: tuple[Path, ...] = ()
    files: tuple[str, ...] = ()
    html: ClassVar[Callable[[Result], str] | None] = None
    """How a notebook shows one; whoever knows notebooks says it here."""

    @classmethod
    def of(
        cls,
        job: VideoJob,
        progress: Progress,
        folder: Path | None = None,
        save: Callable[[Result, Path], Awaitable[Path]] | None = None,
    ) -> Self:
        """Return what a user is shown of a job; a saved file is in `folder`, where that is on this machine."""
        file = progress.file if progress.stage is Stage.SAVED else None
        files = (tuple(clip.file for clip in progress.files) or (file,)) if file else ()
        paths = tuple(folder / name for name in files) if folder else ()
        result = cls(
            job=job,
            stage=progress.stage,
            generation_id=progress.generation_id,
            video_url=progress.video_url,
            path=paths[0] if paths else None,
            error=progress.error,
            cost_usd=progress.cost_usd,
            polls=progress.polls,
            submitted_at=_utc(progress.submitted_at),
            completed_at=_utc(progress.completed_at),
            saved_at=_utc(progress.saved_at),
            request_id=progress.request_id,
            file=file,
            bytes=progress.bytes,
            sha256=progress.sha256,
            cost_units=progress.cost_units,
            video_urls=progress.video_urls or ((progress.video_url,) if progress.video_url else ()),
            paths=paths,
            files=files,
        )
        object.__setattr__(result, "_save", save)
        return result

    @property
    def ok(self) -> bool:
        """Whether there is a clip: saved, or ready at its link."""
        return self.error is None and self.stage in (Stage.SAVED, Stage.READY)

    def or_raise(self) -> Result:
        """Return this result where there is a clip; raise its error otherwise."""
        if self.error is not None:
            raise self.error
        return self

    def save(self, path: str | Path) -> Awaitable[Path]:
        """Save the clip as `path` (`await` it). Works after the client is closed, while the link lives.

        Further clips of the same generation are saved beside it: `NAME-2.mp4`, or the next free name.
        Raises LinkDead, DownloadFailed or DiskFailed, this result's own error where there is no clip, and UsageError
        for a folder, a device or a name of a run's own files, such as its journal.
        """
        self.or_raise()
        if not isinstance(path, str | PurePath):
            raise UsageError(f"the path of a clip is of type {type(path).__name__}: expected text or a path")
        if isinstance(path, str) and path.endswith("/"):
            raise UsageError(f"{path} names a folder: expected the clip's file, such as clip.mp4")
        save: Callable[[Result, Path], Awaitable[Path]] | None = getattr(self, "_save", None)
        if save is None:
            why = "it came without its client, from another process or a copy" if self.ok else f"it is {self.stage}"
            raise VideoError(f"job {self.job.id!r} has no clip to save: {why}")
        return save(self, Path(path))

    def __reduce__(self) -> tuple[type[Result], tuple[Any, ...]]:
        """Let a result go to another process: without its client, whose connections stay here."""
        return Result, tuple(getattr(self, one.name) for one in fields(self))

    def _repr_html_(self) -> str | None:
        """Return this result as a notebook shows it."""
        return None if Result.html is None else Result.html(self)

    def row(self) -> dict[str, Any]:
        """Return this result as a line of `results.jsonl`; `cost_units` only where the service says it."""
        units = {} if self.cost_units is None else {"cost_units": self.cost_units}
        return {
            "id": self.job.id,
            "model": self.job.model,
            "stage": self.stage.value,
            "generation_id": self.generation_id,
            "file": self.file,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "video_url": self.video_url,
            "cost_usd": self.cost_usd,
            **units,
            "error": str(self.error) if self.error else None,
            "submitted_at": _iso(self.submitted_at),
            "completed_at": _iso(self.completed_at),
            "saved_at": _iso(self.saved_at),
            "polls": self.polls,
            **({"video_urls": list(self.video_urls)} if len(self.video_urls) > 1 else {}),
            **({"files": list(self.files)} if len(self.files) > 1 else {}),
        }


def _utc(moment: float | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
