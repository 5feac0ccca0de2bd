"""What every wire has: a generation in words that all wires share, and the questions that the pipeline asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.http import Answer, Request


class State(StrEnum):
    """Where a generation stands at the service."""

    QUEUED = "queued"
    RENDERING = "rendering"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation, as seen at one moment.

    `status` is the service's own word, `state` what it means; `cost_usd` is None where the service did not say;
    `error` is the service's reason when `state` is `failed`. `video_urls` has all clips of the generation, `video_url`
    the first, `file_sizes` their bytes, as far as the answer says them. `cost_units` is what it cost in the service's
    own units, which are never USD. `never_ran`: it failed for want of a slot, was neither rendered nor billed, and may
    be submitted again. `request_id` is the id that we chose, where the answer says it. `content_refused`
    marks a failure by moderation, `refused_input` the input that it names. `created_at` is by the service's clock, in
    seconds since 1970; 0 where it does not say.
    """

    id: str
    state: State = State.RENDERING
    status: str = ""
    video_url: str | None = None
    error: str | None = None
    cost_usd: float | None = None
    video_urls: tuple[str, ...] = ()
    cost_units: float | None = None
    never_ran: bool = False
    request_id: str | None = None
    file_sizes: tuple[int | None, ...] = ()
    content_refused: bool = False
    refused_input: str | None = None
    created_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: completed or failed."""
        return self.state in (State.COMPLETED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Callback:
    """What a service that calls back says: about which generation, by its id or by the id that we chose, and its state.

    `state` is None where it says none that is known.
    """

    generation_id: str | None
    request_id: str | None
    state: State | None


PathOf = Callable[[str], str | None]
"""The path that the catalogue names for a model's submissions; None where it does not know the model."""


class Wire(Protocol):
    """Requests out, answers in, for one service. Readers raise the `ServiceError` that an answer amounts to."""

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its local pictures are encoded already."""

    def parse_submission(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names."""

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a generation; several where the job is not known: ask until one finds it."""

    def remember(self, generation_id: str, question: Request) -> None:
        """Note which of several questions about a generation found it."""

    def parse_status(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it."""
