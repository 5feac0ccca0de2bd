"""The models that a client knows: the catalogue's, and those that it has asked the service for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import anyio

from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.services.base import Service
from aimlvideo.errors import ServiceError, SettingsError
from aimlvideo.shell.state.catalog_cache import (
    CatalogCache,
    Fetch,
    Refreshed,
    known_catalog,
    read_named_models,
    refresh,
)

LEARNING_PATIENCE = 20.0
"""Seconds for which a service may take to describe models that the catalogue does not know."""

log = logging.getLogger("aimlvideo")


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
                    entries = await read_named_models(fetch, self._service.models, fresh)
            except (ServiceError, ValueError) as error:
                log.info("models %s could not be asked for: %s", ", ".join(sorted(fresh))[:200], error)
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
        refreshed = await refresh(fetch, CatalogCache(), self._service.models, now=now, force=force)
        self.catalog = load_catalog(refreshed.models)
        return refreshed

    def _knows(self, name: str) -> bool:
        model = self.catalog.find(name) or self.catalog.find_unlisted(name, self._service.name)
        return not isinstance(name, str) or model is not None
