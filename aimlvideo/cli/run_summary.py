"""Where the jobs of a journal stand: what was saved, what it cost, what to do next, and the exit code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aimlvideo.cli.exit_codes import ALL_SAVED, SOME_FAILED, UNFINISHED
from aimlvideo.cli.terminal import Terminal
from aimlvideo.core.formatting import (
    command_line,
    format_seconds,
    format_spent,
    format_usd,
    pluralize,
    redact_for_display,
)
from aimlvideo.core.jobs.file_names import RESULTS
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import ENDED, OUTSTANDING, Stage
from aimlvideo.core.money.budget import Counts
from aimlvideo.core.money.pricing import PRICES, Prices
from aimlvideo.core.service_clock import CLOCK_OFFSET, offset_from_text, offset_remark
from aimlvideo.core.wires.answers import State
from aimlvideo.errors import ContentRefused, Refused, VideoError
from aimlvideo.shell import clock
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.state.catalog_cache import known_catalog

if TYPE_CHECKING:
    from aimlvideo.distributed.shared_account import Account
    from aimlvideo.shell.journal.postgres_sync import SyncPostgresJournal

FAILED_SHOWN = 10
"""Failed jobs that are named; the others are counted."""
NAMED = 20
"""Doubts that are named; the others are counted."""
WORDS = 5
"""Status words that are named."""
CHANGE_CONTENT = "reword the prompt or replace the pictures, and run again"


@dataclass(slots=True)
class _Failures:
    """How many jobs failed in one way, and the first of them: id and reason."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where all jobs stand. Money is in USD; `unknown` counts clips whose cost nobody said.

    `spent_units` is what clips cost in the service's own units, where it says no USD.
    `failed` says what failed; `refused` whose content moderation refused, which is not tried again.
    `committed` is what the outstanding ones will cost, as far as that is known; of `unpriced` ones it is not. Money is
    that of the whole folder, also where the rest is about one file.
    """

    folder: Path | None
    counts: dict[str, int]
    spent: float
    unknown: int
    committed: float
    unpriced: int
    failed: _Failures
    refused: _Failures
    outstanding: tuple[Record, ...]
    others: Mapping[str, int] = field(default_factory=dict)
    """Jobs of the folder that this is not about, by stage: an earlier file planned them."""
    clock_offset: float | None = None
    spent_units: float | None = None

    @classmethod
    def of(cls, journal: JournalReader, folder: Path | None = None, *, run: int | None = None) -> Self:
        """Read where the jobs of a `folder` stand; with `run`, those planned in that run.

        Money is always that of all of them.
        """
        failed_jobs: list[Record] = []
        charged: defaultdict[str, list[float]] = defaultdict(list)
        for job, progress in journal.ended_jobs(run=run):
            if progress.stage is Stage.FAILED:
                failed_jobs.append(Record(job, progress))
            elif progress.cost_usd is not None:
                charged[job.model].append(progress.cost_usd)
        waiting = tuple(record for record in journal.open_jobs(run=run) if record.progress.stage in OUTSTANDING)
        counts = journal.counts(run=run)
        means = {model: sum(costs) / len(costs) for model, costs in charged.items()}
        # Money is of all: what an earlier file has outstanding is paid for, too.
        prices = list(_prices(_committed(waiting if run is None else journal.open_jobs()), journal.fact(PRICES), means))
        failed, refused = _failures_of(failed_jobs)
        in_units, units = journal.costs_in_units()
        return cls(
            folder=folder,
            counts=counts,
            spent=journal.spent(),
            unknown=journal.unknown_costs() - in_units,
            committed=sum(price for price in prices if price is not None),
            unpriced=prices.count(None),
            failed=failed,
            refused=refused,
            outstanding=waiting,
            others={stage: count - counts.get(stage, 0) for stage, count in journal.counts().items()},
            clock_offset=offset_from_text(journal.fact(CLOCK_OFFSET)),
            spent_units=units if in_units or units else None,
        )

    @classmethod
    def of_list(cls, journal: SyncPostgresJournal, account: Account) -> Self:
        """Read where the jobs of many workers stand.

        What it costs does not depend on how many jobs there are, but on how many are outstanding.
        """
        failed, refused = _failures_of(journal.failed_jobs())
        in_units, units = journal.costs_in_units()
        return cls(
            folder=None,
            counts=account.jobs,
            spent=journal.spent(),
            unknown=account.unknown_costs - in_units,
            committed=account.committed,
            unpriced=journal.unpriced(),
            failed=failed,
            refused=refused,
            outstanding=tuple(record for record in journal.begun_jobs() if record.progress.stage in OUTSTANDING),
            spent_units=units if in_units or units else None,
        )

    @property
    def exit_code(self) -> int:
        """What the command ends with: whether all are saved, some failed, or some are unfinished."""
        if any(count for stage, count in self.counts.items() if Stage(stage) not in ENDED):
            return UNFINISHED
        return SOME_FAILED if self.counts.get(Stage.FAILED) else ALL_SAVED

    @property
    def accepted(self) -> tuple[Record, ...]:
        """Those outstanding whose generation is known, the oldest first."""
        accepted = [record for record in self.outstanding if record.progress.generation_id]
        return tuple(sorted(accepted, key=lambda record: record.progress.submitted_at or inf))

    def as_json(self) -> dict[str, Any]:
        """Return where all jobs stand for a program; of long lists the first, as a person sees them."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "exit_code": self.exit_code,
            "jobs": self.counts,
            "spent_usd": self.spent,
            "spent_units": self.spent_units,
            "unknown_costs": self.unknown,
            "committed_usd": self.committed,
            "unknown_prices": self.unpriced,
            "failed": _as_json(self.failed),
            "refused_content": _as_json(self.refused),
            "outstanding": [_outstanding_as_json(*record) for record in self.outstanding[:NAMED]],
            "of_earlier_files": dict(self.others),
        }

    def lines(self, now: float | None = None) -> Iterator[str]:
        """Say where all jobs stand, line by line; `now` is in seconds since 1970."""
        now = clock.wall() if now is None else now
        counted = ", ".join(f"{count:,} {stage.replace('_', ' ')}" for stage, count in self.counts.items())
        yield f"{counted or 'no jobs'}; {self._money()}" + (f"; in {self.folder}" if self.folder else "")
        for job, progress in self.accepted[:1]:
            since = "submitted elsewhere"
            # Without an id of ours it was not sent from here; its moment is that when it was taken in.
            if progress.submitted_at is not None and progress.request_id is not None:
                # May be below zero where the clock was set back since, which `max` hides.
                since = f"submitted {format_seconds(max(now - progress.submitted_at, 0.0))} ago"
            yield f"  oldest outstanding: {progress.generation_id} (job {job.id}), {since}"
        yield from self._last_words(now)
        yield from self._failures()
        yield from self._doubts()
        yield from self._others()
        if (remark := offset_remark(self.clock_offset)) is not None:
            yield f"  {remark}"

    def show(self, terminal: Terminal) -> None:
        """Say where all jobs stand: to a person, or, where that was asked for, to a program."""
        if terminal.json:
            terminal.value(self.as_json())
            return
        for line in self.lines():
            terminal.say(line)

    def advice(self, halted: VideoError | None, command: str, retry: str) -> str:
        """Return what to do next, empty where nothing is: `command` goes on, `retry` tries failed jobs again."""
        if isinstance(halted, Refused):
            # Where nothing is left but what has failed, the command alone would do nothing.
            only_failed = self.exit_code == SOME_FAILED and self.failed.count
            return f"{halted}. Then: {retry if only_failed else command}"
        if self.exit_code == UNFINISHED:
            waiting = f"{len(self.accepted):,} outstanding at the service. " if self.accepted else ""
            why = f"{halted}. " if halted else ""
            return f"{why}{waiting}To go on: {command}"
        if self.exit_code == SOME_FAILED:
            refused = self.refused.count
            change = f"{pluralize(refused, 'job')} refused for the content: {CHANGE_CONTENT}" if refused else ""
            again = f"To try the failed ones again: {retry}" if self.failed.count else ""
            why = str(halted) if halted and again else ""
            return ". ".join(part for part in (change, why, again) if part)
        return ""

    def _last_words(self, now: float) -> Iterator[str]:
        """Say what the service last said of the generations under way, the unknown words first, and when."""
        heard: defaultdict[str, list[float]] = defaultdict(list)
        for record in self.accepted:
            if record.progress.status is not None:
                heard[record.progress.status].append(record.progress.status_at or 0.0)
        by_news = sorted(heard.items(), key=lambda item: (State.named(item[0]) is not None, -len(item[1])))
        for word, moments in by_news[:WORDS]:
            ago = format_seconds(max(0.0, now - max(moments)))
            unknown = "" if State.named(word) else ", not a known status"
            count = pluralize(len(moments), "generation")
            yield f"  last status {redact_for_display(repr(word))}{unknown}: {count}, heard {ago} ago"

    def _others(self) -> Iterator[str]:
        planned = self.others.get(Stage.PLANNED, 0)
        unfinished = sum(count for stage, count in self.others.items() if Stage(stage) not in ENDED) - planned
        parts = [f"{planned:,} more {_is_or_are(planned)} planned"] if planned else []
        parts += [f"{unfinished:,} {'' if parts else 'more '}{_is_or_are(unfinished)} unfinished"] if unfinished else []
        if parts:
            yield f"  {' and '.join(parts)} here by an earlier file: `{command_line('resume', self.folder or 'DIR')}`"

    def _money(self) -> str:
        unknown = f" ({self.unknown:,} of unknown cost)" if self.unknown else ""
        spent = format_spent(self.spent, self.spent_units)
        if not (self.outstanding or self.committed or self.unpriced):
            return f"{spent}{unknown}"
        unpriced = f" ({self.unpriced:,} of unknown price)" if self.unpriced else ""
        return f"{spent} spent{unknown}, {format_usd(self.committed)} committed{unpriced}"

    def _failures(self) -> Iterator[str]:
        """Name the first failed jobs, those of one reason in one line."""
        # Refused content apart: it is the one kind of failure that another try cannot change.
        for heading, jobs in (("failed", self.failed), ("content refused", self.refused)):
            by_reason: defaultdict[str, list[str]] = defaultdict(list)
            for job_id, reason in jobs.first:
                by_reason[reason].append(job_id)
            for reason, job_ids in by_reason.items():
                yield f"  {heading}: {', '.join(job_ids)}: {reason}"
            if (more := jobs.count - len(jobs.first)) > 0:
                yield f"  and {more:,} more {heading}: all reasons are in {RESULTS}"

    def _doubts(self) -> Iterator[str]:
        doubts = [record for record in self.outstanding if record.progress.stage is Stage.IN_DOUBT]
        for job, progress in doubts[:NAMED]:
            yield (
                f"  in doubt: job {job.id}, client request id {progress.request_id}: look for it in the service's log, "
                f"then `{_resolve_command(self.folder, job.id)}` or `--not-accepted`"
            )
            if progress.error is not None:
                yield f"    {progress.error}"
        if len(doubts) > NAMED:
            yield f"  and {len(doubts) - NAMED} more in doubt"


def _is_or_are(count: int) -> str:
    return "is" if count == 1 else "are"


def _resolve_command(folder: Path | None, job_id: str) -> str:
    place: list[Path] = [folder] if folder else []
    options = [] if folder else ["--dsn", "..."]
    options = [*options, "--generation", "ID"]
    if job_id.startswith("-"):
        # It would be read as an option.
        return command_line("resolve", *options, "--", *place, job_id)
    return command_line("resolve", *place, job_id, *options)


def _failures_of(failed_jobs: Iterable[Record]) -> tuple[_Failures, _Failures]:
    """Return the jobs that failed, and apart from them those whose content moderation refused."""
    failed, refused = _Failures(), _Failures()
    for job, progress in failed_jobs:
        kind = refused if isinstance(progress.error, ContentRefused) else failed
        kind.count += 1
        if kind.count <= FAILED_SHOWN:
            kind.first.append((job.id, redact_for_display(str(progress.error), 160)))
    return failed, refused


def dollars_to_go_on(journal: JournalReader, to_buy: Iterable[Record]) -> float | None:
    """Return the spending limit that lets these jobs be bought, in USD; None where a price is not known."""
    # The list that the run began with: its limit was checked against those prices.
    listed = journal.fact(PRICES)
    prices = list(_prices([*_committed(journal.open_jobs()), *to_buy], listed, {}))
    known_prices = [price for price in prices if price is not None]
    if len(known_prices) < len(prices):
        return None
    # A clip whose cost nobody said counts under a limit, too: at its price.
    paid = (one for one in journal.all_jobs() if Counts.of(one.progress) is Counts.SPENT)
    unsaid = [one for one in paid if one.progress.cost_usd is None] if journal.unknown_costs() else []
    return journal.spent() + sum(known_prices) + sum(price or 0.0 for price in _prices(unsaid, listed, {}))


def _committed(records: Iterable[Record]) -> list[Record]:
    """Return those that are still to be paid; a clip that was ready before, and is asked for again, is not."""
    return [record for record in records if Counts.of(record.progress) is Counts.COMMITTED]


def _prices(records: Iterable[Record], listed: str | None, means: dict[str, float]) -> Iterator[float | None]:
    """Give each job's price: by the list that the run was given, else what its model's clips cost so far, else None."""
    jobs, prices = [job for job, _ in records], Prices.of_text(listed)
    catalog = known_catalog() if jobs else None
    for job in jobs:
        price = prices.quote(job.model, catalog.find(job.model) if catalog else None, job.params)
        yield means.get(job.model) if price is None else price


def not_retried(count: int) -> str:
    """Say that jobs stay failed although failed jobs were to be tried again."""
    return f"{pluralize(count, 'job')} not tried again, refused for the content: {CHANGE_CONTENT}"


def _as_json(failures: _Failures) -> dict[str, Any]:
    return {"count": failures.count, "first": [{"id": name, "reason": reason} for name, reason in failures.first]}


def _outstanding_as_json(job: VideoJob, progress: Progress) -> dict[str, Any]:
    return {
        "id": job.id,
        "stage": progress.stage.value,
        "generation_id": progress.generation_id,
        "request_id": progress.request_id,
        "status": None if progress.status is None else redact_for_display(progress.status),
        "reason": None if progress.error is None else str(progress.error),
    }
