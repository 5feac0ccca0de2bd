"""Chains: a job takes what another job makes, as `"image_url": {"from": "shot-1", "frame": "last"}`.

`frame` is `"first"`, `"last"` or a second of the clip, for a parameter that takes a picture; without `frame` the whole
clip is meant, for one that takes a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.nesting import PLAIN
from aimlvideo.errors import Problem

FORM = '{"from": "JOB ID", "frame": "last"}'


@dataclass(frozen=True, slots=True)
class Reference:
    """What a parameter takes from another job: a frame of its clip, or (None) the clip itself."""

    job_id: str
    frame: Literal["first", "last"] | float | None = None

    @property
    def kind(self) -> str:
        """Which kind of media it becomes."""
        return "video" if self.frame is None else "image"


def reference_of(value: Any) -> Reference | None:
    """Return the reference that a value is; None for every other value. Raises ValueError for one written wrongly."""
    if not isinstance(value, Mapping) or "from" not in value:
        return None
    job_id, frame = value["from"], value.get("frame")
    if not isinstance(job_id, str) or not job_id or not value.keys() <= {"from", "frame"}:
        raise ValueError(f"expected {FORM}")
    if frame is None or frame in ("first", "last"):
        return Reference(job_id, frame)
    if isinstance(frame, bool) or not isinstance(frame, int | float) or not 0 <= frame < 1e6:
        raise ValueError('frame: expected "first", "last" or a second of the clip')
    return Reference(job_id, float(frame))


def references(params: Mapping[str, Any]) -> Iterator[tuple[str, Reference]]:
    """Yield the references in a job's parameters, each with where it stands. Raises ValueError as `reference_of`."""
    for name, value in params.items():
        if isinstance(value, PLAIN):
            continue
        for position, item in enumerate(value) if isinstance(value, list | tuple) else [(None, value)]:
            if (reference := reference_of(item)) is not None:
                yield name if position is None else f"{name}[{position}]", reference


def with_references(params: Mapping[str, Any], replaced: Callable[[Reference], Any]) -> dict[str, Any]:
    """Return the parameters with every reference replaced."""

    def one(value: Any) -> Any:
        reference = reference_of(value)
        return value if reference is None else replaced(reference)

    return {
        name: [one(item) for item in value] if isinstance(value, list | tuple) else one(value)
        for name, value in params.items()
    }


def parents(job: VideoJob) -> frozenset[str]:
    """Return the ids of the jobs that a job takes something from."""
    try:
        return frozenset(reference.job_id for _, reference in references(job.params))
    except ValueError:
        return frozenset()


def chain_problems(jobs: Iterable[VideoJob], elsewhere: Callable[[str], bool] = lambda _: False) -> Iterator[Problem]:
    """Yield what is wrong between the jobs of a file: ids that no job has, and circles.

    `elsewhere` tells whether a job of this id is there already, by an earlier file.
    """
    taken = {job.id: job for job in jobs}
    links = {name: parents(job) for name, job in taken.items()}
    for name, parent_ids in links.items():
        for parent in sorted(parent_ids - links.keys()):
            if not elsewhere(parent):
                yield Problem("from", "the id of a job of this file", repr(parent), job=name)
    try:
        TopologicalSorter(links).prepare()
    except CycleError as error:
        circle = error.args[1]
        yield Problem("from", "jobs that do not wait for each other", " -> ".join(circle), job=circle[0])
