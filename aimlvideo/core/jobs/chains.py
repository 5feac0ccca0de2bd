"""Chains: a job takes what another job makes, as `"image_url": {"from": "shot-1", "frame": "last"}`.

`frame` is `"first"`, `"last"` or a second of the clip, for a parameter that takes a picture; without `frame` the whole
clip is meant, for one that takes a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, NamedTuple

from aimlvideo.core.jobs.job import PLAIN, VideoJob, is_too_deep
from aimlvideo.core.jobs.problems import is_writable
from aimlvideo.errors import Problem

FORM = '{"from": "JOB ID", "frame": "last"}'


class Reference(NamedTuple):
    """What a parameter takes from another job: a frame of its clip, or (None) the clip itself."""

    job_id: str
    frame: Literal["first", "last"] | float | None = None

    @property
    def kind(self) -> str:
        """Which kind of media it becomes."""
        return "video" if self.frame is None else "image"


def _reference_of(value: Any) -> Reference | None:
    """Return the reference that a value is; None for every other value. Raises ValueError for one written wrongly."""
    if not isinstance(value, Mapping) or "from" not in value:
        return None
    job_id, frame = value["from"], value.get("frame")
    # No job has an id that cannot be written, and a journal cannot be asked for it.
    is_id = isinstance(job_id, str) and job_id and "\0" not in job_id and is_writable(job_id)
    if not is_id or not value.keys() <= {"from", "frame"}:
        raise ValueError(f"expected {FORM}")
    if frame is None or frame in ("first", "last"):
        return Reference(job_id, frame)
    if isinstance(frame, bool) or not isinstance(frame, int | float) or not 0 <= frame < 1e6:
        raise ValueError('frame: expected "first", "last" or a second of the clip')
    return Reference(job_id, float(frame))


def references(params: Mapping[str, Any]) -> Iterator[tuple[str, Reference]]:
    """Yield the references in a job's parameters, each with where it stands. Raises ValueError as `_reference_of`."""
    for name, value in params.items():
        # What is deeper than any job, or stands in itself, is refused when the job is checked.
        if not isinstance(value, PLAIN) and not is_too_deep(value):
            yield from _references_in(value, name)


def _references_in(value: Any, place: str) -> Iterator[tuple[str, Reference]]:
    if (reference := _reference_of(value)) is not None:
        yield place, reference
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from _references_in(item, f"{place}[{position}]")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _references_in(item, f"{place}.{name}")


def with_references(params: Mapping[str, Any], replaced: Callable[[Reference], Any]) -> dict[str, Any]:
    """Return the parameters with every reference replaced, wherever it stands."""

    def one(value: Any) -> Any:
        if (reference := _reference_of(value)) is not None:
            return replaced(reference)
        if isinstance(value, list | tuple):
            return [one(item) for item in value]
        return {name: one(item) for name, item in value.items()} if isinstance(value, Mapping) else value

    return {name: one(value) for name, value in params.items()}


def parents(job: VideoJob) -> frozenset[str]:
    """Return the ids of the jobs that a job takes something from."""
    try:
        return frozenset(reference.job_id for _, reference in references(job.params))
    except ValueError:
        return frozenset()


def chain_problems(
    jobs: Iterable[VideoJob],
    elsewhere: Callable[[str], bool] = lambda _: False,
    seconds: Callable[[str], float | None] = lambda _: None,
) -> Iterator[Problem]:
    """Yield what is wrong between the jobs of a file: ids that no job has, circles, frames behind a clip's end.

    `elsewhere` tells whether a job of this id is there already, by an earlier file; `seconds` how long its clip will
    be, None where unknown.
    """
    taken = {job.id: job for job in jobs}
    links = {name: parents(job) for name, job in taken.items()}
    for name, parent_ids in links.items():
        for parent in sorted(parent_ids - links.keys()):
            if not elsewhere(parent):
                yield Problem("from", "the id of a job of this file", repr(parent), _hint(parent), job=name)
    try:
        # Only for the circles: the order itself is found while the run goes on, as clips are saved.
        TopologicalSorter(links).prepare()
    except CycleError as error:
        circle = error.args[1]
        yield Problem("from", "jobs that do not wait for each other", " -> ".join(circle), job=circle[0])
    for name, job in taken.items():
        yield from _late_frames(job, seconds) if links[name] else ()


def _hint(parent: str) -> str:
    """Return what to do about an id that looks like something else."""
    if "/" in parent or "." in parent[-5:]:
        return 'a file or a link stands there as it is, without "from"'
    return ""


def clip_seconds(job: VideoJob) -> float | None:
    """Return how long a job's clip will be, as far as its parameters say."""
    try:
        seconds = float(str(job.params.get("duration", "")).removesuffix("s"))
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _late_frames(job: VideoJob, seconds: Callable[[str], float | None]) -> Iterator[Problem]:
    """Yield a problem for each frame that a parent's clip will be too short for."""
    for place, reference in references(job.params):
        length = seconds(reference.job_id)
        if isinstance(reference.frame, float) and length is not None and reference.frame >= length:
            expected = f"a second within the clip of {reference.job_id!r}, which lasts {length:g} s"
            yield Problem(place, expected, f"{reference.frame:g}", job=job.id)
