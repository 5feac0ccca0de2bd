"""What the stations ask of a wire."""

from __future__ import annotations

from typing import Protocol

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.generation import Generation
from aimlvideo.core.wires.http import Answer, Request


class Wire(Protocol):
    """Requests out, answers in, for one service. Readers raise the `ServiceError` that an answer amounts to."""

    service: str
    base_url: str
    """Where the service is when nothing else is said."""
    keys: str
    """Where a person gets a key."""
    has_request_log: bool
    """Whether the service lists requests by the id that the client chose."""

    def submission(self, job: VideoJob, request_id: str, callback_url: str | None = None) -> Request:
        """Return the POST that buys this job; its local pictures are encoded already."""

    def accepted(self, answer: Answer, request_id: str) -> Generation:
        """Return the generation that a submission's answer names."""

    def status(self, generation_id: str, job: VideoJob | None = None) -> tuple[Request, ...]:
        """Return the question about a generation; several where the job is not known: ask until one finds it."""

    def seen(self, answer: Answer, generation_id: str) -> Generation:
        """Return the generation as a status check's answer describes it."""
