"""`aimlvideo models`: what there is, what one model accepts, and what the service has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from aimlvideo.cli import model_tables
from aimlvideo.cli.options import ApiKey, BaseUrl, exit_codes, settings_of
from aimlvideo.cli.service_facts import ServiceFacts, ask_without_a_run, keyless
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import command_app
from aimlvideo.client import VideoClient, known_catalog
from aimlvideo.core.catalog.catalog import Catalog, Model, catalog_source, load_catalog
from aimlvideo.core.polling.policy import PollPolicy
from aimlvideo.errors import UsageError
from aimlvideo.shell.state.catalog_cache import CatalogCache
from aimlvideo.shell.state.learned_durations import LearnedDurations

PREVIEW = 6
"""Polls of a new job that are foretold on a model's page."""


app = command_app()


@app.command()
def models(
    word: Annotated[str, typer.Argument(help="A word to look for, or a model.")] = "",
    image: Annotated[bool, typer.Option("--image", help="Those that take a picture.")] = False,
    audio: Annotated[bool, typer.Option("--audio", help="Those with sound.")] = False,
    max_price: Annotated[float | None, typer.Option(help="USD: those whose plainest clip costs no more.")] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Ask the service for prices and durations.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a line for a job file.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read the live catalogue and keep it.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what the service changed since this release.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show what there is, and what one model accepts."""
    terminal = Terminal()
    with exit_codes(terminal):
        settings = settings_of("aimlapi", base_url, api_key, "1")
        if refresh:
            refresh_models(settings, terminal)
        if refresh or diff:
            raise typer.Exit(show_changes(terminal))
        wanted = {"image": image, "audio": audio, "max_price": max_price, "prices": prices, "example": example}
        raise typer.Exit(show_models(word, wanted, settings, terminal))


def show_models(word: str, wanted: Mapping[str, Any], settings: dict[str, Any], terminal: Terminal) -> int:
    """Show a table to look through, or one model's page; return the exit code."""
    catalog = known_catalog()
    needs_prices = wanted["prices"] or wanted["max_price"] is not None
    told = ask_without_a_run(settings) if needs_prices else ServiceFacts()
    model = catalog.find(word) if word else None
    if wanted["example"]:
        if model is None:
            raise UsageError(_unknown(catalog, word))
        terminal.say(model_tables.example_line(model))
        return 0
    if model is not None:
        _show_page(model, told, terminal)
        return 0
    chosen = {name: wanted[name] for name in ("image", "audio", "max_price")}
    rows = model_tables.model_rows(catalog, word, **chosen, prices=told.prices, times=told.times)
    if not rows:
        raise UsageError(_unknown(catalog, word) if word else "no model is like that")
    cells = [(row.developer, row.id, row.takes, "sound" if row.audio else "", row.seconds, row.price) for row in rows]
    terminal.table(("developer", "model", "takes", "", "seconds", "price"), cells)
    terminal.say(f"{len(rows)} models ({catalog_source()}); one model's page: aimlvideo models MODEL")
    return 0


def refresh_models(settings: dict[str, Any], terminal: Terminal) -> int:
    """Read the live catalogue and keep it; return the exit code."""

    async def work() -> tuple[int, Mapping[str, str]]:
        async with VideoClient(**keyless(settings)) as client:
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
    rows = model_tables.change_rows(load_catalog(), kept.models)
    terminal.table(("what", "model", "parameter", "change"), rows)
    terminal.say(f"{len(rows)} changes since this release, as of {kept.date}")
    return 0


def _show_page(model: Model, told: ServiceFacts, terminal: Terminal) -> None:
    page = model_tables.model_page(model, told.prices.get(model.id), told.times.get(model.id))
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


def _unknown(catalog: Catalog, word: str) -> str:
    near = ", ".join(catalog.nearest(word))
    return f"there is no model {word!r}" + (f": did you mean {near}?" if near else "")
