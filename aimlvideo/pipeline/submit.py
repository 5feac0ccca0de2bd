"""From planned to rendering: a slot, a turn, the intent on disk, one POST."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.request_ids import Intent
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.base import Generation, Wire
from aimlvideo.core.wires.echoes import without_echoes
from aimlvideo.core.wires.http import Request
from aimlvideo.errors import (
    MOVED,
    Busy,
    DiskFailed,
    JournalError,
    NotAccepted,
    OutOfPatience,
    Refused,
    Rejected,
    ServiceError,
    Unclear,
    UploadFailed,
    UsageError,
)
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.limiters import RateGate, SlotLimiter
from aimlvideo.pipeline.request_log import TimedSender
from aimlvideo.shell import clock

FIRST_PATIENCE = 20.0
"""Seconds for which a service that has never answered is tried before the run gives up."""

log = logging.getLogger("aimlvideo.submit")


@dataclass(eq=False)
class Submit:
    """Buys planned jobs, each at most once. Accepted entries go to `on_accepted`, doubtful ones to `on_doubt`."""

    send: TimedSender
    account: str
    wire: Wire
    slots: SlotLimiter
    rate_gate: RateGate
    encode_media: Callable[[Entry], Awaitable[VideoJob]]
    on_accepted: Callable[[Entry], None]
    on_doubt: Callable[[Entry, str], None]
    """Takes an entry whose answer was lost, and in words what came instead of it."""
    owner_of: Callable[[str], str | None] = lambda generation_id: None
    """Returns the id of the job that waits for a generation, or did."""
    callback_url: str | None = None
    id_field: str = ""
    """The parameter in which a job may name its own request id; empty where the service has none."""
    _answered: bool = False
    _is_in_place: bool = False
    """Whether the service has accepted something since it last sent a submission elsewhere."""
    _unavailable_since: float = inf
    _busy_since: float = inf
    """When the service began to refuse everything because it is busy."""

    async def admit(self, entry: Entry) -> bool:
        """Return when a slot and a turn are this job's; False where its run submits nothing any more."""
        # The slot before the turn: a job that waits for a slot must not hold a place in the rate, or the rate idles.
        await self.slots.acquire()
        entry.slot = self.slots
        try:
            if entry.run.halted is None and not entry.ended:
                await self.rate_gate.wait_turn()
        finally:
            # Its run was left meanwhile: a slot that nobody holds any more would be lost.
            if entry.ended:
                entry.release_slot()
        return _is_wanted(entry)

    async def __call__(self, entry: Entry) -> None:
        """See an admitted job to the service; a service that is busy is asked again, later."""
        try:
            job = await self.encode_media(entry)
        except UsageError as error:
            self._fail(entry, error)
            return
        except UploadFailed as error:
            # It is planned still: the next run puts its file there.
            entry.stop_run(error)
            return
        while await self._submit_once(entry, job) and await self.admit(entry):
            pass

    async def _submit_once(self, entry: Entry, job: VideoJob) -> bool:
        """Send one POST. True: it surely was not accepted, the job is planned again, its slot is free."""
        denied_request_id = entry.progress.request_id
        await self.send.learn_clock()
        if not _is_wanted(entry):
            return False
        request_id, sent = self._intent(entry.job, denied_request_id)
        request = self.wire.submission(job, request_id, self.callback_url)
        try:
            # The intent is on disk before the request leaves: whatever dies from here on, a later run finds the id to
            # look for. The shield keeps a cancellation from throwing away an answer that names a paid generation.
            with entry.run.round_trip() as shield:
                if not await self._keep_intent(entry, sent, denied_request_id):
                    return False
                generation = await self._post(request, request_id)
                self._on_accepted(entry, generation)
        except NotAccepted as error:
            entry.step(Stage.PLANNED, request_id=denied_request_id)
            self._slow_down(entry, error)
            entry.release_slot()
            return True
        except Refused as error:
            entry.step(Stage.PLANNED, request_id=denied_request_id)
            # One redirect between acceptances is an oddity of one answer, and no news of where the service is.
            if error.status in MOVED and self._is_in_place:
                self._is_in_place = False
                log.warning("not accepted: %s", error, extra={"job": entry.job.id})
                entry.end(error)
            else:
                entry.stop_run(error)
        except Rejected as error:
            # An id of the job's own: refused, perhaps, since it was taken before.
            if request_id == denied_request_id:
                self._on_doubt(entry, str(error))
            else:
                self._fail(entry, error)
        except Unclear as error:
            self._on_doubt(entry, str(error))
        if shield.cancelled_caught:
            self._on_doubt(entry, "stopped before the answer came")
        return False

    async def _keep_intent(self, entry: Entry, sent: Mapping[str, Any], denied_request_id: str | None) -> bool:
        """Bring what is about to be sent to disk. False: it cannot be kept, or nobody wants it any more; not sent."""
        try:
            entry.step(Stage.SUBMITTING, submitted_at=clock.wall(), **sent)
            await entry.run.spec.journal.synced()
        except DiskFailed as error:
            entry.step(Stage.PLANNED, request_id=denied_request_id)
            entry.stop_run(error)
            return False
        # Let go of while its intent was written.
        if entry.ended:
            entry.step(Stage.PLANNED, request_id=denied_request_id)
        return not entry.ended

    def _intent(self, job: VideoJob, denied_request_id: str | None) -> tuple[str, dict[str, Any]]:
        """Return the id of the next POST, and what is written down of it before it is sent.

        A planned job has a request id where that one was denied.
        """
        denials = 0 if denied_request_id is None else Intent.of(denied_request_id).denials + 1
        now = clock.loop()
        intent = Intent(self.account, self.send.clock.at(now), denials, uptime=now)
        own_id = job.params.get(self.id_field)
        # Five random bytes beside the job's own digest: two attempts of one job must be told apart in the service's
        # log.
        generated_id = intent.request_id(job, secrets.token_hex(5))
        request_id = own_id if isinstance(own_id, str) and own_id else generated_id
        return request_id, {"request_id": request_id, "account": intent.account, "service_time": intent.sent_at}

    async def _post(self, request: Request, request_id: str) -> Generation:
        """Return the generation that was bought. Whatever goes wrong unforeseen leaves open whether it was."""
        try:
            answer = await self.send(request)
            # What it quotes is left out where it names no generation: an id may have in it what a prompt begins with.
            with suppress(ServiceError):
                return self.wire.parse_submission(answer, request_id)
            return self.wire.parse_submission(without_echoes(answer, request.body or {}), request_id)
        except ServiceError:
            raise
        except Exception as error:
            log.exception("unexpected error after a submission", extra={"request_id": request_id})
            raise Unclear(f"unexpected error: {type(error).__name__}: {error}", request_id=request_id) from error

    def _on_accepted(self, entry: Entry, generation: Generation) -> None:
        """Write the id down: nothing is awaited between hearing and writing it."""
        try:
            # A proxy that mixes up two answers would give one job the other's clip, and lose the one that it bought.
            owner = self.owner_of(generation.id) or entry.run.earlier_owner(generation.id)
            if owner not in (None, entry.job.id):
                self._on_doubt(entry, f"the answer names generation {generation.id}, which is that of job {owner!r}")
                return
            entry.step(Stage.RENDERING, generation_id=generation.id, submitted_at=clock.wall())
        except (DiskFailed, JournalError) as error:
            # It was bought: the journal still has its intent, so the next run looks it up, and sends nothing again.
            about = {"job": entry.job.id, "request_id": entry.progress.request_id}
            log.error("generation %s was bought and cannot be written down: %s", generation.id, error, extra=about)
            entry.stop_run(error)
            return
        now = clock.loop()
        self._answered = self._is_in_place = True
        self._unavailable_since, self._busy_since = inf, inf
        self.rate_gate.rate.on_accepted(now)
        limit = self.slots.outstanding.limit
        self.slots.on_accepted(now)
        if self.slots.outstanding.limit > limit:
            entry.run.notify_waiting()  # there is room for one more than its next job has waited for
        self.on_accepted(entry)

    def _on_doubt(self, entry: Entry, why: str) -> None:
        entry.step(Stage.IN_DOUBT)
        log.warning("in doubt: %s", why, extra={"job": entry.job.id, "request_id": entry.progress.request_id})
        self.on_doubt(entry, why)

    def _fail(self, entry: Entry, error: Rejected | UsageError) -> None:
        entry.step(Stage.FAILED, error=error)
        entry.end()

    def _slow_down(self, entry: Entry, error: NotAccepted) -> None:
        """Make room for a service that is busy, or wait for one that is away."""
        now, patience, wait = clock.loop(), entry.run.spec.patience, error.retry_after or 0.0
        self.rate_gate.trouble = error
        # Nobody is there: neither the rate nor the number of slots is to blame, so neither is narrowed.
        if not isinstance(error, Busy):
            self._unavailable_since = min(self._unavailable_since, now)
            silent = now - self._unavailable_since
            if silent > (patience if self._answered else FIRST_PATIENCE) or wait > patience:
                entry.run.give_up_planned(error)
            self.rate_gate.pause(max(wait, min(1 + silent / 2, 30)))
            return
        entry.run.stats.refused["submissions"] += 1
        self._busy_since = min(self._busy_since, now)
        # A wait that is longer than the timeout is not begun: nothing would come of it.
        if max(now - self._busy_since, wait) > patience:
            asks = f" and asks for {wait:g} s more" if wait else ""
            why = f"the service accepts nothing{asks}; the timeout is {patience:g} s: {error}"
            entry.run.give_up_planned(OutOfPatience(why))
        if error.limit != "rate":
            self.slots.on_rejected(now)
        if error.limit == "outstanding":
            self.rate_gate.pause(error.retry_after or 1)
        else:
            self.rate_gate.rate.on_rejected(now, error.retry_after)


def _is_wanted(entry: Entry) -> bool:
    """Tell whether a job is still to be sent: its run may have stopped while its turn or its files were waited for."""
    if entry.run.halted is not None:
        entry.end(entry.run.halted)
    return not entry.ended
