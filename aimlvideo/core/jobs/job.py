"""A job, its progress, and its result."""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path, PurePath
from struct import pack, unpack
from types import NoneType
from typing import Any, ClassVar, NamedTuple, Self

from aimlvideo.core.formatting import preview
from aimlvideo.core.jobs.stages import STAGES, Stage
from aimlvideo.errors import DownloadFailed, GenerationFailed, InvalidJobs, Problem, UsageError, VideoError

_setattr = object.__setattr__
DEEPEST = 32
"""Levels of lists and objects in one job or one answer: no parameter of any model needs more than 6."""
LARGEST = 2**63
"""No service and no journal holds a number beyond it."""
TOO_DEEP = Problem("params", f"at most {DEEPEST} levels of lists and objects", "more")
"""What is wrong with lists or objects that stand inside each other without end."""


@dataclass(frozen=True, slots=True, init=False)
class VideoJob:
    """One clip that is wanted: `VideoJob("kling-video/v1.6/pro/image-to-video", prompt="...", image_url="a.png")`.

    `params` are the model's own parameters, as its documentation names them. Pictures may be links, paths, `bytes`
    or PIL images. `id` names the job in results and files; without one it is derived from the content, so the same
    job has the same id tomorrow.
    """

    model: str
    params: Mapping[str, Any]
    id: str
    folder: PurePath | None = field(default=None, compare=False, repr=False)
    """Where relative paths of pictures start: the job file's folder. No part of what is asked."""

    def __init__(self, /, model: str, *, id: str | None = None, **params: Any) -> None:  # noqa: A002 - the field's name
        _setattr(self, "model", model)
        _setattr(self, "params", params)
        _setattr(self, "folder", None)
        _setattr(self, "id", self._id_of_content() if id is None or id == "" else _text_of_id(id))

    @classmethod
    def of_content(cls, job_id: str, content: str, folder: str | None = None) -> VideoJob:
        """Return the job whose `content` was written down. Raises ValueError or TypeError for what is none."""
        model, params = json.loads(content)
        return cls(model, id=job_id, **(params or {})).with_base_folder(folder or None)

    @property
    def derived(self) -> bool:
        """Whether nobody chose this job's id: it follows from the content."""
        return self.id.startswith("job-") and (self.id == self._id_of_content() or self.id == self.earlier_id)

    @property
    def earlier_id(self) -> str | None:
        """The id that 0.1.0 derived from this content, where it is another one: clips were bought under it."""
        earlier = self.earlier_content if self.id.startswith("job-") else None
        return None if earlier is None else f"job-{_digest(earlier)[:12]}"

    @property
    def earlier_content(self) -> str | None:
        """What `content` was in 0.1.0, where it is another text: journals have it."""
        if _is_spelt_one_way(self.params.values()):
            return None
        content = self.content()
        written = _CONTENT.encode([self.model, self.params])
        return None if written == content else written

    def with_id(self, job_id: str) -> VideoJob:
        """Return the same job under another id."""
        return self._with(self.params, job_id, self.folder)

    def with_base_folder(self, folder: PurePath | str | None) -> VideoJob:
        """Return the same job whose relative paths start at `folder`."""
        return self._with(self.params, self.id, None if folder is None else PurePath(folder))

    def with_params(self, params: Mapping[str, Any]) -> VideoJob:
        """Return the same job, under the same id, with other parameters."""
        return self._with(params, self.id, self.folder)

    def _with(self, params: Mapping[str, Any], job_id: str, folder: PurePath | None) -> VideoJob:
        # Past `__init__`: it would hash the content again, which costs more than all else for a job with inline
        # pictures.
        job = object.__new__(VideoJob)
        _setattr(job, "model", self.model)
        _setattr(job, "params", params)
        _setattr(job, "id", job_id)
        _setattr(job, "folder", folder)
        return job

    def _id_of_content(self) -> str:
        return f"job-{self.digest()[:12]}"

    def digest(self) -> str:
        """Return 64 hex digits that change when what is asked changes, and with nothing else."""
        return _digest(self.content())

    def content(self) -> str:
        """Return what is asked as JSON: `[model, params]`, keys sorted; `bytes` and pictures by their hash.

        A number has one spelling: in a DataFrame 5 becomes 5.0 as soon as a cell below it is empty, or numpy's own 5.
        """
        if is_too_deep(self.params):
            raise InvalidJobs([TOO_DEEP])
        try:
            params = self.params if _is_spelt_one_way(self.params.values()) else _in_one_spelling(self.params)
            return _CONTENT.encode([self.model, params])
        except (TypeError, ValueError) as error:
            raise InvalidJobs([Problem("params", "values that JSON can hold", str(error)[:200])]) from error


def _text_of_id(job_id: object) -> str:
    """Return an id as text. Raises InvalidJobs where it may be another one in each process, and be bought again."""
    is_plain = isinstance(job_id, str | int | float) and not isinstance(job_id, bool)
    # A UUID, a date or another library's number has a text of its own; of what has none, Python writes the address.
    if is_plain or (type(job_id).__str__ is not object.__str__ and not isinstance(job_id, bytes)):
        with suppress(ValueError):  # a number of more digits than Python writes out
            return str(job_id)
    raise InvalidJobs([Problem("id", "text or a number", preview(job_id))])


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


_SPELT_ONE_WAY = frozenset((str, int, bool, NoneType))


def _is_spelt_one_way(values: Collection[Any]) -> bool:
    """Tell values, as nearly all are, of which none is a number that has several spellings, or may hold one."""
    return _SPELT_ONE_WAY.issuperset(map(type, values)) or all(
        type(value) in _SPELT_ONE_WAY or (type(value) is list and _SPELT_ONE_WAY.issuperset(map(type, value)))
        for value in values
    )


def _in_one_spelling(value: Any) -> Any:
    """Return a value in which each whole number is an `int`, and other libraries' numbers are Python's."""
    if type(value) in _SPELT_ONE_WAY:
        return value
    value = python_number(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: _in_one_spelling(part) for name, part in value.items()}
    return [_in_one_spelling(part) for part in value] if isinstance(value, list | tuple) else value


def python_number(value: Any) -> Any:
    """Return a number of another library as one of Python; anything else as it is."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # of numpy, torch and their like
        value = value.item()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if -LARGEST < value < LARGEST and value == int(value) else float(value)
    return value


def _json_default(value: object) -> object:
    """Stand in for what JSON does not know: paths by their text, bytes and PIL images by their content."""
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes | bytearray):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    pixels = getattr(value, "tobytes", None)
    if pixels is None:
        return repr(value)
    shape = f"{getattr(value, 'mode', '')} {getattr(value, 'size', '')} ".encode()
    return f"sha256:{hashlib.sha256(shape + pixels()).hexdigest()}"


_CONTENT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_json_default)


class ClipFile(NamedTuple):
    """One saved file of a generation that gave several clips."""

    file: str
    bytes: int | None = None
    sha256: str | None = None


PACKED_POLLS = 64
"""Polls of one generation that are remembered, the first ones."""


class Progress(NamedTuple):
    """How far a job has come. Moments are seconds since 1970, UTC; `cost_usd` is None where unknown.

    `cost_units` is what it cost in the service's own units, where it says those. `file` is the clip's name in its
    folder: chosen when the clip is ready, and never worked out again, so that a new rule for names changes nothing
    that is on disk; `bytes` and `sha256` are known once it has been saved. `video_urls` and `files` have all clips
    where a generation gave several. `account` is a fingerprint of the key and base URL that the submission was sent
    with, `service_time` the service's own clock at that moment. `poll_ages` has the age at each poll: `ages_at_polls`
    reads them. `status` is the service's own last word on the generation and `status_at` when it was
    heard; `file_sizes` are the bytes of its clips, as far as the service says them. `retry_of` is the generation that
    failed, where a job is tried again: it is asked about before another one is bought.
    """

    stage: Stage = Stage.PLANNED
    request_id: str | None = None
    generation_id: str | None = None
    video_url: str | None = None
    error: VideoError | None = None
    cost_usd: float | None = None
    polls: int = 0
    submitted_at: float | None = None
    completed_at: float | None = None
    saved_at: float | None = None
    file: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    poll_ages: builtins.bytes = b""
    video_urls: tuple[str, ...] = ()
    files: tuple[ClipFile, ...] = ()
    account: str | None = None
    service_time: float | None = None
    cost_units: float | None = None
    status: str | None = None
    status_at: float | None = None
    file_sizes: tuple[int | None, ...] = ()
    retry_of: str | None = None

    @property
    def has_attempt(self) -> bool:
        """Whether the job was submitted at least once, here or elsewhere."""
        return self.request_id is not None or self.generation_id is not None

    def to(self, stage: Stage, **fields: Any) -> Progress:
        """Return the progress after a step that the table of stages allows."""
        if stage not in STAGES[self.stage]:
            raise ValueError(f"a job cannot go from {self.stage} to {stage}")
        # Its error was why it was left there.
        if self.stage is Stage.IN_DOUBT:
            fields = {"error": None, **fields}
        return self._replace(stage=stage, **fields)

    def for_retry(self, *, has_completed: bool = False) -> Progress:
        """Return a failed job's progress as a person wants it to go on: what was paid is fetched, not bought again.

        `has_completed`: the service has completed its generation by now, or renders it again.
        """
        is_paid = has_completed or isinstance(self.error, DownloadFailed)
        if is_paid and self.generation_id is not None:
            # One that was free because it had failed is charged when it is completed.
            return self.to(Stage.RENDERING, error=None, submitted_at=None, cost_usd=self.cost_usd or None)
        return Progress(retry_of=self.generation_id or self.retry_of)

    def poll_ages_with(self, age: float, *, queued: bool) -> builtins.bytes:
        """Return `poll_ages` with one more, in seconds: 4 bytes each, negative where it was found queued."""
        packed = self.poll_ages
        return packed + pack("<f", -age if queued else age) if len(packed) < 4 * PACKED_POLLS else packed

    @property
    def ages_at_polls(self) -> tuple[float, ...]:
        """The ages at the first polls, in seconds; negative where the generation was found queued."""
        return unpack(f"<{len(self.poll_ages) // 4}f", self.poll_ages[: len(self.poll_ages) // 4 * 4])

    @property
    def bytes_of_all(self) -> int | None:
        """The bytes of all clips; None where nobody noted them."""
        return sum(clip.bytes or 0 for clip in self.files) or self.bytes

    def submission(self) -> dict[str, Any]:
        """Return what is known of a failed job's submission, as fields for one that goes on with it after all."""
        names = (
            "request_id", "generation_id", "account", "submitted_at", "service_time", "polls", "poll_ages",
            "cost_units",
        )  # fmt: skip
        # What it was charged is in the sum of what was spent: a failed one that was billed is not billed again.
        return {"cost_usd": self.cost_usd or None, **{name: getattr(self, name) for name in names}}

    @property
    def attempt(self) -> Attempt:
        """The submission that this progress tells of."""
        return Attempt(
            self.request_id, self.generation_id, self.account, self.submitted_at, self.service_time,
            self.stage, self.cost_usd, self.cost_units,
        )  # fmt: skip

    def is_unmoved_since(self, before: Progress) -> bool:
        """Tell whether a job stands where it stood: at the same stage, with the same submission and generation."""
        return (self.stage, self.request_id, self.generation_id) == (
            before.stage, before.request_id, before.generation_id,
        )  # fmt: skip

    def is_replaced_by(self, after: Progress) -> bool:
        """Tell whether a step replaces an id of this submission, which a journal then keeps beside the job."""
        replaces_generation = self.generation_id is not None and self.generation_id != after.generation_id
        return self.has_attempt and (self.request_id != after.request_id or replaces_generation)


class Attempt(NamedTuple):
    """One submission of a job: its ids, who was charged for it, and the stage in which it was left (or is now).

    `submitted_at` is by our clock, `service_time` by the service's, both in seconds since 1970. `cost_usd` is what it
    was charged, None where unknown, and `cost_units` the same in the service's own units: a failed one may be billed,
    and counts as spent also when the job is tried again.
    """

    request_id: str | None
    generation_id: str | None
    account: str | None
    submitted_at: float | None
    service_time: float | None
    stage: Stage
    cost_usd: float | None = None
    cost_units: float | None = None

    def as_failed(self) -> Progress:
        """Return how its job stood, where it had failed with this submission."""
        error = GenerationFailed("it failed, and is to be tried again", generation_id=self.generation_id)
        return Progress(error=error, **self._replace(stage=Stage.FAILED)._asdict())


class Record(NamedTuple):
    """One job with its progress, as a journal has it."""

    job: VideoJob
    progress: Progress


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
        _setattr(result, "_save", save)
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


PLAIN = (str, int, float, bool, type(None))
"""Types that hold nothing. They are asked for first: a look whether something is a Mapping costs ten times as much."""


def is_too_deep(value: Any) -> bool:
    """Tell whether a value has more than `DEEPEST` levels; it may be of any depth, or hold itself."""
    level = [value] if _has_parts(value) else []
    for _ in range(DEEPEST):
        # Each list once in a level: one that holds itself twice would double with every level.
        inner = {
            id(part): part for outer in level for part in _parts(outer) if type(part) not in PLAIN and _has_parts(part)
        }
        if not inner:
            return False
        level = list(inner.values())
    return True


def texts_in(value: Any) -> Iterator[str]:
    """Yield each text in a value, at whatever level."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in _parts(value):
            yield from texts_in(part)


def _has_parts(value: Any) -> bool:
    return type(value) is dict or (not isinstance(value, PLAIN) and isinstance(value, Mapping | list | tuple))


def _parts(value: Any) -> Any:
    return value.values() if type(value) is dict or isinstance(value, Mapping) else value
