"""When which generation is polled: one wheel of due moments and one budget for all that are outstanding."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from math import ceil, inf

from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import PollBudget
from aimlvideo.core.polling.policy import PollPolicy
from aimlvideo.core.polling.timer_wheel import TimerWheel
from aimlvideo.core.wires.base import Wire
from aimlvideo.errors import VideoError
from aimlvideo.pipeline.crew import Crew
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.waiting import Waiting, Watched
from aimlvideo.shell import clock

REVIEW_INTERVAL = 15.0
"""Seconds after which a sleeping generation is looked at again, without a request: something was learned since."""
MOST_PASSED_OVER = 100
"""Generations of the backlog that are passed over at most while others are found for one request."""
ASKED_ALONG = 1.0
"""Seconds by which a generation is polled before its moment, where a request is sent about others that may ask about it
too."""
PARALLEL_POLLS = 128
"""Status checks in flight at most."""
CALLBACK_SLOWDOWN = 4.0
"""How much longer the gaps are while the service calls back."""


class PollScheduler:
    """Gives the outstanding generations to `check` when each is to be polled, several where one request may ask so.

    One whose patience is over goes to `give_up` instead.
    """

    def __init__(
        self,
        wire: Wire,
        budget: PollBudget,
        watched: Watched,
        check: Callable[[list[Waiting]], Awaitable[None]],
        give_up: Callable[[Entry, VideoError], None],
        *,
        has_callbacks: bool = False,
    ) -> None:
        self._wire, self._budget, self._watched, self._give_up = wire, budget, watched, give_up
        self._has_callbacks = has_callbacks
        self._wheel = TimerWheel[Waiting]()
        self._backlog: deque[Waiting] = deque()
        self._policies: set[PollPolicy] = set()
        self._price_updated_at = 0.0
        self._turn: float | None = None  # when the first of the backlog may be polled, once that is known
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = self._rings_at = inf
        self._crew = Crew(self._next, check, lambda: PARALLEL_POLLS)
        self.answered_at = -inf
        """When a status check was answered last, if only by a refusal for being too many."""

    async def run(self) -> None:
        """Poll at the right moments, for as long as the client is open."""
        try:
            await self._crew.run()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def add(self, waiting: Waiting, now: float) -> None:
        """Poll a generation from now on."""
        self._policies.add(waiting.policy)
        self._sleep(waiting, now)

    def hint(self, generation_id: str | None) -> bool:
        """Ask about one generation at once: somebody said that it has changed. Tell whether it is waited for."""
        for waiting in (found := self._watched.waiting_for(generation_id)):
            # Also past a pause after failed checks: who calls knows more than our guess. The budget still holds. While
            # a check is under way it is for the next one: the answer may be older than the news.
            waiting.not_before, waiting.not_after = -inf, clock.loop()
            if not waiting.is_being_polled:
                self._sleep(waiting, waiting.not_after)
        return bool(found)

    def on_unfinished(self, generation_id: str | None, *, queued: bool) -> bool:
        """Take the service's word that a generation has not ended yet for a poll. Tell whether it is waited for."""
        for waiting in (found := self._watched.waiting_for(generation_id)):
            now = clock.loop()
            # Calls can be forged, and repeated for ever: they put off each poll by as long again as it was to wait, and
            # not at all where another call has said that it has ended.
            if waiting.not_after == inf:
                due = self._next_poll_at(waiting)
                waiting.not_after = due + max(due - waiting.state.last_polled_at, 0.0)
            waiting.state = waiting.state.still_running(now, queued, waiting.policy)
            if not waiting.is_being_polled:
                self._sleep(waiting, now)
        return bool(found)

    def keep_waiting(self, waiting: Waiting, now: float) -> None:
        """Go on waiting for an unfinished generation, or stop waiting where patience is over."""
        if now < waiting.deadline:
            self._sleep(waiting, now)
        else:
            waiting.entry.step(Stage.RENDERING)  # writes down the polls that were only noted
            self._give_up(waiting.entry, waiting.out_of_patience())

    def _next_poll_at(self, waiting: Waiting) -> float:
        """Return when to ask next, by what is known now."""
        due, last = waiting.state.due(waiting.policy), waiting.state.last_polled_at
        if self._has_callbacks:
            due = last + CALLBACK_SLOWDOWN * (due - last)
        return max(min(due, waiting.deadline, waiting.not_after), waiting.not_before, self._budget.rate.paused_until)

    def _sleep(self, waiting: Waiting, now: float) -> None:
        waiting.is_being_polled = False
        # Woken at least this often without a request: what other generations taught since may move the poll forward.
        waiting.due = min(self._next_poll_at(waiting), now + REVIEW_INTERVAL, waiting.deadline)
        self._wheel.add(waiting.due, waiting)
        self._call_at(self._wheel.next_due())

    def _next(self) -> list[Waiting] | None:
        """Return who is to be polled now, in one request; None where nobody is: the crew is called when somebody is."""
        now = clock.loop()
        self._update_price(now)
        self._backlog.extend(self._due(now, now + clock.TICK))
        # A pause is waited for in the wheel, where patience can end.
        while self._backlog and (self._watched.is_over(self._backlog[0]) or self._budget.rate.paused_until > now):
            if not (waiting := self._backlog.popleft()).is_over:
                self.keep_waiting(waiting, now)
        together = None
        if self._backlog and self._may_poll(now):
            together, self._turn = self._take_together(now), None
        if not self._backlog:
            self._call_at(self._wheel.next_due())
        elif self._may_poll(now):
            self._crew.call(self._requests_due())
        else:
            self._call_at(self._turn)
        return together

    def _take_together(self, now: float) -> list[Waiting]:
        """Take the first of the backlog, and as many beside it as one request may ask about."""
        together, passed_over = [self._backlog.popleft()], list[Waiting]()
        if (most := self._most_together(together[0])) < 2:
            return together
        # Those that come next are asked along: the request is sent in any case.
        self._backlog.extend(self._due(now, now + ASKED_ALONG))
        while self._backlog and len(together) < most and len(passed_over) < MOST_PASSED_OVER:
            waiting = self._backlog.popleft()
            if self._watched.is_over(waiting):
                continue
            if len(together) < (narrower := min(most, self._most_together(waiting))):
                together.append(waiting)
                most = narrower
            else:
                passed_over.append(waiting)
        self._backlog.extendleft(reversed(passed_over))
        return together

    def _most_together(self, waiting: Waiting) -> int:
        """Return about how many generations the next request may ask that asks about this one."""
        most = waiting.most_together
        # While nothing is answered, one of them may be the reason or an outage: with the first answer that is known.
        return most if waiting.failed_at <= self.answered_at else most >> waiting.misses - 1

    def _requests_due(self) -> int:
        """Return how many requests the backlog takes, at least."""
        shared = self._wire.shared_checks
        return len(self._backlog) if shared is None else ceil(len(self._backlog) / shared.most)

    def _may_poll(self, now: float) -> bool:
        """Tell whether the first of the backlog may be polled now; its turn is reserved."""
        if self._turn is None:
            self._turn = self._budget.reserve(now)
        return self._turn <= now + clock.TICK

    def _due(self, now: float, until: float) -> Iterator[Waiting]:
        """Give those whose moment has come by then, by what is known now; the others go back to sleep."""
        for waiting in self._wheel.pop_due(until):
            if self._watched.is_over(waiting) or waiting.is_being_polled or waiting.due > until:
                continue
            with contained(waiting.entry):
                # What was learned since it was put to sleep may say that a poll would be too early.
                waiting.is_being_polled = self._next_poll_at(waiting) <= until
                if not waiting.is_being_polled:
                    self.keep_waiting(waiting, now)
            if waiting.is_being_polled:
                yield waiting

    def _update_price(self, now: float) -> None:
        """Set the one price of a poll anew, once a second."""
        # Not in a pause: nothing is polled then, so the backlog says nothing about how scarce polls are.
        if now - self._price_updated_at >= 1 and self._budget.rate.paused_until <= now:
            self._price_updated_at = now
            self._budget.tick(now, self._requests_due())
            for policy in self._policies:
                policy.price = self._budget.price

    def _call_at(self, moment: float | None) -> None:
        """Call the crew at this moment, if it is not called earlier."""
        if moment is None or self._alarm_at <= moment:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        # A moment that is past already, as of what an earlier run has bought, is no sign that nothing ran.
        self._alarm_at, self._rings_at = moment, max(moment, clock.loop())
        self._alarm = asyncio.get_running_loop().call_at(moment, self._call)

    def _call(self) -> None:
        late, self._alarm_at = clock.loop() - self._rings_at, inf
        if late > clock.STOOD_STILL:
            # What has finished meanwhile would be given up unasked where checks are held back now.
            self._watched.postpone(late)
        self._crew.call()
