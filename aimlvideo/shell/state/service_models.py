"""The models that a client knows: the catalogue, and what the service says of them now."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio

from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.catalog.openapi import Document, parsed_document
from aimlvideo.core.catalog.refresh import ListedModel
from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.base import ModelList
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ServiceError, SettingsError
from aimlvideo.shell.state.catalog_cache import CatalogCache, Refreshed, known_catalog
from aimlvideo.shell.task_groups import task_group

PARALLEL_DOCUMENTS = 8  # documents asked for at the same time
MOST_NAMED = 100  # models that are asked for by name at a time
LEARNING_PATIENCE = 20.0
"""Seconds for which a service may take to describe models that the catalogue does not know."""

log = logging.getLogger("aimlvideo")

Fetch = Callable[[Request], Awaitable[Answer]]


class ServiceModels:
    """One client's catalogue, which grows by what the service says; what it says is kept for later runs if `keeps`."""

    def __init__(self, service: Service, *, keeps: bool) -> None:
        self.catalog = known_catalog()
        self._service, self._keeps = service, keeps
        self._asked_for: set[str] = set()
        self._learning = anyio.Lock()

    async def learn(self, fetch: Fetch, names: Iterable[str]) -> set[str]:
        """Ask for the models among these that the catalogue does not know; return those that it knows now."""
        async with self._learning:
            fresh = {name for name in names if not self._knows(name)} - self._asked_for
            if self._service.models is None or not fresh:
                return set()
            # Before the answer: a service that fails is not asked again for each job of the model.
            self._asked_for |= fresh
            entries: dict[str, Any] = {}
            try:
                with anyio.move_on_after(LEARNING_PATIENCE):
                    entries = await _read_named_models(fetch, self._service.models, fresh)
            except (ServiceError, ValueError) as error:
                log.info("models %s could not be asked for: %s", ", ".join(sorted(fresh))[:200], error)
            except BaseException:
                self._asked_for -= fresh  # whoever asked has gone: nobody has heard the answer
                raise
            new = {name: entry for name, entry in entries.items() if self.catalog.find(name) is None}
            self.catalog = self.catalog.with_refreshed(new)
            # What a test's transport made up is not kept for real runs.
            if new and self._keeps:
                await anyio.to_thread.run_sync(CatalogCache().add, new)
            return {name for name in fresh if self._knows(name)}

    async def catalog_for(self, fetch: Fetch, model: str) -> Catalog:
        """Return the catalogue, with this model in it where the service knows it."""
        if not self._knows(model):
            await self.learn(fetch, [model])
        return self.catalog

    async def refresh(self, fetch: Fetch, *, force: bool) -> Refreshed:
        """Read what all models accept now. Raises ServiceError where the list cannot be had."""
        if self._service.models is None:
            raise SettingsError(f"{self._service.title} has no list of models to read")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        refreshed = await _refresh(fetch, CatalogCache(), self._service.models, now=now, force=force)
        self.catalog = load_catalog(refreshed.models)
        return refreshed

    def _knows(self, name: str) -> bool:
        model = self.catalog.find(name) or self.catalog.find_unlisted(name, self._service.name)
        return not isinstance(name, str) or model is not None


async def _read_named_models(fetch: Fetch, models: ModelList, names: Collection[str]) -> dict[str, Any]:
    """Return the entries of those of these models (by id or alias) that the service lists and describes.

    One that it does not list, or whose document cannot be had or used, is left out. Raises ServiceError or ValueError
    where the list itself cannot be had or read.
    """
    listed = models.read(_list_document(await fetch(models.request(""))))
    named = [model for model in listed if {model.id, *model.aliases} & set(names)]
    entries, refused = await _documents(fetch, named[:MOST_NAMED], models.usual_path)
    for name, reason in refused.items():
        log.warning("the service lists model %r, and its document cannot be used: %s", name[:100], reason[:200])
    return entries


async def _refresh(fetch: Fetch, cache: CatalogCache, models: ModelList, *, now: str, force: bool = False) -> Refreshed:
    """Read the service's list and each video model's document, keep and return what they say; `now` dates it.

    When the service says that its list is what it was, nothing else is asked, unless with `force`. A document that
    cannot be had or used refuses its own model only. A failure of the list itself is raised as it comes.
    """
    cached = await anyio.to_thread.run_sync(cache.read)
    answer = await fetch(models.request("" if cached is None or force else cached.etag))
    if cached is not None and answer.status == 304:
        refreshed = replace(cached, date=now)
    else:
        refreshed = await _read_all(fetch, models, answer, cached, now)
    await anyio.to_thread.run_sync(cache.write, refreshed)
    return refreshed


async def _read_all(fetch: Fetch, models: ModelList, answer: Answer, cached: Refreshed | None, now: str) -> Refreshed:
    document = _list_document(answer)
    try:
        listed = models.read(document)
        if not listed:
            # No service sells nothing: what was read before would be gone.
            raise ValueError("expected video models, got none")
    except ValueError as error:
        raise ServiceError(f"the list of models cannot be read: {error}", status=answer.status) from error
    entries, refused = await _documents(fetch, listed, models.usual_path)
    cached_models = {} if cached is None else {name: cached.models[name] for name in refused if name in cached.models}
    # A list with refused documents is asked for in full the next time: with its tag it would be "not modified", and
    # they would stay missing.
    etag = "" if refused else answer.headers.get("etag", "")
    return Refreshed({**cached_models, **entries}, refused, now, etag)


def _list_document(answer: Answer) -> Any:
    """Return what the answer to a question for the list says. Raises ServiceError where that is no list at all."""
    if answer.status != 200:
        raise ServiceError(f"the list of models was refused ({answer.status})", status=answer.status)
    try:
        return parsed_document(answer.body)
    except ValueError as error:
        raise ServiceError(f"the list of models cannot be read: {error}", status=answer.status) from error


async def _documents(fetch: Fetch, listed: list[ListedModel], usual_path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask for all documents, a few at once; return the entries, and why others were refused."""
    entries: dict[str, Any] = {}
    refused: dict[str, str] = {}
    # One iterator that all askers share: each takes the next, without a queue.
    waiting = iter(listed)

    async def ask() -> None:
        for model in waiting:
            try:
                entries[model.id] = await _entry(fetch, model, usual_path)
            except (ValueError, ServiceError) as error:
                refused[model.id] = str(error)

    async with task_group(wait=True) as group:
        for _ in range(min(PARALLEL_DOCUMENTS, len(listed))):
            group.start_soon(ask)
    # In the service's order, not that of arrival, so that two refreshes of one list write one file.
    order = [model.id for model in listed]
    return {name: entries[name] for name in order if name in entries}, refused


async def _entry(fetch: Fetch, model: ListedModel, usual_path: str) -> dict[str, Any]:
    if not model.document:
        raise ValueError("the list names no document that may be asked for")
    answer = await fetch(Request("GET", model.document))
    if answer.status != 200:
        raise ValueError(f"its document answered {answer.status}")
    entry = Document(parsed_document(answer.body)).catalog_entry(model.id, also=model.aliases, usual_path=usual_path)
    return {**entry, "aliases": list(model.aliases)} if model.aliases else entry
