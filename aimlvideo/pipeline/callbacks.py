"""What a service that calls back says, handed to whoever waits for it. A call by itself buys and ends nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Callback, Wire
from aimlvideo.errors import ServiceError
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.lost_submissions import LostSubmissions
from aimlvideo.pipeline.poll import Poll
from aimlvideo.pipeline.request_log import Send
from aimlvideo.pipeline.status_checks import fetch_status

MAX_WAITING = 1000
"""Calls that wait to be looked into, at most: the page that takes them is open to anybody."""
UNFINISHED = (State.QUEUED, State.RENDERING)

log = logging.getLogger("aimlvideo.callbacks")


@dataclass(eq=False)
class Callbacks:
    """Hands calls on: to the poller, or, where the answer to a submission was lost, to a check with our own key."""

    send: Send
    wire: Wire
    poll: Poll
    lost: LostSubmissions

    def __post_init__(self) -> None:
        self._calls: asyncio.Queue[tuple[Entry, str]] = asyncio.Queue(MAX_WAITING)

    def receive(self, call: Callback | None) -> bool:
        """Take a call; tell whether anybody here waits for its generation.

        "Not finished yet" counts as a status check that found it so; anything else is a reason to ask at once.
        """
        if call is None:
            return False
        if call.state in UNFINISHED:
            is_waited_for = self.poll.scheduler.on_unfinished(call.generation_id, queued=call.state is State.QUEUED)
        else:
            # A call that says "completed" is a reason to ask, never a result: its links may be anybody's.
            is_waited_for = self.poll.scheduler.hint(call.generation_id)
        if is_waited_for or call.request_id is None or call.generation_id is None:
            return is_waited_for
        entry = self.lost.find(call.request_id)
        if entry is None:
            return False
        try:
            self._calls.put_nowait((entry, call.generation_id))
        except asyncio.QueueFull:
            log.warning("too many callbacks at once: ignored the one for generation %s", call.generation_id)
        return True

    async def run(self) -> None:
        """Ask the service itself about each generation that a call names for a submission whose answer was lost."""
        while True:
            entry, generation_id = await self._calls.get()
            with contained(entry):
                await self._look_into(entry, generation_id)

    async def _look_into(self, entry: Entry, generation_id: str) -> None:
        try:
            generation = await fetch_status(self.send, self.wire, generation_id, entry.job)
            self.poll.refuse_mixed_up(entry, generation)
        except ServiceError as error:
            log.info("a call names generation %s, which the service does not show: %s", generation_id, error)
            return
        # A call can be forged: what counts is the service's own answer, and that it names our id or none.
        if generation.request_id in (None, entry.progress.request_id):
            self.lost.confirm(entry, generation)
