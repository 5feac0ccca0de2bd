"""The page that a gateway may call when a task changes. A call is never more than a hint to ask about that task."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.webhooks import is_signed
from aimlvideo.errors import SettingsError
from aimlvideo.shell import clock

LARGEST = 2**20
"""Bytes of a call's body at most."""

PARTING = 0.2
"""Seconds that a call under way still has when the page is closed."""

log = logging.getLogger("aimlvideo.callbacks")


@asynccontextmanager
async def callback_page(
    host: str, port: int, heard: Callable[[Any], object], secret: str | None = None
) -> AsyncIterator[str]:
    """Serve the page and give its local URL; each call's JSON body goes to `heard`.

    With a `secret`, a call whose signature does not hold is turned away; an unsigned one is still a hint.
    """

    async def called(request: web.Request) -> web.Response:
        body = await request.read()
        # The services differ in whether they sign: without a signature a call is only a hint to ask sooner.
        signed = secret and "webhook-signature" in request.headers
        if secret and signed and not is_signed(secret, request.headers, body, clock.wall()):
            log.warning("rejected a callback with a wrong signature")
            return web.Response(status=401)
        content = Answer(200, {}, body).json()
        if content is None:
            return web.Response(status=400)
        heard(content)
        return web.Response(status=204)

    application = web.Application(client_max_size=LARGEST)
    application.router.add_post("/{any:.*}", called)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=PARTING)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, OverflowError, ValueError) as error:
            raise SettingsError(f"callbacks cannot be served on {host}:{port}: {_reason(error)}") from error
        yield f"http://{host}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
