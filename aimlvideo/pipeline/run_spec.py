"""What a run is to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.shell.journal.base import Journal

if TYPE_CHECKING:
    from aimlvideo.shell.files.object_stores import ClipStore
    from aimlvideo.shell.files.uploads import Uploads


@dataclass(frozen=True, eq=False, kw_only=True)
class RunSpec:
    """What a run is to do, and what it was given for that. Nothing here changes while it goes on."""

    journal: Journal
    save: Callable[[Result, Path], Awaitable[Path]]
    """Saves the clip of one result, also when the run is over."""
    number: int | None = None
    """The run's number in its journal."""
    window: int = 10**6
    """Jobs on their way, or results waiting to be taken, at a time: what keeps memory flat."""
    most_bought: Callable[[], float] = lambda: inf
    """How many generations may be outstanding, or bought and not yet taken by the reader."""
    price: Callable[[VideoJob], float | None] = lambda job: None
    """What a job costs in USD; None where unknown."""
    refresh_prices: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    """Sees to it that prices are those of the day."""
    folder: Path | None = None
    patience: float = inf
    """Seconds for which one generation is waited for."""
    name: str = ""
    """A template for the clips' names, as `NameTemplate` reads it; by default each is named by its job's id."""
    goal: Stage = Stage.SAVED
    """The stage in which a job is handed out: RENDERING where its acceptance is all that is wanted."""
    on_result: Callable[[Result], None] | None = None
    """Writes down what came of a job. Raises DiskFailed."""
    store: ClipStore | None = None
    """Where clips are brought from the folder, where they are kept somewhere else."""
    uploads: Uploads | None = None
    """Where videos and large local files go, for a link to them; None where all files are sent along."""
    ids_under_way: set[str] | None = None
    """The ids that are under way in this journal, in any run; None where other processes share it, and say so there."""
    retries: bool = False
    """Whether failed jobs are tried again: each one's generation is asked about once more before another is bought."""
