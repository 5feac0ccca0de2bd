"""VideoClient: what an application holds. From a job to its file, this is the story of the package."""

from __future__ import annotations

import asyncio
import difflib
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from os import PathLike
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Never, NoReturn, Self
from weakref import WeakKeyDictionary

import anyio

from aimlvideo.core.arguments import check_argument
from aimlvideo.core.catalog.catalog import Catalog
from aimlvideo.core.formatting import SecretText, preview
from aimlvideo.core.jobs.file_names import JOURNAL, RESULTS, NameTemplate, numbered_name, refuse_own_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import OwnIds
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.money.budget import Budget, Spending
from aimlvideo.core.money.pricing import Prices, Pricing
from aimlvideo.core.run_stats import RunStats
from aimlvideo.core.services import DEFAULT_SERVICE
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.base import Generation, Wire
from aimlvideo.core.wires.http import Answer, Request, Transport
from aimlvideo.core.wires.webhooks import WebhookSecret
from aimlvideo.errors import InvalidJobs, NotAccepted, ServiceError, SettingsError, VideoError
from aimlvideo.pipeline.chains import Chains
from aimlvideo.pipeline.download import Downloads
from aimlvideo.pipeline.feed import UNDER_WAY, Feed
from aimlvideo.pipeline.job_sources import (
    Jobs,
    JobSource,
    adopt_generation,
    as_async,
    check_generation_id,
    single_job,
)
from aimlvideo.pipeline.limiters import Limiters
from aimlvideo.pipeline.pipeline import Pipeline
from aimlvideo.pipeline.poll_policies import PollPolicies
from aimlvideo.pipeline.prices import PriceList
from aimlvideo.pipeline.request_log import LogReading
from aimlvideo.pipeline.retries import jobs_to_resume
from aimlvideo.pipeline.run import Run
from aimlvideo.pipeline.run_block import run_block
from aimlvideo.pipeline.run_spec import RunSpec
from aimlvideo.pipeline.status_checks import fetch_status
from aimlvideo.settings import Settings
from aimlvideo.shell import clock
from aimlvideo.shell.files.downloads import ServiceOrigin
from aimlvideo.shell.files.object_stores import ClipStore, ObjectStore, is_remote
from aimlvideo.shell.files.output_folders import OpenFolders, checked_folder
from aimlvideo.shell.files.private_files import refuse_special
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.http.custom_transport import ClipSource, ClipsOverTransport, checked_transport
from aimlvideo.shell.http.destinations import Destinations
from aimlvideo.shell.http.proxies import Proxies
from aimlvideo.shell.http.retrying import retrying
from aimlvideo.shell.http.transport import HttpTransport, open_session
from aimlvideo.shell.journal.base import OWN_IDS, Journal
from aimlvideo.shell.journal.memory import InMemoryJournal
from aimlvideo.shell.state.catalog_cache import Refreshed
from aimlvideo.shell.state.learned_durations import LearnedDurations
from aimlvideo.shell.state.service_models import ServiceModels
from aimlvideo.shell.task_groups import task_group
from aimlvideo.views import notebook
from aimlvideo.views.tracing import trace

if TYPE_CHECKING:
    from aimlvideo.shell.files.uploads import Uploads, UploadStore
    from aimlvideo.shell.journal.sqlite import SqliteJournal

STAND_IN_URL = "http://127.0.0.1"
"""Where a transport without a base URL answers: on this machine, so that nothing is learned from it."""
REPEAT_SECONDS = 0.5
"""Between two looks whether an equal call has ended that came before this one."""
AUTO_WINDOW = 1000
"""Jobs on their way at most, while the client finds out how many the service takes."""


log = logging.getLogger("aimlvideo")
NOT_OPEN = "this client is not open: use `async with VideoClient() as client:`, and call it inside that block"
LEFT_OPEN = "this VideoClient was never closed: open it by `async with VideoClient() as client:`, which closes it"
BY_ASYNC_WITH = "a client is opened by `async with VideoClient() as client:`, also in the cell of a notebook"
NO_ASYNCIO = (
    "a client needs the event loop of asyncio, and another one runs here (trio?): use `asyncio.run(main())`, or "
    "`anyio.run(main)` without `backend`"
)
OTHER_LOOP = (
    "this client was opened in another event loop, and its connections belong to that one: open a client in each loop "
    "(or thread), with `async with VideoClient() as client:`"
)


class _Lent(NamedTuple):
    """What an application has open itself and lends to a client, in place of what the client would open."""

    transport: Transport | None = None
    journal: Journal | None = None
    durations: LearnedDurations | None = None
    limiters: Limiters | None = None

    @classmethod
    def of(
        cls,
        transport: Transport | None,
        journal: str | Path | Journal | None,
        knowledge: str | Path | LearnedDurations | None,
        limiters: Limiters | None,
    ) -> _Lent:
        """Return what of this is open already. Raises SettingsError for what is nothing of the kind."""
        if not isinstance(limiters, Limiters | None):
            raise SettingsError(f"limiters is {preview(limiters)}: expected the Limiters of other clients, or None")
        return cls(
            None if transport is None else checked_transport(transport),
            None if isinstance(journal, str | Path | None) else _checked_journal(journal),
            knowledge if isinstance(knowledge, LearnedDurations) else None,
            limiters,
        )

    def stand_ins(self, api_key: str | None, base_url: str | None) -> dict[str, str | None]:
        """Return the settings that change where this is lent: a transport needs no key, and answers anywhere."""
        settings: dict[str, str | None] = {}
        if self.transport is not None:
            settings["api_key"] = "unused" if api_key is None else api_key
            settings["base_url"] = STAND_IN_URL if base_url is None else base_url
        if self.journal is not None:
            settings["journal"] = None
        if self.durations is not None:
            settings["knowledge"] = None
        return settings


class _Place(NamedTuple):
    """Where a run keeps what it makes, with what is open there for it."""

    folder: Path | None
    store: ClipStore | None
    own_store: ObjectStore | None
    journal: Journal
    uploads: Uploads | None
    ids_under_way: set[str] | None
    """The ids of the jobs that are under way there; None where others see to that."""
    results: ResultsFile | None
    spending: Spending | None


@dataclass(eq=False)
class _JournalUsers:
    """What the runs into one open journal know of each other, of whichever client of this process they are."""

    ids_under_way: set[str] = field(default_factory=set)
    spending: Spending = field(default_factory=Spending)
    runs: set[Run] = field(default_factory=set)
    own_ids: dict[str, OwnIds] = field(default_factory=dict)
    """The request ids that jobs have named themselves, by the parameter that has them."""


_USERS: WeakKeyDictionary[Journal, _JournalUsers] = WeakKeyDictionary()
"""Those of each journal: one that is lent to two clients is one record of what was bought."""


class VideoClient:
    """A client of one account at one service, for one event loop at a time: `async with VideoClient() as client:`.

    Many calls at once share one limiter and one poll scheduler. Settings, all optional:

    - `api_key`, `base_url`: else `AIMLAPI_API_KEY` (or `AIML_API_KEY`) and `AIMLAPI_BASE_URL` are read, for Kling
      itself `KLING_ACCESS_KEY` and `KLING_SECRET_KEY` (or `KLING_API_KEY`), and `KLING_BASE_URL`;
    - `service`: `"aimlapi"`, `"kling"` for a Kling-style gateway, or `"kling-official"` for Kling itself; `legacy=True`
      uses AI/ML API's legacy URLs;
    - `journal`: a file in which every step is kept, so that nothing is lost or paid twice when this process dies.
      Without one, ids are known to this object alone, and gone with it;
    - `max_outstanding`: generations at a time (None: as many as the service takes), counting those that are finished
      and not yet taken by the reader of their run; `buy_ahead`: how many more of those there may be, 0 if not given;
    - `rate`: submissions a second;
    - `poll`: `"learned"` or `"every:SECONDS"`; `poll_rate`: status checks a second over all generations;
    - `downloads`: clips of a run that are saved at a time (None: as many as the line takes);
    - `timeout`: seconds to wait for a generation from its acceptance, or from when this client took it up again; it
      keeps running at the service;
    - `settle`: seconds after which a submission that the service's log does not list was never accepted;
    - `strict`: unknown parameters are errors, not warnings;
    - `metadata`: whether a saved clip carries its recipe (model, prompt, parameters, cost) in its own file;
    - `local_files`: whether parameters may name files of this machine; False where others set them, as behind a web
      page: then a picture is a link or its content;
    - `local_links`: whether clips' links may lead into this machine's network, as they may where the base URL does;
    - `callback`: a host and a port on which the service may call back, `callback_url` the public link that leads there,
      `callback_secret` (`whsec_...`) what its calls are signed with;
    - `upload`: `"s3://bucket/prefix"`, or a place in another object store: where videos and large local files are put,
      for a signed link to them; each content once, until the run or the client ends;
    - `knowledge`: a file for what is learned of durations, in place of the one in the user's state folder;
    - `transport`: an object that carries the requests in place of HTTP, for tests without sockets: `FunctionTransport`,
      or any other `Transport`. It needs no key and is asked for the clips' links too; without a `base_url`, nothing
      that it teaches of durations is kept;
    - `limiters`: those of an account that other clients of this process use too, in place of `max_outstanding`, `rate`,
      `poll_rate` and `downloads`.

    `journal` and `knowledge` may also be open ones that other clients of this process share.

    Raises SettingsError where a setting cannot be right, or there is no key.
    """

    _is_one_of_many: ClassVar[bool] = False
    """Whether other processes share its journal, and say there who has a job."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        service: str = DEFAULT_SERVICE,
        *,
        legacy: bool = False,
        journal: str | Path | Journal | None = None,
        max_outstanding: int | None = 20,
        buy_ahead: int = 0,
        rate: float = 5.0,
        poll: str = "learned",
        poll_rate: float = 50.0,
        downloads: int | None = None,
        timeout: float = 1800.0,
        settle: float | None = None,
        strict: bool = False,
        metadata: bool = True,
        local_links: bool = False,
        local_files: bool = True,
        callback: tuple[str, int] | None = None,
        callback_url: str | None = None,
        callback_secret: str | None = None,
        knowledge: str | Path | LearnedDurations | None = None,
        upload: str | None = None,
        transport: Transport | None = None,
        limiters: Limiters | None = None,
        **unknown: Never,
    ) -> None:
        api_key, callback_secret = SecretText.of(api_key), SecretText.of(callback_secret)
        # Before anything else has a name here: each setting is an argument of the same name, and is named once only.
        settings = {name: value for name, value in locals().items() if name in Settings.__dataclass_fields__}
        # `**unknown` is typed `Never`: a type checker refuses a misspelt keyword, and at run time it is named with the
        # nearest right one.
        if unknown:
            _refuse_unknown(unknown, [*signature(VideoClient).parameters][:-1])
        self._lent = _Lent.of(transport, journal, knowledge, limiters)
        self._settings = Settings.of(settings | self._lent.stand_ins(api_key, base_url))
        self._models = ServiceModels(self._settings.chosen_service, keeps=transport is None)
        self._prices = PriceList(self._settings.chosen_service, lambda: self._models.catalog)
        self._memory = InMemoryJournal()
        self._folders = OpenFolders(self._uploads_of, self._settings.service)
        self._upload_store: UploadStore | None = None
        self._runs: set[Run] = set()
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            raise SettingsError("this client is open already: open another one, or close it first")
        _refuse_other_loops()
        self._poll_policies = PollPolicies(self._settings, lambda: self.catalog, self._lent.durations)
        async with AsyncExitStack() as stack:
            self._transport, clips = await stack.enter_async_context(self._connected())
            path = self._settings.journal
            self._journal: Journal | None = self._lent.journal
            if path:
                from aimlvideo.shell.journal.sqlite import open_journal  # noqa: PLC0415 - a client may have none

                self._journal = await stack.enter_async_context(open_journal(Path(path)))
            if self._settings.upload:
                self._upload_store = await self._open_upload_store(self._settings.upload)
            self._uploads = await stack.enter_async_context(self._uploads_of(self._journal or self._memory))
            policy_for, background = self._poll_policies.policy_for, []
            if self._poll_policies.learns and self._settings.chosen_service.durations:
                background.append(partial(self._poll_policies.read_published, self._transport.send))
            self._pipeline = Pipeline(
                self._settings, self._transport, clips, lambda: self.catalog, policy_for, limiters=self._lent.limiters
            )
            await stack.enter_async_context(self._pipeline.opened(*background))
            # Only now is all of it open: until here an error closes what was opened; from here on `__aexit__` does.
            self._stack, self._loop = stack.pop_all(), asyncio.get_running_loop()
        return self

    # Hidden from type checkers, which know without it that neither works.
    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise SettingsError(BY_ASYNC_WITH)

        def __exit__(self, *_: object) -> None:
            """Be one half of a block: without it Python asks for this method instead of calling `__enter__`."""

        def __await__(self) -> NoReturn:
            raise SettingsError(BY_ASYNC_WITH)

    def __reduce__(self) -> NoReturn:
        raise SettingsError("a client cannot be copied or sent to another process: open one there, from its settings")

    async def __aexit__(self, *error: Any) -> bool | None:
        if self._stack is not None and not self._loop.is_closed():
            _ = self._opened  # in another loop than its own it stays open, to be closed there
        stack, self._stack = self._stack, None
        if stack:
            # Runs first: they hold the pipeline, which the stack closes next.
            for run in list(self._runs):
                run.close(VideoError("the client was closed before this job had ended"))
            self._poll_policies.save()
        return await stack.__aexit__(*error) if stack else None

    def __del__(self) -> None:
        # What asyncio says of its connections at the loop's end names neither the client nor what to do.
        if getattr(self, "_stack", None) is not None:
            warnings.warn(LEFT_OPEN, ResourceWarning, source=self, stacklevel=1)

    @asynccontextmanager
    async def _uploads_of(self, journal: Journal) -> AsyncIterator[Uploads | None]:
        """Give the uploads of a journal's jobs, None without a place for them; what nobody needs is removed at last."""
        if self._upload_store is None:
            yield None
            return
        uploads = self._new_uploads(self._upload_store, journal)
        try:
            yield uploads
        finally:
            await uploads.close()

    async def _open_upload_store(self, url: str) -> UploadStore:
        from aimlvideo.shell.files.uploads import UploadStore  # noqa: PLC0415 - few clients upload

        return await UploadStore.opened(url)

    def _new_uploads(self, store: UploadStore, journal: Journal) -> Uploads:
        from aimlvideo.shell.files.uploads import Uploads  # noqa: PLC0415 - as above

        return Uploads.of_journal(store, journal, self._settings.timeout)

    @property
    def _opened(self) -> Pipeline:
        """This client's pipeline. Raises SettingsError where it is not open, or was opened in another event loop."""
        if self._stack is None:
            raise SettingsError(NOT_OPEN)
        # Waiting for what another loop has to wake up would never end.
        with suppress(RuntimeError):
            if asyncio.get_running_loop() is self._loop:
                return self._pipeline
        raise SettingsError(OTHER_LOOP)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[Transport, ClipSource]]:
        """Give what carries requests, and what fetches clips: over HTTP, or by the transport that was brought along."""
        if (transport := self._lent.transport) is not None:
            yield transport, ClipsOverTransport(transport)
            return
        settings = self._settings
        proxied = settings.base_url.startswith("https:")
        exempt = Proxies.of_environment().hosts if proxied else frozenset()
        destinations = Destinations(settings.base_url, allowed=settings.local_links, exempt=exempt)
        # The service's own requests follow no redirect, so that they need no look at each step of the way.
        async with (
            open_session(proxied=proxied, destinations=destinations) as clips,
            open_session(proxied=proxied, pool=clips.connector) as session,
        ):
            service = settings.chosen_service
            yield HttpTransport(session, settings.base_url, settings.api_key, service, destinations=destinations), clips

    async def generate(
        self,
        model: str,
        *,
        id: str | None = None,  # noqa: A002 - the field's name
        output: str | Path | None = None,
        **params: Any,
    ) -> Result:
        """Return one clip: ready at its link, or saved in the folder `output`.

        With an `id` and a journal the same call is never paid twice; without one each call is a clip of its own.
        Any number of calls may save into one folder at once; another process may not meanwhile.
        Raises InvalidJobs, Rejected, ContentRefused, Refused, GenerationFailed, InDoubt, OutOfPatience and their like.
        """
        repeats = id is not None and (output is not None or self._has_journal)
        return await self._one(lambda run: self._planned([single_job(model, id, params)], run), output, repeats=repeats)

    async def submit(self, model: str, *, id: str | None = None, **params: Any) -> Generation:  # noqa: A002
        """Buy one generation and return it at once, to be waited for by somebody else. Raises as `generate` does."""
        job = single_job(model, id, params)
        repeats = id is not None and self._has_journal
        result = await self._one(lambda run: self._planned([job], run), goal=Stage.RENDERING, repeats=repeats)
        return Generation(result.generation_id or "", status="submitted")

    async def status(self, generation_id: str) -> Generation:
        """Return a generation as the service sees it now. Raises the ServiceError that its answer amounts to."""
        check_generation_id(generation_id)
        pipeline = self._opened
        return await fetch_status(pipeline.send, pipeline.wire, generation_id)

    async def wait(self, generation_id: str, *, model: str = "", output: str | Path | None = None) -> Result:
        """Return the clip of a generation that anybody submitted, yesterday or elsewhere. Raises as `generate` does."""
        check_generation_id(generation_id)
        check_argument("model", model, str, "the id of a model, as text")
        record = Record(VideoJob(model, id=generation_id), Progress(Stage.RENDERING, generation_id=generation_id))

        def adopted(run: Run) -> AsyncIterator[Record]:
            return as_async([adopt_generation(run.spec.journal, *record)])

        try:
            return await self._one(adopted, output, retries=True, repeats=output is not None)
        except InvalidJobs:
            if output is not None:
                raise
        # Another call waits for it already, and writes down what comes of it. Without the id under which it was sent:
        # what only waits buys nothing, also where the service took it and had no slot.
        if (known := (self._journal or self._memory).by_generation(generation_id)) is not None:
            record = Record(known.job, known.progress._replace(request_id=None))
        return await self._one(adopted, retries=True, aside=True)

    async def helper(self, name: str, **params: Any) -> dict[str, Any]:
        """Return what a call answers that prepares a job: `helper("identify-face", video_url=...)`.

        Kling takes a little for some of them (`final_unit_deduction` in the answer): after a lost answer it is not sent
        again. Raises SettingsError where the service has none, InvalidJobs for wrong parameters, else the service's
        error.
        """
        helper = self.service.helper
        if helper is None:
            raise SettingsError(f"{self.service.title} has no calls that prepare a job")
        send, request = self._opened.send, helper.request(name, params)
        return helper.read(await retrying(lambda: send(request), on=(NotAccepted,), tries=4))

    def callback(self, body: bytes | str | Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bool:
        """Take a call of the service that came in at a route of your own; tell whether anybody here waits for it.

        `body` is the call's, as it came. With a `callback_secret`, a call whose signature does not hold is turned away.
        A call ends nothing by itself: the service is asked with our own key before anything counts.
        """
        check_argument("body", body, bytes | str | Mapping, "the call's body: bytes, text or a dict")
        # Those of Flask, Quart and Python's own server are no mappings.
        headers = dict(headers.items()) if headers is not None and hasattr(headers, "items") else headers
        check_argument("headers", headers, Mapping | None, "the call's headers, as a dict")
        for name, value in (headers or {}).items():
            # As bytes, as servers hold them: no signature would be found, and each call turned away.
            check_argument("a name in headers", name, str, "text")
            check_argument(f"headers[{name!r}]", value, str, "text")
        callbacks = self._opened.callbacks
        read, secret = self.service.read_callback, self._settings.callback_secret
        # The signature is over the bytes as they came: a body that was parsed and written again has others.
        raw = body if isinstance(body, bytes) else body.encode(errors="replace") if isinstance(body, str) else b""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        if secret and WebhookSecret(secret).is_forged(
            lowered, raw, clock.wall(), self._opened.request_log.service_now()
        ):
            log.warning("rejected a callback with a wrong signature")
            return False
        content = body if isinstance(body, Mapping) else Answer(200, {}, raw).json()
        return read is not None and callbacks.receive(read(content))

    @run_block
    async def run(
        self,
        jobs: Jobs,
        output: str | Path | None = None,
        *,
        max_spend: float | None = None,
        name: str = "",
        progress: bool = False,
    ) -> AsyncIterator[Run]:
        """Give the results of many jobs as they end: `async with client.run(jobs) as results: async for ...`.

        `jobs` may also be a job file's name or a DataFrame. They are read as there is room, so they may be endless.
        A job that is wrong, rejected or fails is a result with an `error`. With `output`, clips are saved as
        `<job id>.mp4` (or by the template `name`, such as `"{id} {seed}"`) beside `results.jsonl` and a journal: the
        same jobs again carry on where they stopped. `max_spend` (USD) stops submission before it would be passed.
        Leaving the block early cancels what is local; every id that was heard is kept. With `progress`, progress is
        shown: in a notebook, on a terminal, or in a log. Runs into one folder at the same time share its
        journal and what is spent there, and buy no job twice; each keeps to a `max_spend` of its own.
        """
        source = JobSource(jobs)
        source.check()
        check_argument("progress", progress, bool, "True or False")
        async with self._open_run(output, max_spend=max_spend, name=name) as run:
            run.reads_to_end = source.has_an_end
            self._feed(run, self._planned(jobs, run))
            with notebook.progress(run) if progress else nullcontext():
                yield run

    @run_block
    async def resume(
        self,
        output: str | Path | None = None,
        *,
        retry_failed: bool = False,
        verify: bool = False,
        max_spend: float | None = None,
        name: str = "",
        run: int | None = None,
    ) -> AsyncIterator[Run]:
        """Give the results of all jobs in the journal that are not ended, as `run` does; failed ones where asked.

        Saved clips are known by their length; with `verify` by their SHA-256. With `run`, only the jobs of the file
        that was planned in the run of this number.
        """
        check_argument("retry_failed", retry_failed, bool, "True or False")
        check_argument("verify", verify, bool, "True or False")
        check_argument("run", run, int | None, "the number of a run, or None")
        opened = self._open_run(output, max_spend=max_spend, verify=verify, name=name, retries=retry_failed)
        async with opened as resumed:
            records = jobs_to_resume(resumed.spec.journal.open_jobs(retry_failed=retry_failed, run=run))
            self._feed(resumed, as_async(records))
            yield resumed

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._settings.base_url

    @property
    def wire(self) -> Wire:
        """How the service is spoken to, for questions of one's own."""
        return self._settings.wire(lambda: self.catalog)

    @property
    def account(self) -> str:
        """A fingerprint of the key and of the base URL, by which a journal knows with which of them a job was sent."""
        return self._opened.account

    @property
    def service(self) -> Service:
        """The service that this client talks to, and what is known of it."""
        return self._settings.chosen_service

    @property
    def has_uploads(self) -> bool:
        """Whether videos and large local files have a place to be uploaded to."""
        return self._settings.upload is not None

    @property
    def outstanding(self) -> Mapping[str, VideoJob]:
        """The jobs by generation id that were accepted, without a journal, and not seen to end."""
        open_jobs = self._memory.open_jobs()
        return {record.progress.generation_id: record.job for record in open_jobs if record.progress.generation_id}

    @property
    def _has_journal(self) -> bool:
        """Whether what the first of two equal calls at a time has made is known to the second."""
        return self._settings.journal is not None or self._lent.journal is not None

    async def _one(
        self,
        records: Callable[[Run], AsyncIterator[Record]],
        output: str | Path | None = None,
        goal: Stage = Stage.SAVED,
        *,
        retries: bool = False,
        aside: bool = False,
        repeats: bool = False,
    ) -> Result:
        """Return the one result of a run; with `repeats`, what an equal call makes that is under way here."""
        while True:
            async with self._open_run(output, goal=goal, retries=retries, aside=aside) as run:
                self._feed(run, records(run))
                if (result := await anext(run, None)) is None:
                    raise VideoError("the run ended without a result")
                if not (repeats and _is_under_way(result.error)):
                    return result.or_raise()
                while result.job.id in (run.spec.ids_under_way or ()):  # noqa: ASYNC110 - a set of ids wakes nobody
                    await anyio.sleep(REPEAT_SECONDS)

    def _planned(self, jobs: Jobs, run: Run) -> AsyncIterator[Record]:
        """Give each job as the journal knows it; a wrong one as a failure."""
        return JobSource(jobs).planned(run, self.catalog, local_files=self._settings.local_files)

    def _feed(self, run: Run, records: AsyncIterator[Record]) -> None:
        settings = self._settings
        catalog_for = partial(self._models.catalog_for, self._pipeline.send)
        own_ids = OwnIds(self.service.id_field)
        if self.service.id_field and run.spec.ids_under_way is not None:
            # Once for each journal: whoever makes one clip after the other would read it again for each.
            known, journal = _users_of(run.spec.journal).own_ids, run.spec.journal
            if self.service.id_field not in known:
                journal.note(OWN_IDS, self.service.id_field)
            own_ids = known.setdefault(self.service.id_field, own_ids)
        feed = Feed(run, self._pipeline, catalog_for, settings.strict, own_ids, settings.legacy)
        run.tasks.start_soon(feed.work, self._in_order(run, records))

    def _in_order(self, run: Run, records: AsyncIterator[Record]) -> AsyncIterator[Record]:
        return Chains(run).in_order(records)

    @asynccontextmanager
    async def _open_run(
        self,
        output: str | Path | None,
        *,
        goal: Stage = Stage.SAVED,
        max_spend: float | None = None,
        verify: bool = False,
        name: str = "",
        retries: bool = False,
        store: ClipStore | None = None,
        aside: bool = False,
    ) -> AsyncIterator[Run]:
        """Open a run: its folder, its journal, its results, its tasks; clips go to `store`, where one is given.

        One `aside` has no folder, and a journal for itself.
        """
        pipeline = self._opened
        if not isinstance(name, str) or name:
            # A template that cannot be read is said before anything is bought.
            NameTemplate(name)
        async with AsyncExitStack() as stack:
            place = await self._open_place(stack, output, store, verify=verify)
            if aside:
                place = place._replace(journal=InMemoryJournal(), ids_under_way=set(), spending=None)
            number = place.journal.begin()
            if isinstance(place.journal, InMemoryJournal):
                stack.callback(place.journal.forget_planned, number)
            # After the journal: leaving goes the other way round, so that tasks end while it is still open, and what
            # they heard is written.
            tasks = await stack.enter_async_context(task_group())
            budget = await self._budget(max_spend, place.journal, place.spending)
            stats = RunStats(self._poll_policies.expected, self.price)
            spec = self._spec_of(place, number=number, goal=goal, name=name)
            run = Run(replace(spec, retries=retries), tasks, budget, stats, pipeline.limiters)
            if place.own_store:
                stack.push_async_callback(place.own_store.upload_copy, RESULTS)
            stack.enter_context(self._listed(run))
            if place.folder:
                pipeline.start_downloads(run)
            yield run

    async def _open_place(
        self, stack: AsyncExitStack, output: str | Path | None, store: ClipStore | None, *, verify: bool
    ) -> _Place:
        """Open where a run keeps what it makes; `stack` closes it. Raises SettingsError, JournalError, DiskFailed."""
        if not isinstance(output, str | PathLike | None):
            raise SettingsError(f"output is of type {type(output).__name__}: expected the name of a folder")
        if str(output).strip() == "":
            raise SettingsError("output is empty: expected the name of a folder, or None")
        if isinstance(output, PathLike) and is_remote(str(output)):
            output = str(output)  # what makes a local path of it is a copy in a cache, as `cloudpathlib` keeps one
        own_store = await ObjectStore.opened(output) if isinstance(output, str) and is_remote(output) else None
        folder = None if output is None else checked_folder(own_store.staging if own_store else Path(output))
        if folder and not self._journal:
            shared = await stack.enter_async_context(
                self._folders.open(folder, verify=verify, remote=own_store is not None)
            )
            journal, uploads, results = shared.journal, shared.uploads, shared.results
            return _Place(
                folder, store or own_store, own_store, journal, uploads, shared.ids_under_way, results, shared.spending
            )
        if folder and self._journal:
            _refuse_other_journal(folder, self._journal)
        results_file = folder / RESULTS if folder and not store else None
        users = _users_of(self._journal or self._memory)
        return _Place(
            folder,
            store or own_store,
            own_store,
            self._journal or self._memory,
            self._uploads,
            None if self._is_one_of_many else users.ids_under_way,
            stack.enter_context(closing(ResultsFile(results_file))) if results_file else None,
            users.spending if self._journal else None,
        )

    def _spec_of(self, place: _Place, *, number: int, goal: Stage, name: str) -> RunSpec:
        return RunSpec(
            journal=place.journal,
            save=self._save,
            number=number,
            window=self._window(),
            most_bought=self._most_bought,
            price=self.price,
            refresh_prices=partial(self._prices.refresh, self.send, place.journal),
            folder=place.folder,
            patience=self._settings.timeout,
            goal=goal,
            name=name,
            on_result=place.results.write if place.results else None,
            store=place.store,
            uploads=place.uploads,
            ids_under_way=place.ids_under_way,
        )

    @contextmanager
    def _listed(self, run: Run) -> Iterator[None]:
        """Count a run among those of this client and of its journal, until it is left; tell it of those beside it."""
        beside = _users_of(run.spec.journal).runs
        for other in beside:
            other.shared = run.shared = True
        for runs in (self._runs, beside):
            runs.add(run)
        trace(run)
        try:
            yield
        finally:
            run.leave()
            for runs in (self._runs, beside):
                runs.discard(run)

    def _window(self) -> int:
        """Return how many jobs of a run may be on their way, or waiting to be taken, at a time."""
        return 64 + 2 * (self._settings.max_outstanding or AUTO_WINDOW)

    def _most_bought(self) -> float:
        """Return how many generations may be outstanding, or bought and not yet taken by a run's reader."""
        most = self._settings.max_outstanding or self._pipeline.slots.outstanding.limit
        return most + self._settings.buy_ahead

    async def _budget(self, limit: float | None, journal: Journal, spending: Spending | None) -> Budget:
        """Return a run's budget; the first run into a journal promises all that is outstanding there its price."""
        return await self._prices.budget(limit, journal, spending, self.send)

    def use_prices(self, prices: Mapping[str, Pricing]) -> None:
        """Price jobs by this list, which was read before, instead of reading it again where it is needed."""
        check_argument("prices", prices, Mapping, "a price list: a dict of models and their prices")
        self._prices.listed = Prices(prices)

    def price(self, job: VideoJob) -> float | None:
        """Return what a job costs in USD by the service's price list, as far as it was read; None where unknown."""
        check_argument("job", job, VideoJob, "a VideoJob")
        return self._prices.price(job)

    async def learn_models(self, names: Iterable[str]) -> set[str]:
        """Ask the service for the models among these that the catalogue does not know; return those that it knows now.

        They are kept for later runs. Each is asked for once; a service that cannot be reached, or answers with what
        nobody can use, teaches nothing.
        """
        check_argument("names", names, Iterable, "a list of models")
        return await self._models.learn(self._opened.send, names)

    @property
    def catalog(self) -> Catalog:
        """What is known of models, with what this client has asked for."""
        return self._models.catalog

    def use_journal(self, folder: Path, journal: SqliteJournal) -> None:
        """Let runs into a folder use its journal, which is open already, instead of opening it."""
        self._folders.lend(folder, journal)

    def skip_preflight(self) -> None:
        """Ask no more whether models are gone or the key may buy: somebody has read it, and decided."""
        self._opened.preflight.enabled = False

    async def refresh_catalog(self, *, force: bool = False) -> Refreshed:
        """Read what the service's models accept now, keep it for later runs, and use it from here on.

        Raises ServiceError where the list cannot be had; a document that is broken refuses its own model only.
        """
        return await self._models.refresh(self._opened.send, force=force)

    @property
    def clock_offset(self) -> float | None:
        """Seconds by which the service's clock is ahead of this machine's; None while no answer has said its time."""
        return self._opened.send.clock.offset

    async def read_log(self, since: float | None = None, *, thorough: bool = False) -> LogReading:
        """Return the service's log since a moment (seconds since 1970, the service's clock), to its end.

        It lists the requests of this client's key only, of the last 92 days at most, newest first. A `thorough` reading
        is for whoever buys what it does not list. Raises ServiceError where it cannot be had.
        """
        check_argument("since", since, int | float | None, "seconds since 1970, or None")
        return await self._opened.request_log.read(since, thorough=thorough)

    async def send(self, question: Request, *, tries: int = 4) -> Answer:
        """Return the service's answer to a question that may be asked again. Raises ServiceError where none comes."""
        check_argument("question", question, Request, "a Request")
        check_argument("the question's path", question.path, str, "text")
        check_argument("tries", tries, int, "a whole number")
        pipeline = self._opened
        return await retrying(lambda: pipeline.send(question), on=(ServiceError,), tries=tries)

    async def _save(self, result: Result, path: Path) -> Path:
        """Save a result's clips, also after this client was closed: further ones beside the first; return its path."""
        try:
            is_folder = S_ISDIR((await anyio.Path(path).stat()).st_mode)
        except FileNotFoundError:
            is_folder = False
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(f"{str(path)[:200]} cannot be written: {reason}") from error
        if is_folder:
            raise SettingsError(f"{path} is a folder: expected the clip's file, such as clip.mp4")
        refuse_special(path)  # it would be replaced, and `/dev/null` be a clip for everybody
        refuse_own_name(path)
        async with self._connected() as (transport, clips):
            wire = self._settings.wire(lambda: self.catalog)
            downloads = Downloads(
                clips, transport.send, wire, ServiceOrigin.of(self._settings), self._settings.metadata
            )
            edit, paths = downloads.edit_of(result.job, _progress_of(result)), []
            for index, link in enumerate(result.video_urls or (result.video_url,)):

                async def fresh_link(index: int = index) -> str | None:
                    question = fetch_status(transport.send, downloads.wire, result.generation_id or "", result.job)
                    links = (generation := await question).video_urls or (generation.video_url,)
                    return links[index] if index < len(links) else None

                place = path.with_name(numbered_name(path.name, index)) if index else path
                paths.append((await downloads.fetch(link, place, fresh_link, overwrite=index == 0, edit=edit)).path)
            return paths[0]


def _progress_of(result: Result) -> Progress:
    """Return what a result says of its generation, as far as its clip's recipe has it."""
    moments = [None if at is None else at.timestamp() for at in (result.submitted_at, result.completed_at)]
    return Progress(
        generation_id=result.generation_id, cost_usd=result.cost_usd, submitted_at=moments[0], completed_at=moments[1]
    )


def _is_under_way(error: VideoError | None) -> bool:
    return isinstance(error, InvalidJobs) and any(problem.got == UNDER_WAY for problem in error.problems)


def _users_of(journal: Journal) -> _JournalUsers:
    return _USERS.setdefault(journal, _JournalUsers())


def _checked_journal(journal: Journal) -> Journal:
    if not callable(getattr(journal, "plan", None)):
        raise SettingsError(f"journal is {preview(journal)}: expected the path of a file, an open journal, or None")
    return journal


def _refuse_other_journal(folder: Path, journal: Journal) -> None:
    """Raise SettingsError where a folder has a journal that is not this one: what it has would be bought again."""
    own, path = folder / JOURNAL, getattr(journal, "path", None)
    if own.exists() and not (isinstance(path, Path) and path.exists() and own.samefile(path)):
        raise SettingsError(
            f"{folder} has a journal of its own, and this client another one, so that what is bought there would be "
            f"bought again: expected a folder without {JOURNAL}, or a client without `journal`, which goes on with that"
        )


def _refuse_other_loops() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise SettingsError(NO_ASYNCIO) from None


def _refuse_unknown(names: Iterable[str], expected: Iterable[str]) -> None:
    """Raise SettingsError for the first of `names`, with the setting that was probably meant."""
    calls = (VideoClient.run, VideoClient.generate, VideoClient.resume)
    for name in names:
        takers = [call.__name__ for call in calls if name in signature(call).parameters]
        if takers:
            written = " and ".join(f"`{taker}(..., {name}=...)`" for taker in takers)
            raise SettingsError(f"{name!r} is no setting of a client, but an argument of its calls: {written}")
        nearest = difflib.get_close_matches(name, expected, 1, 0.5)
        hint = f": did you mean {nearest[0]}?" if nearest else f": expected one of {', '.join(expected)}"
        raise SettingsError(f"there is no setting {name!r}{hint}")
