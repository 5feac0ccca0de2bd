"""Status checks: about one generation, wherever it may be, or several in one request, and what failed ones say."""

from __future__ import annotations

from collections.abc import Mapping

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.wires.answers import QUESTION_REFUSED, State
from aimlvideo.core.wires.base import Generation, SharedChecks, Wire
from aimlvideo.core.wires.echoes import without_echoes
from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.refusals import says_timed_out
from aimlvideo.errors import ContentRefused, GenerationFailed, Rejected, ServiceError
from aimlvideo.pipeline.request_log import Send

CONTENT_REFUSALS = 3
"""Checks of one generation in a row that are refused for their content, after which its clip is withheld: a question
has no content, and one answer alone may be that of whoever lies in between."""
TIMEOUTS = 11
"""Checks of one generation in a row that say that it took too long, after which it failed: nine minutes, in
which a service that is only slow to answer recovers."""
GONE = (404, 410)
"""Statuses of an answer that knows no such generation, or not any more."""


async def fetch_status(send: Send, wire: Wire, generation_id: str, job: VideoJob | None = None) -> Generation:
    """Return the generation as it is now. Where a wire has several places for it, each is asked in turn.

    Raises the ServiceError that the answer amounts to; where no place knows it, that of the first one.
    """
    questions = wire.status(generation_id, job)
    unknown: Rejected | None = None
    for question in questions:
        try:
            generation = _understood(wire, await send(question), generation_id, job)
        except Rejected as error:
            if error.status != 404:
                raise
            # The last places are the rarest: that a gateway does not even have them says nothing of a generation.
            unknown = unknown or error
        else:
            if len(questions) > 1:
                wire.remember(generation_id, question)
            return generation
    assert unknown is not None, "a wire has a place to ask"
    raise unknown


async def fetch_statuses(
    send: Send, wire: Wire, shared: SharedChecks, jobs: Mapping[str, VideoJob]
) -> dict[str, Generation | ServiceError]:
    """Return the generations as they are now, or what an answer amounts to, by their ids: asked in one request.

    Raises the ServiceError that an answer amounts to which is about none of them.
    """
    parts = shared.read(await send(shared.request([*jobs])), [*jobs])
    heard: dict[str, Generation | ServiceError] = {}
    for generation_id, job in jobs.items():
        try:
            heard[generation_id] = _understood(wire, parts[generation_id], generation_id, job)
        except ServiceError as error:
            heard[generation_id] = error
    return heard


def _understood(wire: Wire, answer: Answer, generation_id: str, job: VideoJob | None) -> Generation:
    """Return what an answer says of a generation. What it quotes of the job's own words is not the service's word."""
    if job is None:
        return wire.parse_status(answer, generation_id)
    try:
        generation = wire.parse_status(answer, generation_id)
    except ServiceError:
        return wire.parse_status(without_echoes(answer, job.params), generation_id)
    if generation.content_refused:
        # "Failed for 'real people dance'" refuses nothing: what was refused is never sent again.
        bare = wire.parse_status(without_echoes(answer, job.params), generation_id)
        return generation if bare.content_refused else bare
    return generation


def checks_until_end(error: ServiceError) -> int:
    """Return how many checks in a row have to fail so until a generation is taken for ended; 0 where none do."""
    if isinstance(error, ContentRefused):
        return CONTENT_REFUSALS if (error.status or 0) in (200, *QUESTION_REFUSED) else 0
    return TIMEOUTS if says_timed_out(str(error)) else 0


def ended_in_words(generation_id: str, error: ServiceError) -> Generation:
    """Return the generation of which status checks say in an error's words how it ended."""
    refused = error if isinstance(error, ContentRefused) else None
    field = refused.field if refused else None
    return Generation(
        generation_id, State.FAILED, error=str(error), content_refused=refused is not None, refused_input=field
    )


def failure_of(generation: Generation) -> GenerationFailed:
    """Return the error of a generation that has failed."""
    if generation.content_refused:
        return ContentRefused(str(generation.error), field=generation.refused_input, generation_id=generation.id)
    return GenerationFailed(str(generation.error), generation_id=generation.id)
