"""What an agent may do with a folder of clips: see models and prices, buy within a limit, wait, see the result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from aimlvideo.cli.model_tables import ModelFilter, example_line, known_model, model_page
from aimlvideo.cli.run_folder import RunFolder
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.references import check_with_references
from aimlvideo.core.catalog.rules import file_limits
from aimlvideo.core.catalog.validation import model_of
from aimlvideo.core.formatting import exact_amount
from aimlvideo.core.jobs.chains import chain_problems, parents
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.problems import is_writable
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.budget import Standing, Verdict
from aimlvideo.errors import InvalidJobs, OverBudget, Problem, UsageError, VideoError
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.files.media import Media
from aimlvideo.shell.files.output_folders import is_saved
from aimlvideo.shell.files.video import frame_jpeg, needs_video
from aimlvideo.shell.state.catalog_cache import known_catalog
from aimlvideo.shell.task_groups import task_group
from aimlvideo.views.report.job_json import failure_advice

MAX_WAIT = 50.0
"""Seconds for which one call may wait: callers give up on a tool after a minute."""
SUBMISSION_WAIT = 10.0
"""Seconds for which a submission's answer is waited for, before the job's id is returned without it."""
CHECK_SECONDS = 0.1
MAX_MODELS = 60
NOT_AGAIN = "this job was there already, so nothing was bought: another id buys another clip"
PICTURE_SIDE = 512
"""Pixels of the longer side of a result's picture."""


class AgentTools:
    """One folder of clips, with a spending limit over all that was ever bought into it.

    Every job is in the folder's journal before it is sent, so nothing depends on this process, or on a call, living on.
    Local files are sent from below the folder that this process was started in, and from the folder of the clips.
    """

    def __init__(self, client: VideoClient, folder: Path, limit: float, run: Run, tasks: TaskGroup) -> None:
        self._start = Path.cwd()
        self._client, self._folder, self._limit, self._run, self._tasks = client, folder, limit, run, tasks
        self._journal = run.spec.journal
        self._catalog = known_catalog()
        self._buying = anyio.Lock()
        self._errors: dict[str, VideoError] = {}
        self._active: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, client: VideoClient, folder: Path, limit: float) -> AsyncIterator[Self]:
        """Give the tools of a folder, which is this process's alone until the block is left.

        Raises UsageError where another service or an embedded sandbox has begun the folder, JournalError where another
        process has it.
        """
        service = client.service.name
        async with client.run([], output=folder, max_spend=limit) as run, task_group() as tasks:
            # Else a test picture would count as a clip that was bought, and another service be asked for its ids.
            RunFolder(folder).claim(run.spec.journal, sandbox=False)
            RunFolder(folder).claim_service(run.spec.journal, service)
            tools = cls(client, folder, limit, run, tasks)
            tools.carry_on()
            try:
                yield tools
            finally:
                # Local tasks only: what was bought goes on at the service, and the journal has its ids.
                tasks.cancel_scope.cancel()

    def models(self, words: str) -> dict[str, Any]:
        """Return the models that fit these words."""
        rows = list(ModelFilter().rows(self._catalog, words))
        listed = [{"model": row.id, "developer": row.developer, "takes": row.takes} for row in rows[:MAX_MODELS]]
        return {"models": listed, "not_shown": max(0, len(rows) - MAX_MODELS)}

    def model(self, name: str) -> dict[str, Any]:
        """Return what one model accepts. Raises UsageError where there is none of this name."""
        model = known_model(self._catalog, name)
        page = model_page(model)
        params = [
            {"name": row.name, "expected": row.takes, "required": row.required, "default": row.default,
             "meaning": row.meaning}
            for row in page.params
        ]  # fmt: skip
        return {"model": name, "parameters": params, "example": json.loads(example_line(model))}

    def price(self, model: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a job would cost, in USD. Raises InvalidJobs with every problem of it."""
        job = self._checked(self._job(model, params))
        return {"model": model, "usd": self._client.price(job), **self.spent()}

    def spent(self) -> dict[str, Any]:
        """Return what was spent in this folder, what its unfinished clips will cost, and what is left of the limit."""
        standing = self._standing()
        return {
            "spent_usd": round(standing.spent, 4),
            "committed_usd": round(standing.committed, 4),
            "limit_usd": self._limit,
            "remaining_usd": self._remaining(standing),
        }

    async def submit(self, model: str, params: Mapping[str, Any], job_id: str | None) -> dict[str, Any]:
        """Buy one clip and return its job's id, without waiting for the clip. The same job again buys nothing.

        Raises InvalidJobs, and OverBudget where the limit would be passed or the price is not known.
        """
        job = self._job(model, params, job_id)
        self._checked(job)
        # One purchase at a time: two calls that check the limit together would both find room for one clip.
        async with self._buying:
            record = self._journal.find(job.id)
            if record is not None and self._is_clip_missing(record.progress):
                self._journal.step(record.job, record.progress.to(Stage.READY))
                record = self._journal.find(job.id)
            was_there = record is not None and record.progress.stage is not Stage.PLANNED
            is_under_way = job.id in self._active
            if not is_under_way and (record is None or record.progress.stage is Stage.PLANNED):
                self._afford(job)
            if not is_under_way and (record is None or record.progress.stage not in ENDED):
                self._errors.pop(job.id, None)
                if record is None and parents(job):
                    self._journal.plan(job)  # its parents may take long: until then it is known by its id
                    await self._journal.synced()
                # Without an await between: a call that is cancelled leaves no job that nobody sees through.
                self._active.add(job.id)
                self._tasks.start_soon(self._see_through, job)
                if not self._unfinished_parents(job):
                    await self._until(job.id, SUBMISSION_WAIT, _is_sent)
            elif record is not None and record.job.content() != job.content():
                raise InvalidJobs([Problem("id", "an id that no other content has", job.id, job=job.id)])
        return self.status(job.id) | ({"note": NOT_AGAIN} if was_there else {})

    def _is_clip_missing(self, progress: Progress) -> bool:
        """Tell whether a saved clip is not in the folder any more: it is fetched again, and nothing is paid."""
        return progress.stage is Stage.SAVED and not is_saved(self._folder, progress)

    def status(self, job_id: str) -> dict[str, Any]:
        """Return where one job stands. Raises UsageError where there is none of this id, or it could not be sent."""
        # No journal has half a surrogate pair, and none can be asked for it.
        record = self._journal.find(job_id) if is_writable(job_id) else None
        if record is None:
            raise self._errors.get(job_id) or UsageError(
                f"there is no job {job_id!r} in {self._folder}: expected the id that `submit` returned"
            )
        job, progress = record
        row = Result.of(job, progress, self._folder).row()
        error = progress.error or (None if progress.stage in ENDED else self._errors.get(job_id))
        file = progress.file if progress.stage is Stage.SAVED else None
        facts = {
            **{name: row[name] for name in ("id", "model", "stage", "generation_id", "cost_usd", "submitted_at")},
            # Whole: a caller does not know in which folder this process was started.
            "file": str(self._start / self._folder / file) if file else None,
            "error": str(error) if error else None,
            "advice": failure_advice(error) if error else None,
        }
        if progress.stage is Stage.PLANNED and job_id not in self._active:
            facts["advice"] = facts["advice"] or "nothing was sent: submit it again to buy it"
        elif progress.stage is Stage.PLANNED and (waits_for := self._unfinished_parents(job)):
            facts["waits_for"] = waits_for
        return {name: value for name, value in facts.items() if value is not None}

    def overview(self) -> dict[str, Any]:
        """Return how many jobs stand where, the ids of those that are not ended, and the money."""
        unfinished = [record.job.id for record in self._journal.open_jobs()]
        return {"jobs": self._journal.counts(), "unfinished": unfinished[:200], **self.spent()}

    async def wait(self, job_id: str, seconds: float) -> dict[str, Any]:
        """Return where a job stands when it has ended, or after so many seconds, whichever comes first."""
        self.status(job_id)
        await self._until(job_id, min(max(0.0, seconds), MAX_WAIT), _has_ended)
        return self.status(job_id)

    async def picture(self, job_id: str) -> bytes:
        """Return a small JPEG of a saved clip. Raises UsageError where there is no clip yet."""
        stage = self.status(job_id)["stage"]
        record = self._journal.find(job_id)
        if record is None or stage != Stage.SAVED or record.progress.file is None:
            raise UsageError(
                f"job {job_id!r} has no saved clip: it is {stage}, expected saved (`wait` says when it is)"
            )
        needs_video("a picture of a clip")
        return await anyio.to_thread.run_sync(frame_jpeg, self._folder / record.progress.file, PICTURE_SIDE)

    def carry_on(self) -> None:
        """Go on with the jobs that an earlier process has begun; what was only planned is not bought."""
        for job, progress in list(self._journal.open_jobs()):
            if progress.stage is not Stage.PLANNED:
                self._active.add(job.id)
                self._tasks.start_soon(self._see_through, job)

    def _unfinished_parents(self, job: VideoJob) -> list[str]:
        """Return the jobs that one takes a clip or a frame from, and that have not ended."""
        records = {name: self._journal.find(name) for name in sorted(parents(job))}
        return [name for name, record in records.items() if record and record.progress.stage not in ENDED]

    async def _see_through(self, job: VideoJob) -> None:
        try:
            while waits_for := self._unfinished_parents(job):
                if not any(name in self._active for name in waits_for):
                    raise UsageError(
                        f"it needs the clip of job {waits_for[0]!r}, which was not sent: submit that first"
                    )
                await anyio.sleep(CHECK_SECONDS)
            async with self._client.run([job], output=self._folder, max_spend=self._limit) as results:
                async for result in results:
                    if result.error is not None:
                        self._errors[job.id] = result.error
        except VideoError as error:
            self._errors[job.id] = error
        finally:
            self._active.discard(job.id)

    async def _until(self, job_id: str, seconds: float, reached: Callable[[Record], bool]) -> None:
        with anyio.move_on_after(seconds):
            while job_id in self._active:
                record = self._journal.find(job_id)
                if record is not None and reached(record):
                    return
                await anyio.sleep(CHECK_SECONDS)

    def _job(self, model: str, params: Mapping[str, Any], job_id: str | None = None) -> VideoJob:
        """Return the job of a call. Raises InvalidJobs where the parameters name what is said beside them."""
        beside = [name for name in ("model", "id") if name in params]
        if beside:
            raise InvalidJobs([Problem(f"params.{name}", f"`{name}` beside the parameters") for name in beside])
        return VideoJob(model, id=job_id, **params).with_base_folder(self._start)

    def _checked(self, job: VideoJob) -> VideoJob:
        """Return a job as it will be sent. Raises InvalidJobs with every problem of it."""
        service = self._client.service
        listed = model_of(job, self._catalog, service.name)
        model = listed if isinstance(listed, Model) else self._catalog.find(job.model)
        if problems := list(chain_problems([job], lambda name: self._journal.find(name) is not None)):
            raise InvalidJobs(problems)
        checked = check_with_references(job, self._catalog, service=service.name, strict=True)
        problems += checked.problems
        if model is not None:
            # Of the names that are sent: under another name of its parameter a file would not be looked at.
            for place, value in model.media_fields(checked.params):
                limits = file_limits(model, checked.params, place, service.media)
                problems += self._file_problems(job, place, value, Media(job.folder, limits, self._client.has_uploads))
        if problems:
            raise InvalidJobs(problems)
        return job.with_params(checked.params)

    def _file_problems(self, job: VideoJob, place: str, value: Any, media: Media) -> Iterator[Problem]:
        """Yield what is wrong with a local file: above all that it is none of those that an agent may send away."""
        path = media.path_of(value)
        if path is None:
            return
        roots = (self._start.resolve(), self._folder.resolve())
        try:
            is_below = any(path.resolve().is_relative_to(root) for root in roots)
        except (OSError, RuntimeError, ValueError):  # a link to itself, or a name that no file can have
            is_below = False
        if is_below:
            yield from media.problems(value, place, job)
        else:
            yield Problem(place, f"a link, or a file below {roots[0]}", str(value), job=job.id)

    def _afford(self, job: VideoJob) -> None:
        """Return where a job may be bought, by the rules of every run. An agent cannot be asked, so nothing waits."""
        standing = self._standing()
        # Not what the model cost before, as in a run: nobody is asked here.
        price = self._client.price(job)
        decided = standing.verdict(self._limit, price)
        if decided is Verdict.UNPRICED:
            raise OverBudget(f"the price of {job.model} is not known, so it might exceed the limit: nothing was sent")
        if decided is Verdict.UNKNOWN:
            raise OverBudget(f"{decided.refusal(self._limit, price, standing)}: nothing was sent")
        if decided is not Verdict.ADMITTED:
            amounts = (price or 0.0, self._remaining(standing), self._limit)
            costs, left, limit = map(exact_amount, amounts)
            raise OverBudget(
                f"this clip costs {costs} USD and {left} USD are left of the limit of {limit} USD: nothing was sent. "
                "Only a person can start this server with a higher --max-spend"
            )

    def _remaining(self, standing: Standing) -> float:
        """Return what is left of the limit, in USD."""
        return round(max(0.0, self._limit - standing.spent - standing.committed), 4)

    def _standing(self) -> Standing:
        """Return what the limit is held against; jobs that wait to be sent are promised their prices already."""
        budget, waiting = self._run.budget, 0.0
        for name in self._active:
            record = self._journal.find(name)
            if record is not None and not budget.holds(name) and record.progress.stage is Stage.PLANNED:
                waiting += self._client.price(record.job) or 0.0
        standing = budget.standing()
        return standing._replace(committed=standing.committed + waiting)


def _is_sent(record: Record) -> bool:
    return record.progress.stage not in (Stage.PLANNED, Stage.SUBMITTING)


def _has_ended(record: Record) -> bool:
    return record.progress.stage in ENDED
