"""The service's log of requests, read to its end, in a window by the service's own clock: the one reader of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import NamedTuple, TypeVar

from aimlvideo.core.formatting import without_upload_signatures
from aimlvideo.core.jobs.request_ids import UNKNOWN_CLOCK_MARGIN
from aimlvideo.core.limits import RateLimiter
from aimlvideo.core.lost_submissions import WINDOW_MARGIN
from aimlvideo.core.money.account import LogRow
from aimlvideo.core.service_clock import ServiceClock
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.base import Generation, LookupById, RequestLog, TaskList
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import NotAccepted, Rejected, ServiceError, UsageError
from aimlvideo.pipeline.limiters import RateGate
from aimlvideo.shell import clock

Send = Callable[[Request], Awaitable[Answer]]
"""Sends a request to the service once, and returns whatever it answers."""
T = TypeVar("T")
TRIES = 4
"""Times that one question is asked while the service says that it is asked too often."""
log = logging.getLogger("aimlvideo.log")
MOST_PAGES = 5000
"""Pages of one reading: a log that never ends was not read to its end."""


class LogReading(NamedTuple):
    """The rows of a window, and how far they can be relied on. Moments are seconds since 1970, the service's clock."""

    rows: tuple[LogRow, ...]
    since: float
    until: float
    complete: bool
    clock_known: bool


@dataclass(eq=False)
class TimedSender:
    """Sends requests, and learns the service's clock from every answer of its own."""

    transport_send: Send
    free_question: Request | None = None
    """A request that costs nothing, whose answer says the time; None where the service has none."""
    clock: ServiceClock = field(default_factory=ServiceClock)
    answered_at: float = -inf
    """When the service last answered anything, on the event loop's clock."""
    _clock_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _clock_tries_left: int = TRIES

    async def __call__(self, request: Request) -> Answer:
        answer = await self.transport_send(request)
        # An absolute link leads to another host, with a clock of its own.
        if request.path.startswith("/"):
            self.answered_at = clock.loop()
            self.clock.observe(answer.headers, monotonic=self.answered_at, wall=clock.wall())
        body = without_upload_signatures(answer.body)
        return answer if body is answer.body else replace(answer, body=body)

    async def learn_clock(self) -> None:
        """Ask one free question where no answer has said the service's time so far. What it answers does not matter."""
        if self._clock_question() is None:
            return
        # One asks, and the others wait for its answer.
        async with self._clock_lock:
            if (question := self._clock_question()) is not None:
                try:
                    with suppress(ServiceError):
                        await self(question)
                finally:
                    self._clock_tries_left -= 1

    def _clock_question(self) -> Request | None:
        """Return what to ask for the service's time; None where it is known, or its answers do not say it."""
        is_open = self.clock.offset is None and self._clock_tries_left > 0
        return self.free_question if is_open else None


class LogReader:
    """Looks up past requests at the rate that the service allows; several readers of one client share that rate."""

    def __init__(self, send: TimedSender, lookup: RequestLog | LookupById) -> None:
        self.send, self.lookup = send, lookup
        self._rate_gate = RateGate(RateLimiter(lookup.per_second, burst=5))

    def shared_by(self, workers: int) -> None:
        """Take our part of the log's rate, where others read the log of the same account."""
        self._rate_gate.rate.set_share(self.lookup.per_second / workers)

    def service_now(self) -> float | None:
        """Return the service's time, in seconds since 1970; None while it is not known."""
        return self.send.clock.at(clock.loop())

    async def read(
        self,
        since: float | None = None,
        keep: Callable[[LogRow], bool] = lambda row: True,
        *,
        thorough: bool = False,
    ) -> LogReading:
        """Return the rows to `keep` since a moment on the service's clock (None: as far back as can be asked for).

        A `thorough` reading is one on which money is spent: it reaches a day further, since the time may have been told
        by a proxy in between, and asks for pages until one is empty, whatever a page says of further ones.
        Raises ServiceError where a page cannot be had.
        """
        request_log = self.lookup
        if isinstance(request_log, LookupById):
            if request_log.tasks is None:
                raise UsageError("this service has no log of requests")
            return await self._read_tasks(request_log.tasks, keep)

        def read_page(answer: Answer) -> tuple[list[LogRow], bool | None]:
            return request_log.read(answer), request_log.has_more(answer)

        await self.send.learn_clock()
        clock_known = self.service_now() is not None
        since, until = self._window(request_log, since, thorough=thorough)
        rows: list[LogRow] = []
        # A service that ignores `offset` sends its first page for ever: the same page twice ends the reading,
        # incomplete, so that no absence is believed.
        offset, last_page, readable = 0, list[LogRow](), True
        for _ in range(MOST_PAGES):
            page, has_more = await self.request(request_log.request(since, until, offset), read_page)
            is_repeated = bool(page) and page == last_page
            rows += () if is_repeated else filter(keep, page)
            offset += len(page)
            readable = readable and all(row.is_readable for row in page)
            if (has_more is False and (is_repeated or not page or not thorough)) or (has_more is None and not page):
                return LogReading(tuple(rows), since, until, complete=readable, clock_known=clock_known)
            if not page or is_repeated:
                break
            last_page = page
        return LogReading(tuple(rows), since, until, complete=False, clock_known=clock_known)

    def _window(self, request_log: RequestLog, since: float | None, *, thorough: bool) -> tuple[float, float]:
        """Return from when to when a log is read, with room for clocks that are off."""
        now = self.service_now()
        margin = UNKNOWN_CLOCK_MARGIN if now is None or thorough else WINDOW_MARGIN
        until = (clock.wall() if now is None else now) + 2 * margin
        earliest = until - request_log.longest_window
        return (earliest if since is None else max(min(since, until) - 2 * margin, earliest)), until

    async def _read_tasks(self, tasks: TaskList, keep: Callable[[LogRow], bool]) -> LogReading:
        """Return all tasks that a service lists, as rows of a log: each that has not failed became a generation."""
        rows: list[LogRow] = []
        complete = True
        for place, shows_ids in tasks.places().items():
            if not shows_ids:
                continue
            listed, is_whole = await self._tasks_at(place, tasks)
            rows += filter(keep, map(_as_row, listed))
            complete = complete and is_whole
        return LogReading(tuple(rows), 0.0, self.service_now() or clock.wall(), complete, clock_known=True)

    async def _tasks_at(self, place: str, tasks: TaskList) -> tuple[list[Generation], bool]:
        """Return the tasks that are listed at one place, and whether that is all of them."""
        listed, last_page, cursor = list[Generation](), list[Generation](), None
        for number in range(MOST_PAGES):
            try:
                page, cursor = await self.request(tasks.request(place, cursor), partial(tasks.read, cursor))
            except Rejected as error:
                # At once: there is no such list. Later: there is no further page, as at Kling after a thousand.
                if not number:
                    log.warning("the tasks at %s are not listed, and none of them is known: %s", place, error)
                return listed, not number
            if page and page == last_page:  # a service that takes no notice of the cursor
                break
            listed += page
            if cursor is None:
                return listed, True
            last_page = page
        return listed, False

    async def request(self, question: Request, read: Callable[[Answer], T]) -> T:
        """Return what an answer says. A question is asked again where too many were asked: by us, or by others."""
        tries_left = TRIES
        while True:
            await self._rate_gate.wait_turn()
            try:
                content = read(await self.send(question))
            except NotAccepted as error:
                # The log's rate is its own: a refused question here must not slow submissions down.
                self._rate_gate.rate.on_rejected(clock.loop(), error.retry_after)
                tries_left -= 1
                if not tries_left:
                    raise
            else:
                self._rate_gate.rate.on_accepted(clock.loop())
                return content


def _as_row(task: Generation) -> LogRow:
    has_failed = task.state is State.FAILED
    return LogRow(task.request_id, task.id, not has_failed, task.created_at, failed=has_failed)
