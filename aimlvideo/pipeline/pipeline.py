"""One open client's parts wired together: which of them takes a job at which stage."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.rules import file_limits
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.request_ids import account_fingerprint
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.limits import ConcurrencyLimit, DownloadLimit, PollBudget, RateLimiter
from aimlvideo.core.lost_submissions import settle_seconds
from aimlvideo.core.media_types import MediaLimits
from aimlvideo.core.polling.policy import PollPolicy
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.answers import State
from aimlvideo.core.wires.http import Transport
from aimlvideo.errors import (
    DatabaseAway,
    DiskFailed,
    JournalError,
    NotAccepted,
    OutOfPatience,
    Refused,
    ServiceError,
    Unclear,
)
from aimlvideo.pipeline.callbacks import Callbacks
from aimlvideo.pipeline.crew import Crew
from aimlvideo.pipeline.download import Downloads
from aimlvideo.pipeline.entry import Entry, contained
from aimlvideo.pipeline.limiters import Limiters, RateGate, SlotLimiter
from aimlvideo.pipeline.lost_submissions import LostSubmissions
from aimlvideo.pipeline.poll import Poll
from aimlvideo.pipeline.preflight import Preflight
from aimlvideo.pipeline.request_log import LogReader, TimedSender
from aimlvideo.pipeline.retries import taken_up_since
from aimlvideo.pipeline.run import Run
from aimlvideo.pipeline.submit import Submit
from aimlvideo.settings import Settings
from aimlvideo.shell import clock
from aimlvideo.shell.files.downloads import ServiceOrigin
from aimlvideo.shell.files.media import Media
from aimlvideo.shell.http.custom_transport import ClipSource
from aimlvideo.shell.task_groups import background_tasks

if TYPE_CHECKING:
    from aimlvideo.shell.files.uploads import Uploads

MAX_LATE_REFUSALS = 20
"""How often one job is submitted again that the service took and later had no slot for."""

log = logging.getLogger("aimlvideo")


class Pipeline:
    """The parts of one open client that submit, poll and download, which all its runs share, and the ways between.

    `limiters` are those of an account that others use too, in place of ones by the settings.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        clips: ClipSource,
        catalog: Callable[[], Catalog],
        policy_for: Callable[[VideoJob], PollPolicy],
        *,
        limiters: Limiters | None = None,
    ) -> None:
        limiters = limiters or _own_limiters(settings)
        self.service, self.limiters, self.slots = settings.chosen_service, limiters, limiters.slots
        self._settings, self._catalog, self._policy_for = settings, catalog, policy_for
        service, slots = self.service, self.slots
        balance = service.balance.request if service.balance else None
        self.account = account = account_fingerprint(settings.api_key, settings.base_url)
        self.wire = wire = settings.wire(catalog)
        self.send = send = TimedSender(transport.send, balance)
        self.request_log = LogReader(send, service.lookup)
        has_callbacks = bool(settings.callback_url)
        self.poll = Poll(
            send, wire, slots, limiters.polls, policy_for, _on_ready, self.submit_again, has_callbacks=has_callbacks
        )
        self.lost_submissions = LostSubmissions(
            self.request_log, account, slots, self.settle_time, catalog, self.on_accepted, self.resubmit_soon,
            self.poll.watched.take_back,
        )  # fmt: skip
        self.poll.on_doubt = self.lost_submissions.reopen
        self.submit = Submit(
            send, account, wire, slots, limiters.rate_gate, self.encoded, self.on_accepted, self.lost_submissions.add,
            self.poll.watched.owner_of, settings.callback_url, id_field=service.id_field,
        )  # fmt: skip
        self.downloads = Downloads(
            clips, send, wire, ServiceOrigin.of(settings), settings.metadata, limiters.downloads,
            self.poll.refuse_another_s,
        )  # fmt: skip
        self.callbacks = Callbacks(send, wire, self.poll, self.lost_submissions)
        self._checks = RateGate(limiters.polls.rate)
        self.preflight = Preflight(send, service)

    @asynccontextmanager
    async def opened(self, *background: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Poll, and look for lost submissions, until the block is left."""
        spared = (self.poll.watch_key, self.callbacks.run, *background)
        works = (self.poll.scheduler.run, self.lost_submissions.run, *map(_going_without, spared))
        async with background_tasks(*works), self._callback_page():
            yield

    def on_accepted(self, entry: Entry) -> None:
        """Wait for a generation that the service has taken, or hand it out where that was all that was wanted."""
        if entry.progress.request_id is not None:
            self.lost_submissions.note_accepted(Record(entry.job, entry.progress))
        if entry.run.spec.goal is Stage.RENDERING:
            entry.end()
        else:
            self.poll.watch(entry)

    def submit_again(self, entry: Entry) -> bool:
        """Plan a job anew that the service took and had no slot for; False where that may not be."""
        if not _may_resubmit(entry, self.service):
            return False
        entry.late_refusals += 1
        # A new request id: under the old one the service would answer with the generation that never ran.
        before = entry.progress
        entry.step(
            Stage.PLANNED, request_id=None, generation_id=None, submitted_at=None, status=None, status_at=None,
            retry_of=before.retry_of or before.generation_id,
        )  # fmt: skip
        # It was taken and then had no slot: there are fewer than we believed.
        self.slots.on_rejected(clock.loop())
        self.limiters.rate_gate.pause(1)
        entry.release_slot()
        entry.run.tasks.start_soon(self.buy, entry)
        return True

    def resubmit_soon(self, entry: Entry) -> None:
        """Begin to submit a job again that surely was not accepted the first time, in a task of its run."""
        if not entry.ended:
            entry.run.tasks.start_soon(self._resubmit, entry)

    def settle_time(self, job: VideoJob) -> float:
        """Return after how long a submission that the service does not list was never accepted."""
        if self._settings.settle is not None:
            return self._settings.settle
        if self.service.settle is not None:
            return self.service.settle
        return settle_seconds(self._policy_for(job).quantile(0.99))

    async def encoded(self, entry: Entry) -> VideoJob:
        """Return a job as it is sent. Raises as `_encode` does."""
        limits, service = self.service.media, self.service.name
        if not self._settings.local_files:
            limits = limits._replace(local_files=False)
        return await _encode(entry.job, self._catalog(), limits, service, entry.run.spec.uploads)

    async def route(self, entry: Entry) -> bool:
        """Set a job on its way at its stage. True: it is to be submitted now, by whoever asks."""
        match entry.progress.stage:
            case Stage.PLANNED:
                return await self.submit.admit(entry)
            case Stage.SUBMITTING | Stage.IN_DOUBT:
                self.lost_submissions.add(entry)
            case Stage.RENDERING:
                self.poll.watch(entry)
            case Stage.READY:
                _on_ready(entry)
            case Stage.SAVED | Stage.FAILED:
                entry.end()
        return False

    async def _resubmit(self, entry: Entry) -> None:
        with contained(entry):
            if not await self.takes_up(entry):
                await self.buy(entry)

    async def buy(self, entry: Entry) -> None:
        """Submit a job that is tried again: again under the limits, at its price of today."""
        with contained(entry):
            if await entry.run.budget_gate.afford(entry) and await self.submit.admit(entry):
                await self.submit(entry)

    async def takes_up(self, entry: Entry) -> bool:
        """Tell whether a job is not to be bought again: the service has completed what failed, or does not say so."""
        patience = entry.run.spec.patience
        try:
            failed = entry.failed = entry.failed or entry.run.failed_before(entry)
            if failed is None:
                return entry.ended
            with anyio.fail_after(patience):
                record = Record(entry.job, failed)
                generation = await taken_up_since(self.send, self.wire, record, self._checks, self.account)
        except DatabaseAway as error:
            entry.end(error)
            return True
        except Refused as error:
            entry.stop_run(error)  # it says the same of every other job
            return True
        # It may have been completed: what could not be asked about is not bought again on a guess.
        except (TimeoutError, NotAccepted, Unclear) as error:
            why = f": {error}" if isinstance(error, ServiceError) else f" within {patience:g} s"
            self._leave_failed(entry, why)
            return True
        if generation is None or entry.ended:
            return entry.ended
        state = "completed" if generation.state is State.COMPLETED else "taken up"
        log.info("the service has %s it since it failed: nothing is bought", state, extra={"job": entry.job.id})
        entry.note(**failed.submission())
        entry.step(Stage.SUBMITTING)
        entry.step(Stage.RENDERING)
        await entry.run.budget_gate.afford(entry)
        self.poll.watch(entry)
        return True

    def _leave_failed(self, entry: Entry, why: str) -> None:
        """End a job whose failed generation could not be asked about."""
        failed = entry.failed
        if failed is None or entry.ended:
            return
        unasked = f"generation {failed.generation_id}, which failed and may be completed by now, could not be asked"
        again = "To try again: the same command later; a job of another id is bought anew"
        error = OutOfPatience(f"{unasked} about{why}. {again}", generation_id=failed.generation_id)
        # A worker would be given it again at once, and for ever: it is failed again, for a person to queue.
        if entry.run.spec.ids_under_way is None:
            entry.note(**failed.submission())
            entry.step(Stage.FAILED, error=error)
        entry.end(error)

    @asynccontextmanager
    async def _callback_page(self) -> AsyncIterator[None]:
        """Serve the page that a service may call, where one was asked for."""
        settings, read = self._settings, self.service.read_callback
        if settings.callback is None or read is None:
            yield
            return
        from aimlvideo.shell.http.callback_server import callback_page  # noqa: PLC0415 - 20 ms that only callbacks need

        def heard(body: Any) -> bool:
            return self.callbacks.receive(read(body))

        async with callback_page(*settings.callback, heard, settings.callback_secret, self.request_log.service_now):
            yield

    def start_downloads(self, run: Run) -> None:
        """Let a run's clips be saved, several at a time."""
        save, most = self.downloads.save, lambda: self.limiters.downloads.limit
        run.download_crew = Crew(run.next_download, save, most, run.tasks)


def _on_ready(entry: Entry) -> None:
    """Hand on a clip that is ready: to its download, or, where no folder was given, to whoever waits for it."""
    if entry.ended:
        return
    if entry.run.spec.folder is None:
        entry.end()
    else:
        entry.run.download(entry)


def _going_without(work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return work that helps the runs and that they can do without: what nobody foresaw ends it alone, with a word."""

    async def worked() -> None:
        try:
            await work()
        except (DiskFailed, JournalError):
            raise
        except Exception:
            log.exception("unexpected error in %s: all runs go on without it", getattr(work, "__qualname__", work))

    return worked


def _may_resubmit(entry: Entry, service: Service) -> bool:
    """Tell whether a job that had no slot may be planned again: under an id of its own it could not be told apart.

    A generation that was only waited for by its id is never bought: nobody here knows what it was to show.
    """
    own_id = entry.job.params.get(service.id_field) if service.id_field else None
    was_sent_here = entry.progress.request_id is not None
    return was_sent_here and not entry.ended and not own_id and entry.late_refusals < MAX_LATE_REFUSALS


def _own_limiters(settings: Settings) -> Limiters:
    slots = SlotLimiter(ConcurrencyLimit(settings.max_outstanding))
    gate, polls = RateGate(RateLimiter(settings.rate)), PollBudget(RateLimiter(settings.poll_rate))
    return Limiters(slots, gate, polls, DownloadLimit(settings.downloads))


async def _encode(
    job: VideoJob, catalog: Catalog, limits: MediaLimits, service: str, uploads: Uploads | None = None
) -> VideoJob:
    """Return the job as it is sent: its local pictures read and encoded, or uploaded, off the event loop.

    Raises UsageError for a file that cannot be sent, UploadFailed where the place for uploads does not take it.
    """
    listed = model_of(job, catalog, service)
    model = listed if isinstance(listed, Model) else catalog.find(job.model)
    # Nearly every job: no thread is started for one that has only links.
    if model is None or all(_is_link(job.params.get(name)) for name in model.media_names):
        return job
    by_link = uploads is not None
    if not any(Media(job.folder, limits, by_link).changes(value) for _, value in model.media_fields(job.params)):
        return job
    link_to = None
    if uploads is not None:
        await uploads.prepare()
        link_to = partial(uploads.link, job.id)

    def sent(place: str, value: Any) -> Any:
        return Media(job.folder, file_limits(model, job.params, place, limits), by_link).encoded(value, link_to)

    return job.with_params(await anyio.to_thread.run_sync(model.replace_media, job.params, sent))


def _is_link(value: object) -> bool:
    """Tell what needs no second look: nothing, or a plain link."""
    return value is None or (isinstance(value, str) and value.startswith(("http://", "https://")))
