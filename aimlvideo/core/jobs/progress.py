"""How far a job has come, and what is known of its submissions."""

from __future__ import annotations

import builtins
from struct import pack, unpack
from typing import Any, NamedTuple

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.stages import STAGES, Stage
from aimlvideo.errors import DownloadFailed, GenerationFailed, VideoError


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
