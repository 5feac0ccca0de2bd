"""What the stations ask of a wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.generation import Generation
from aimlvideo.core.wires.http import Answer, Request

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
