"""One question about one generation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aimlvideo.core.generation import Generation
from aimlvideo.core.http import Answer, Request
from aimlvideo.core.job import VideoJob
from aimlvideo.core.wires.wire import Wire
from aimlvideo.errors import Rejected

Send = Callable[[Request], Awaitable[Answer]]


async def ask(send: Send, wire: Wire, generation_id: str, job: VideoJob | None = None) -> Generation:
    """Return the generation as it is now. Where a wire has several places for it, each is asked in turn.

    Raises the ServiceError that the (last) answer amounts to.
    """
    *others, last = wire.status(generation_id, job)
    for question in others:
        try:
            return wire.seen(await send(question), generation_id)
        except Rejected as error:
            if error.status != 404:
                raise
    return wire.seen(await send(last), generation_id)
