"""What there is, what one model accepts, and what a job file will cost: before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aimlvideo.cli import catalog_views as views
from aimlvideo.cli.check_summary import CheckSummary, Tally
from aimlvideo.cli.jobfile import job_lines
from aimlvideo.cli.planning import JobReader, folder_of
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient, known_catalog
from aimlvideo.core.catalog.catalog import Catalog, Model, catalog_source, load_catalog
from aimlvideo.core.eta import Durations
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.money.pricing import Pricing
from aimlvideo.core.polling.policy import PollPolicy
from aimlvideo.core.services.base import Question
from aimlvideo.errors import InvalidJobs, ServiceError, SettingsError, UsageError
from aimlvideo.shell.state.catalog_cache import CatalogCache
from aimlvideo.shell.state.learned_durations import LearnedDurations

T = TypeVar("T")
PREVIEW = 6
"""Polls of a new job that are foretold on a model's page."""
AUTO = 20
"""Generations at a time that an estimate reckons with where the client is to find out by itself."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the service told before a run; what it did not is empty, or None."""

    prices: Mapping[str, Pricing] = field(default_factory=dict)
    times: Mapping[str, Durations] = field(default_factory=dict)
    balance: float | None = None


async def ask_service(client: VideoClient, *, with_balance: bool = True) -> Told:
    """Ask for prices, durations and the balance; whatever cannot be had is left out."""

    async def told(question: Question[T] | None, otherwise: T) -> T:
        if question is None:
            return otherwise
        try:
            answer = await client.send(question.request, tries=1)
            return question.read(answer) if answer.status == 200 else otherwise
        except ServiceError:
            return otherwise

    no_prices: dict[str, Pricing] = {}
    no_times: dict[str, Durations] = {}
    service = client.service
    prices = await told(service.prices, no_prices)
    times = await told(service.durations, no_times)
    balance: Question[float | None] | None = service.balance
    return Told(prices, times, await told(balance, None) if with_balance else None)


def show_models(word: str, wanted: Mapping[str, Any], settings: dict[str, Any], terminal: Terminal) -> int:
    """Show a table to look through, or one model's page; return the exit code."""
    catalog = known_catalog()
    needs_prices = wanted["prices"] or wanted["max_price"] is not None
    told = _asked(settings) if needs_prices else Told()
    model = catalog.find(word) if word else None
    if wanted["example"]:
        if model is None:
            raise UsageError(_unknown(catalog, word))
        terminal.say(views.example_line(model))
        return 0
    if model is not None:
        _show_page(model, told, terminal)
        return 0
    chosen = {name: wanted[name] for name in ("image", "audio", "max_price")}
    rows = views.model_rows(catalog, word, **chosen, prices=told.prices, times=told.times)
    if not rows:
        raise UsageError(_unknown(catalog, word) if word else "no model is like that")
    cells = [(row.developer, row.id, row.takes, "sound" if row.audio else "", row.seconds, row.price) for row in rows]
    terminal.table(("developer", "model", "takes", "", "seconds", "price"), cells)
    terminal.say(f"{len(rows)} models ({catalog_source()}); one model's page: aimlvideo models MODEL")
    return 0


def refresh_models(settings: dict[str, Any], terminal: Terminal) -> int:
    """Read the live catalogue and keep it; return the exit code."""

    async def work() -> tuple[int, Mapping[str, str]]:
        async with VideoClient(**_keyless(settings)) as client:
            refreshed = await client.refresh_catalog()
            return len(refreshed.models), refreshed.refused

    count, refused = asyncio.run(work())
    for model, reason in refused.items():
        terminal.remark(f"{model}: {reason}")
    terminal.say(f"{count} models are kept in {CatalogCache().path}")
    return 0


def show_changes(terminal: Terminal) -> int:
    """Show what the last refresh found otherwise than this release has it; return the exit code."""
    kept = CatalogCache().read()
    if kept is None:
        raise UsageError("nothing was refreshed yet: aimlvideo models --refresh")
    rows = views.change_rows(load_catalog(), kept.models)
    terminal.table(("what", "model", "parameter", "change"), rows)
    terminal.say(f"{len(rows)} changes since this release, as of {kept.date}")
    return 0


def check_file(name: str, settings: dict[str, Any], terminal: Terminal, *, strict: bool, matrix: bool) -> int:
    """Validate and price a job file, sending nothing that is paid; return the exit code."""
    catalog, service = known_catalog(), settings["service"]
    told = _asked(settings)
    reader = JobReader(catalog, service, folder_of(name), strict, matrix)
    tally, seen = Tally(catalog, told.prices), set[int]()
    with job_lines(name, catalog) as lines:
        for where, job, params in reader.jobs(lines):
            tally.add(job.model, params)
            if not job.derived and hash(job.id) in seen:
                reader.twice(where, job)
            seen.add(hash(job.id))
    reader.say_remarks(terminal.remark)
    if reader.problems:
        raise InvalidJobs(reader.problems)
    show_summary(summary_of(tally, settings, told), terminal)
    return 0


def summary_of(tally: Tally, settings: Mapping[str, Any], told: Told) -> CheckSummary:
    """Return what the counted jobs will cost and take."""
    most = settings["max_outstanding"] or AUTO
    return tally.summary(max_outstanding=most, rate=settings["rate"], balance=told.balance, times=told.times)


def show_summary(summary: CheckSummary, terminal: Terminal) -> None:
    """Say what a file will cost and take."""
    rows = [(cost.model, cost.jobs, _usd(cost.dollars), cost.unquoted or "") for cost in summary.models]
    terminal.table(("model", "jobs", "USD", "without a price"), rows)
    terminal.say(price_line(summary))
    likely, late = (_minutes(seconds) for seconds in (summary.estimate.likely, summary.estimate.late))
    guessed = f"; a guess for {', '.join(summary.estimate.guessed)}" if summary.estimate.guessed else ""
    terminal.say(f"about {likely}, perhaps {late}{guessed}")
    if summary.balance is not None:
        verdict = {True: "it will do", False: "it will not do", None: "nobody can say whether it will do"}
        terminal.say(f"the balance is {summary.balance:.2f} USD: {verdict[summary.enough]}")


def price_line(summary: CheckSummary) -> str:
    """Return in one line what a file will cost."""
    unquoted = f", and {pluralize(summary.unquoted, 'job')} whose price is not known" if summary.unquoted else ""
    return f"{pluralize(summary.jobs, 'job')}, {_usd(summary.dollars)} USD{unquoted}"


def _show_page(model: Model, told: Told, terminal: Terminal) -> None:
    page = views.model_page(model, told.prices.get(model.id), told.times.get(model.id))
    terminal.say(page.id)
    for label, text in page.facts:
        terminal.say(f"  {label}: {text}")
    rows = [(row.name, "required" if row.required else "", row.takes, row.default, row.meaning) for row in page.params]
    terminal.table(("parameter", "", "takes", "default", ""), rows)
    for rule in page.rules:
        terminal.say(f"  {rule}")
    for line in _known_of(model.id):
        terminal.say(f"  {line}")
    terminal.say(f"a line for a job file: {page.example}")


def _foretold(policy: PollPolicy) -> Iterator[float]:
    """Give the ages at which a new job would be asked about."""
    age = 0.0
    for _ in range(PREVIEW):
        age = policy.next_poll(age)
        yield age


def _known_of(model: str) -> Iterator[str]:
    """Give what was learned of a model's durations, and when a new job of it would be asked about."""
    knowledge = LearnedDurations.load()
    for key in knowledge.keys():  # noqa: SIM118 - no mapping
        if key == model or key.startswith(f"{model} "):
            policy = knowledge.policy(key)
            half, most = policy.quantile(0.5), policy.quantile(0.9)
            polls = ", ".join(f"{age:.0f}" for age in _foretold(policy))
            yield f"learned of {key}: half within {half:.0f} s, 90 % within {most:.0f} s; asked at {polls} s"


def _asked(settings: dict[str, Any]) -> Told:
    """Ask what needs no key, and the balance where there is one."""

    async def work() -> Told:
        try:
            client = VideoClient(**settings)
        except SettingsError:
            client, with_key = VideoClient(**_keyless(settings)), False
        else:
            with_key = True
        async with client:
            return await ask_service(client, with_balance=with_key)

    return asyncio.run(work())


def _keyless(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings for questions that need no key."""
    return {**settings, "api_key": settings["api_key"] or "none"}


def _unknown(catalog: Catalog, word: str) -> str:
    near = ", ".join(catalog.nearest(word))
    return f"there is no model {word!r}" + (f": did you mean {near}?" if near else "")


def _usd(dollars: float | None) -> str:
    return "unknown" if dollars is None else f"{dollars:.2f}"


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
