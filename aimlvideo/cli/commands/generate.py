"""`aimlvideo generate`: one clip."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import anyio
import typer

from aimlvideo.cli.exit_codes import ALL_SAVED, SOME_FAILED, UNFINISHED, exit_codes
from aimlvideo.cli.options import (
    MONEY,
    ClientOptions,
    Json,
    Legacy,
    NoMetadata,
    Polls,
    Quiet,
    ServiceOptions,
    Strict,
    Timeout,
    Upload,
    UseSandbox,
    file_of,
    read_assignment,
)
from aimlvideo.cli.service_facts import ServiceFacts, learn_without_a_run
from aimlvideo.cli.session import client_of, command_again
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.catalog.references import check_with_references
from aimlvideo.core.formatting import exact_amount, format_units, pluralize
from aimlvideo.core.jobs.file_names import JOURNAL, clip_journal_name, is_plain_name, refuse_own_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.jobs.stages import ENDED, Stage
from aimlvideo.core.money.budget import Standing, Verdict, checked_limit
from aimlvideo.errors import GenerationFailed, LinkDead, Rejected, UsageError, VideoError
from aimlvideo.pipeline.retries import is_still_refused, may_have_completed
from aimlvideo.pipeline.run import Run
from aimlvideo.shell import clock
from aimlvideo.shell.files.private_files import longest_name, refuse_special
from aimlvideo.shell.journal.base import Journal
from aimlvideo.shell.journal.sqlite_file import JournalFile
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.shell.state.catalog_cache import known_catalog

LISTS = ("image_list", "image_urls", "reference_image_urls", "images", "reference_images")
SINGLES = ("image_url", "image", "first_frame_image", "first_frame_url", "image_urls")
LASTS = ("tail_image_url", "last_image_url", "last_frame_image", "end_image_url")

app = CommandApp()


@app.command(epilog="Example: aimlvideo generate alibaba/wan-2-6-t2v -p 'Waves at night' --set duration=5 -o waves.mp4")
def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model: see `aimlvideo models`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The file of the clip.", parser=file_of)
    ],
    access: ServiceOptions,
    prompt: Annotated[str | None, typer.Option("-p", "--prompt", help="What the clip shows.")] = None,
    image: Annotated[
        list[str] | None, typer.Option("-i", "--image", help="A picture: a path or a link; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the model; may be repeated.")
    ] = None,
    timeout: Timeout = 1800.0,
    poll: Polls = "learned",
    strict: Strict = False,
    legacy: Legacy = False,
    upload: Upload = None,
    no_metadata: NoMetadata = False,
    again: Annotated[
        bool,
        typer.Option("--again", "--overwrite", help="Buy the clip although the file is there, and replace the file."),
    ] = False,
    max_spend: Annotated[
        float | None, typer.Option(help="USD: buy nothing where the clip costs more.", rich_help_panel=MONEY)
    ] = None,
    sandbox: UseSandbox = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make one clip."""
    with exit_codes(json=json, quiet=quiet) as terminal:
        settings = access.client_options(
            timeout=timeout, poll=poll, strict=strict, legacy=legacy, upload=upload, metadata=not no_metadata
        )
        clip = ClipInputs(model, prompt, tuple(image or ()), tuple(set_ or ()))
        code = make_one(clip, output, settings, terminal, sandbox=sandbox, again=again, max_spend=max_spend)
        raise typer.Exit(code)


def _saved_sentence(result: Result, output: Path) -> str:
    further = len(result.video_urls) - 1
    beside = f" and {pluralize(further, 'more clip')} beside it" if further > 0 else ""
    return f"saved {output}{beside} ({_cost_of(result)}, generation {result.generation_id})"


def _cost_of(result: Result) -> str:
    """Return what a clip cost: in USD, else in the service's own units, else that nobody says."""
    if result.cost_usd is not None:
        return f"{result.cost_usd:.2f} USD"
    return "cost unknown" if result.cost_units is None else f"{format_units(result.cost_units)} of the service's units"


class ClipInputs(NamedTuple):
    """What a clip is made of, as it is typed; `assignments` are texts such as `duration=5`."""

    model: str
    prompt: str | None = None
    images: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()

    def params(self, service: str) -> dict[str, Any]:
        """Return the job's parameters; pictures go where the model takes them. Raises UsageError."""
        catalog = known_catalog()
        model = catalog.find(self.model) or catalog.find_unlisted(self.model, service)
        assigned = dict(map(read_assignment, self.assignments))
        if (beside := next((name for name in ("model", "id") if name in assigned), None)) is not None:
            raise UsageError(f"--set {beside}=...: expected a parameter of the model, and `{beside}` is none")
        placed = {**_placed(model, self.images), **({} if self.prompt is None else {"prompt": self.prompt})}
        if (twice := next((name for name in placed if name in assigned), None)) is not None:
            flag = "--prompt" if twice == "prompt" else "--image"
            raise UsageError(f"{twice} is given twice, by {flag} and by --set {twice}=...: expected one of the two")
        return placed | assigned


@dataclass(frozen=True, slots=True)
class _ClipJournal:
    """The journal of one clip, hidden beside it: one command for one file has no folder for it.

    It stays when the clip is saved: where its file is lost, the same command fetches what is paid. `path` is None on
    the sandbox, where nothing is kept.
    """

    path: Path | None
    job: VideoJob
    output: Path

    def records(self) -> list[Record]:
        """Return all jobs that were begun into this file, as they stand now."""
        if self.path is None or not self.path.exists():
            return []
        with read_journal(self.path) as opened:
            return list(opened.all_jobs())

    def own_record(self, *, again: bool) -> Record:
        """Return how this clip stands: as planned, where the journal does not have it.

        Raises UsageError where it is not bought unless `again` is said.
        """
        records = self.records()
        own = next((one for one in records if one.job.id == self.job.id), Record(self.job, Progress()))
        if not again:
            self._refuse_to_buy_again(own, records)
        return own

    def _refuse_to_buy_again(self, own: Record, records: Sequence[Record]) -> None:
        """Raise UsageError where the clip is there, was refused, or one by other words was begun: it would be lost."""
        if self.output.exists() and own.progress.stage in (Stage.PLANNED, *ENDED):
            raise UsageError(
                f"{self.output} already exists, so nothing was bought. To buy the clip once more and replace the file: "
                f"{command_again()} --again"
            )
        if is_still_refused(own):
            raise UsageError(
                f"moderation refused this clip, so nothing was bought: {own.progress.error}. Expected other words, or "
                f"another picture; to buy it as it is: {command_again()} --again"
            )
        unfinished = [one for one in records if one.progress.has_attempt and one.progress.stage not in ENDED]
        others = [record for record in unfinished if record.job.id != self.job.id]
        if others and len(others) == len(unfinished):
            raise UsageError(
                f"another clip was begun into {self.output} and is not finished: {_described(others[0])}. Run that "
                f"command again to fetch it, or buy this one as well: {command_again()} --again"
            )

    def note_saved(self, journal: Journal, result: Result) -> None:
        """Write down that the clip is saved; `journal` is the open one that has its job."""
        if self.path is not None and (record := journal.find(self.job.id)) is not None:
            saved = record.progress._replace(
                stage=Stage.SAVED,
                # A name that is none on another system, such as `12:30.mp4`, would be damage to whoever reads it.
                file=self.output.name if is_plain_name(self.output.name) else None,
                bytes=result.bytes,
                sha256=result.sha256,
                saved_at=clock.wall(),
            )
            journal.step(record.job, saved)

    async def plan_anew(self, client: VideoClient) -> None:
        """Let a clip that is saved, or was refused, be bought once more; its generation's id stays in the journal."""
        async with client.run([]) as run:
            run.spec.journal.step(self.job, Progress())

    @asynccontextmanager
    async def opened_run(self, client: VideoClient, limit: float | None, *, has_failed: bool) -> AsyncIterator[Run]:
        """Give the run of this clip; where it failed, the service is asked for that generation before it is bought."""
        async with client.run([]) as planning:
            # What the file's other clips cost, or this one when it failed, is none of what it costs now.
            planning.budget.spending.count_anew()
            if has_failed:
                planning.spec.journal.plan(self.job, run=planning.spec.number)
        # Other words may have failed into the same file: only this clip is tried again.
        try_again = partial(client.resume, retry_failed=True, run=planning.spec.number)
        async with (try_again if has_failed else partial(client.run, [self.job]))(max_spend=limit) as run:
            yield run

    def outstanding(self) -> str:
        """Return a sentence with the ids that are open at the service, or nothing."""
        unfinished = [progress for _, progress in self.records() if progress.stage not in ENDED]
        ids = [progress.generation_id or f"in doubt as {progress.request_id}" for progress in unfinished]
        return f"Outstanding at the service: {', '.join(ids)}. " if ids else ""

    def remove(self) -> None:
        """Remove the journal, unless a clip was paid, or may be, or may still come, or another job is not ended."""
        if self.path is not None and self.path.exists():
            JournalFile(self.path).remove(partial(self._is_needless, self.path))

    def _is_needless(self, path: Path) -> bool:
        with read_journal(path) as opened:
            # What was sent, and is planned again without its id, was refused.
            stages = {attempt.stage for _, attempt in opened.earlier_attempts()} - {Stage.SUBMITTING}
            for record in opened.all_jobs():
                job, progress = record
                # The service may complete what failed, and charges it then: whoever tries it again asks first.
                if may_have_completed(record) or progress.retry_of is not None:
                    return False
                if job.id != self.job.id or progress.has_attempt or progress.stage is not Stage.PLANNED:
                    stages.add(progress.stage)
        return stages <= {Stage.FAILED}


def make_one(
    clip: ClipInputs,
    output: Path,
    settings: ClientOptions,
    terminal: Terminal,
    *,
    sandbox: bool,
    again: bool = False,
    max_spend: float | None = None,
) -> int:
    """Make one clip and save it as `output`; return the exit code.

    A journal lies hidden beside it: the same command again carries on, and buys nothing twice.
    """
    checked_limit(max_spend, "--max-spend")
    job = _job_of(clip, settings, sandbox=sandbox)
    _check_output(output)
    journal = _ClipJournal(None if sandbox else output.with_name(clip_journal_name(output.name)), job, output)
    record = journal.own_record(again=again)
    stage, is_saved = record.progress.stage, record.progress.stage is Stage.SAVED
    is_anew = again and (is_saved or is_still_refused(record))
    is_new = stage is Stage.PLANNED or is_anew
    if is_new:
        _say_what_is_odd(job, settings, terminal)

    async def work() -> None:
        async with client_of(settings | {"journal": journal.path}, sandbox=sandbox) as client:
            # Nothing of a new one is paid yet: what costs too much is a mistake in the command, and not an unfinished
            # clip. One that was sent may turn out as never accepted, and is sent again then: within the limit of now.
            if is_new and max_spend is not None:
                await _refuse_above(max_spend, client, job, terminal)
            if is_anew:
                await journal.plan_anew(client)
            limit, has_failed = None if is_new else max_spend, stage is Stage.FAILED and not is_anew
            async with journal.opened_run(client, limit, has_failed=has_failed) as results:
                result = await anext(results)
                if is_saved and not is_new:
                    terminal.say(f"{output} is gone: its clip, which is paid, is fetched again")
                result = await _see_saved(result, journal, results.spec.journal)
        terminal.result(result)
        terminal.say(_saved_sentence(result, output))

    return _see_through(work, journal, terminal)


def _job_of(clip: ClipInputs, settings: ClientOptions, *, sandbox: bool) -> VideoJob:
    """Return a clip's job; the service is asked for a model that the catalogue does not know. Raises UsageError."""
    if clip.model not in known_catalog():
        learn_without_a_run(settings, [clip.model], sandbox=sandbox)
    params = clip.params(settings["service"])
    # The id follows from the content: the same command has the same id, and finds its journal and its clip.
    return VideoJob(clip.model, id=VideoJob(clip.model, **params).id, **params)


async def _see_saved(result: Result, clip: _ClipJournal, journal: Journal) -> Result:
    """Save a clip and write down what came of it in its open journal; return its result as a program reads it."""
    record = journal.find(clip.job.id)
    if record is not None and record.progress.stage is Stage.FAILED and not may_have_completed(record):
        # Whoever gives the command again after this wants it tried again.
        journal.step(clip.job, Progress())
    try:
        saved = await _save(result.or_raise(), clip.output)
    except _ClipLost:
        # Also one that is lost: it is bought once more by `--again` only.
        clip.note_saved(journal, result)
        raise
    clip.note_saved(journal, saved)
    return saved


def _see_through(work: Callable[[], Coroutine[Any, Any, None]], journal: _ClipJournal, terminal: Terminal) -> int:
    """Make the clip and say what went wrong; return the exit code. The journal is removed where nothing was paid."""
    try:
        in_loop(work())
    except KeyboardInterrupt:
        terminal.say(f"interrupted. {journal.outstanding()}Run the same command again to carry on")
        return UNFINISHED
    except (GenerationFailed, Rejected, _ClipLost) as error:
        terminal.result(Result(journal.job, Stage.FAILED, getattr(error, "generation_id", None), error=error))
        terminal.problem(str(error))
        return SOME_FAILED
    finally:
        journal.remove()
    return ALL_SAVED


class _ClipLost(LinkDead):
    """The service has a clip no more that it was paid for."""

    def __init__(self, result: Result, reason: VideoError) -> None:
        self.generation_id = result.generation_id
        super().__init__(
            f"generation {result.generation_id} is paid, and the service does not give its clip any more: {reason}. To "
            f"buy the clip once more: {command_again()} --again"
        )


async def _save(result: Result, output: Path) -> Result:
    """Save a clip; return its result as a program reads it, with the file that it was saved to. Raises _ClipLost."""
    try:
        await result.save(output)
    except (LinkDead, Rejected) as error:
        raise _ClipLost(result, error) from error
    size, digest = await anyio.to_thread.run_sync(_size_and_hash, output)
    now = datetime.fromtimestamp(clock.wall(), UTC)
    return replace(result, stage=Stage.SAVED, file=str(output), bytes=size, sha256=digest, saved_at=now)


def _size_and_hash(path: Path) -> tuple[int, str]:
    """Return how many bytes a file has, and its SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _say_what_is_odd(job: VideoJob, settings: ClientOptions, terminal: Terminal) -> None:
    """Say what of a job is sent although the catalogue does not know it. Raises InvalidJobs for wrong references."""
    options = {"strict": settings.get("strict", False), "legacy": settings.get("legacy", False)}
    for warning in check_with_references(job, known_catalog(), service=settings["service"], **options).warnings:
        terminal.remark(str(warning))


async def _refuse_above(limit: float, client: VideoClient, job: VideoJob, terminal: Terminal) -> None:
    """Raise UsageError where a clip costs more than this, in USD, or nobody says what it costs."""
    client.use_prices((await ServiceFacts.of(client, terminal.remark)).prices or {})
    price = client.price(job)
    if price is None:
        raise UsageError(f"the price of this clip is not known, so it might exceed --max-spend {limit:.12g}")
    if Standing().verdict(limit, price) is not Verdict.ADMITTED:
        costs = f"this clip costs {exact_amount(price)} USD"
        raise UsageError(f"{costs}, more than --max-spend {limit:.12g}: nothing was bought")


def _check_output(output: Path) -> None:
    """Raise UsageError where a clip could not be saved: it is too late for that once it is paid."""
    if output == Path("-"):
        raise UsageError("-o is -: expected the clip's file; a clip is not written to standard output")
    if output.is_dir():
        raise UsageError(f"{output} is a folder: expected the clip's file")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise UsageError(f"{output.parent} is not there, or cannot be written: expected a folder for the clip")
    try:
        output.stat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a circle of links, say
        raise UsageError(f"{output} cannot be written: {error.strerror}; expected the clip's file") from None
    if len(os.fsencode(output.name)) > (most := longest_name(output.parent)):
        raise UsageError(f"the name of {output} is too long: expected at most {most} bytes")
    refuse_special(output)
    _refuse_file_of_run(output)


def _refuse_file_of_run(output: Path) -> None:
    """Raise UsageError where a run has this file: it would take the clip for its own, damaged, and replace it."""
    refuse_own_name(output)
    journal = output.with_name(JOURNAL)
    if not journal.exists():
        return
    with read_journal(journal) as opened:
        for job, progress in opened.all_jobs():
            if output.name in (progress.file, *(clip.file for clip in progress.files)):
                owned = f"{output} is a file of the run in {output.parent}, of job {job.id!r}"
                raise UsageError(f"{owned}: expected another name")


def _described(record: Record) -> str:
    """Return what a job asks for, and how the service knows it."""
    job, progress = record
    words = json.dumps(dict(job.params), ensure_ascii=False, default=str)
    return f"{progress.generation_id or f'in doubt as {progress.request_id}'}, {job.model} {words[:200]}"


def _placed(model: Model | None, images: Sequence[str]) -> dict[str, Any]:
    if not images:
        return {}
    params = model.params if model else {}
    many = next((name for name in LISTS if name in params), None)
    one = next((name for name in SINGLES if name in params and name != many), None)
    last = next((name for name in LASTS if name in params), None)
    if one and (len(images) == 1 or not many):
        if len(images) > 2 or (len(images) == 2 and not last):
            raise UsageError(f"{model.id if model else 'this model'} takes {2 if last else 1} picture(s)")
        return {one: images[0]} | ({str(last): images[1]} if len(images) == 2 else {})
    if many:
        return {many: list(images)}
    raise UsageError(f"{model.id if model else 'this model'} takes no pictures: see `aimlvideo models`")
