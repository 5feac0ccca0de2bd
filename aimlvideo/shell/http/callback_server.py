"""The page that a gateway may call when a task changes. A call is never more than a hint to ask about that task."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from aiohttp import web

from aimlvideo.core.wires.http import Answer
from aimlvideo.core.wires.webhooks import WebhookSecret
from aimlvideo.errors import SettingsError
from aimlvideo.shell import clock
from aimlvideo.shell.task_groups import background_tasks

LARGEST = 2**20
"""Bytes of a call's body at most."""

LONGEST = 20.0
"""Seconds that a connection may last: a call takes a moment, and whoever dawdles keeps a file of this process open."""
MOST_CONNECTIONS = 100
"""Connections at once; where there are more, the oldest are closed. The page is open to anybody."""
SWEEP_EVERY = 1.0
PARTING = 0.2
"""Seconds that a call under way still has when the page is closed."""

log = logging.getLogger("aimlvideo.callbacks")
# Whoever sends what is no request would fill the log with the server's tracebacks.
silent_log = logging.getLogger("aimlvideo.callbacks.server")
silent_log.setLevel(logging.CRITICAL + 1)


@asynccontextmanager
async def callback_page(
    host: str,
    port: int,
    heard: Callable[[Any], object],
    secret: str | None = None,
    service_now: Callable[[], float | None] = lambda: None,
) -> AsyncIterator[str]:
    """Serve the page and give its local URL; each call's JSON body goes to `heard`.

    With a `secret`, a call whose signature does not hold is turned away; an unsigned one is still a hint. `service_now`
    is the time by the service's clock, where that is known: this machine's may be wrong.
    """

    async def called(request: web.Request) -> web.Response:
        body = await request.read()
        # The services differ in whether they sign: without a signature a call is only a hint to ask sooner.
        if secret and WebhookSecret(secret).is_forged(request.headers, body, clock.wall(), service_now()):
            log.warning("rejected a callback with a wrong signature")
            return web.Response(status=401)
        content = Answer(200, {}, body).json()
        if content is None:
            return web.Response(status=400)
        try:
            heard(content)
        except Exception:
            log.exception("unexpected error at a callback")
            return web.Response(status=500)
        return web.Response(status=204)

    application = web.Application(client_max_size=LARGEST)
    application.router.add_post("/{any:.*}", called)
    runner = web.AppRunner(application, access_log=None, logger=silent_log, shutdown_timeout=PARTING)
    await runner.setup()
    try:
        await _serve_at(runner, host, port)
        assert runner.server is not None
        async with background_tasks(partial(_close_old_connections, runner.server)):
            yield f"http://{host}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _serve_at(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"callbacks cannot be served on {host}:{port}: {reason}; expected an address of this machine, and a free "
            "port"
        ) from error


async def _close_old_connections(server: web.Server) -> None:
    """Keep the connections few and short, for as long as the page is open."""
    opened_at: dict[web.RequestHandler, float] = {}
    while True:
        now = clock.loop()
        opened_at = {connection: opened_at.get(connection, now) for connection in server.connections}
        too_many = len(opened_at) - MOST_CONNECTIONS
        for position, (connection, moment) in enumerate(opened_at.items()):
            if position < too_many or now - moment > LONGEST:
                connection.force_close()
        await anyio.sleep(SWEEP_EVERY)
