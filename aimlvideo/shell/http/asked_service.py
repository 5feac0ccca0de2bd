"""A service that is only asked what costs nothing: at a fraction of what a client takes to open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from aimlvideo.core.services.base import Service
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ServiceError
from aimlvideo.settings import Settings
from aimlvideo.shell.http.retrying import retrying
from aimlvideo.shell.http.transport import HttpTransport, open_session


@dataclass(frozen=True, slots=True)
class AskedService:
    """Answers questions as a `VideoClient` does."""

    service: Service
    _transport: HttpTransport

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Give the service of these settings, to be asked until the block is left. Raises SettingsError."""
        over_tls, service = settings.base_url.startswith("https:"), settings.chosen_service
        # Nothing but the service's own host is asked: where that speaks no TLS, no certificates are read.
        async with open_session(proxied=over_tls, over_tls=over_tls) as session:
            yield cls(service, HttpTransport(session, settings.base_url, settings.api_key, service))

    async def send(self, question: Request, *, tries: int = 4) -> Answer:
        """Return the service's answer to a question. Raises ServiceError where none comes."""
        return await retrying(lambda: self._transport.send(question), on=(ServiceError,), tries=tries)
