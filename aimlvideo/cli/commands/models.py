"""`aimlvideo models`: what there is, what one model accepts, and what the service has changed."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer

from aimlvideo.cli import model_tables
from aimlvideo.cli.exit_codes import exit_codes
from aimlvideo.cli.model_tables import ModelFilter, known_model
from aimlvideo.cli.options import ApiKey, BaseUrl, ClientOptions, JsonObject, ServiceOptions
from aimlvideo.cli.service_facts import NO_FACTS, ServiceFacts, keyless
from aimlvideo.cli.signals import in_loop
from aimlvideo.cli.terminal import Terminal
from aimlvideo.cli.typer_app import CommandApp
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.catalog.model import Model
from aimlvideo.core.formatting import pluralize
from aimlvideo.core.money.budget import checked_limit
from aimlvideo.core.polling.policy import PollPolicy
from aimlvideo.errors import UsageError
from aimlvideo.shell.state.catalog_cache import CatalogCache, known_catalog
from aimlvideo.shell.state.learned_durations import LearnedDurations

PREVIEW = 6
"""Polls of a new job that a model's page tells beforehand."""

app = CommandApp()


@app.command(epilog="Example: aimlvideo models veo --image --prices")
def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD or MODEL", help="Words to look for, or a model.")
    ] = None,
    image: Annotated[bool, typer.Option("--image", help="Only models that take a picture.")] = False,
    audio: Annotated[bool, typer.Option("--audio", help="Only models with sound.")] = False,
    max_price: Annotated[
        float | None, typer.Option(help="USD: only models whose simplest clip costs at most this.")
    ] = None,
    prices: Annotated[bool, typer.Option("--prices", help="Show prices and durations, from the service.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print a line for a job file.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Fetch the service's current list, and keep it.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what the service has changed since this release.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    json: JsonObject = False,
) -> None:
    """List the models, or show what one model accepts."""
    with exit_codes(json=json) as terminal:
        settings = ServiceOptions(base_url=base_url, api_key=api_key).client_options()
        if refresh:
            _refresh_models(settings, terminal)
        if refresh or diff:
            _show_changes(terminal)
            return
        chosen = ModelFilter(image=image, audio=audio, max_price=checked_limit(max_price, "--max-price"))
        word = " ".join(words or [])
        if example and not word:
            raise UsageError("--example prints a line for one model: expected its name, as in `aimlvideo models MODEL`")
        show = _show_example if example else _show_models
        asks = prices or max_price is not None
        show(word, chosen, _facts(settings, chosen, terminal) if asks else NO_FACTS, terminal)


def _show_models(word: str, chosen: ModelFilter, facts: ServiceFacts, terminal: Terminal) -> None:
    """Show one model's page, or a table to look through. Raises UsageError where no model matches."""
    catalog = known_catalog()
    if (model := catalog.find(word) if word else None) is not None:
        _show_page(model, facts, terminal)
        return
    rows = chosen.rows(catalog, word, prices=facts.prices or {}, times=facts.times)
    if not rows:
        _refuse_filter(catalog, word, chosen)
    if terminal.json:
        terminal.value({"models": [row.as_json() for row in rows], "source": Catalog.source()})
        return
    cells = [(row.developer, row.id, row.takes, "sound" if row.audio else "", row.seconds, row.price) for row in rows]
    terminal.table(("developer", "model", "takes", "", "seconds", "price"), cells)
    terminal.say(f"{pluralize(len(rows), 'model')} ({Catalog.source()}); one model's page: aimlvideo models MODEL")


def _show_example(word: str, chosen: ModelFilter, facts: ServiceFacts, terminal: Terminal) -> None:
    """Print a line for a job file, for one model. Raises UsageError where there is none."""
    model = known_model(known_catalog(), word)
    if terminal.json:
        terminal.value(json_format.loads(model_tables.example_line(model)))
    else:
        terminal.say(model_tables.example_line(model))


def _facts(settings: ClientOptions, chosen: ModelFilter, terminal: Terminal) -> ServiceFacts:
    """Return what the service says. Raises UsageError where models are to be chosen by a price that it does not say."""
    facts = ServiceFacts.asked(settings, terminal.remark)
    if facts.prices is None:
        if chosen.max_price is not None:
            raise UsageError("the service's price list cannot be read, so --max-price cannot be applied")
        terminal.remark("the service's price list cannot be read: no prices are shown")
    return facts


def _refuse_filter(catalog: Catalog, word: str, chosen: ModelFilter) -> NoReturn:
    """Raise UsageError where no model has these words, or none that has them passes the filter."""
    if word and not ModelFilter().rows(catalog, word):
        known_model(catalog, word)
    flags = [name for name, value in chosen.flags().items() if value is not None and value is not False]
    raise UsageError(f"no model matches {' and '.join([*([repr(word)] if word else []), *flags])}")


def _refresh_models(settings: ClientOptions, terminal: Terminal) -> None:
    """Fetch the service's current list, and keep it."""

    async def work() -> tuple[int, Mapping[str, str]]:
        async with VideoClient(**keyless(settings)) as client:
            refreshed = await client.refresh_catalog()
            return len(refreshed.models), refreshed.refused

    count, refused = in_loop(work())
    for model, reason in refused.items():
        terminal.remark(f"{model}: {reason}")
    terminal.say(f"saved {count} models in {CatalogCache().path}")


def _show_changes(terminal: Terminal) -> None:
    """Show what the last refresh found otherwise than this release has it. Raises UsageError where there was none."""
    refreshed = CatalogCache().read()
    if refreshed is None:
        raise UsageError("there is no refreshed list yet: run `aimlvideo models --refresh` first")
    rows = _change_rows(load_catalog(), refreshed.models)
    if terminal.json:
        names = ("what", "model", "parameter", "change")
        changes = [dict(zip(names, row, strict=True)) for row in rows]
        terminal.value({"changes": changes, "date": refreshed.date})
        return
    terminal.table(("what", "model", "parameter", "change"), rows)
    terminal.say(f"{len(rows)} changes since this release, as of {refreshed.date}")


def _show_page(model: Model, facts: ServiceFacts, terminal: Terminal) -> None:
    page = model_tables.model_page(model, (facts.prices or {}).get(model.id), facts.times.get(model.id))
    if terminal.json:
        terminal.value(page.as_json())
        return
    terminal.say(page.id)
    for label, text in page.facts:
        terminal.say(f"  {label}: {text}")
    rows = [(row.name, "required" if row.required else "", row.takes, row.default, row.meaning) for row in page.params]
    terminal.table(("parameter", "", "takes", "default", ""), rows)
    for rule, source in zip_longest(page.rules, page.rule_sources, fillvalue=""):
        terminal.say(f"  {rule}" + (f" ({source})" if source else ""))
    for line in _learned_durations_of(model.id):
        terminal.say(f"  {line}")
    terminal.say(f"a line for a job file: {page.example}")


def _first_polls(policy: PollPolicy) -> Iterator[float]:
    """Give the ages in seconds at which a new job would be polled."""
    age = 0.0
    for _ in range(PREVIEW):
        age = policy.next_poll(age)
        yield age


def _learned_durations_of(model: str) -> Iterator[str]:
    """Give what was learned of a model's durations, and when a new job of it would be polled."""
    knowledge = LearnedDurations.load()
    for key in knowledge.keys():  # noqa: SIM118 - no mapping
        if key == model or key.startswith(f"{model} "):
            policy = knowledge.policy(key)
            half, most = policy.quantile(0.5), policy.quantile(0.9)
            polls = ", ".join(f"{age:.0f}" for age in _first_polls(policy))
            yield f"learned of {key}: half within {half:.0f} s, 90 % within {most:.0f} s; polls at {polls} s"


def _change_rows(catalog: Catalog, refreshed: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what a refresh found otherwise than `catalog` has it: what, model, parameter, and what became of it."""
    from aimlvideo.core.catalog.refresh import compare

    return [
        (change.what, change.model, change.field, " → ".join(part for part in (change.before, change.after) if part))
        for change in compare(catalog, refreshed)
    ]
