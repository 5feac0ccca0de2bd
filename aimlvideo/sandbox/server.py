"""The sandbox as a server on this machine, in the event loop of its user or in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import cache
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from aimlvideo.sandbox.account import account_routes
from aimlvideo.sandbox.aimlapi import aimlapi_routes
from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.callbacks import CallbackSender
from aimlvideo.sandbox.files import file_routes
from aimlvideo.sandbox.film.studio import Studio
from aimlvideo.sandbox.kling import kling_routes
from aimlvideo.sandbox.kling_tasks import task_routes
from aimlvideo.sandbox.middleware import CALLBACK_SENDER, STUDIO, WORLD, desk
from aimlvideo.sandbox.model_pages import model_routes
from aimlvideo.sandbox.responses import as_json
from aimlvideo.sandbox.state import World

HOST = "127.0.0.1"

_LARGEST_BODY = 128 * 1024 * 1024
_ROUTES = (aimlapi_routes, kling_routes, task_routes, account_routes, model_routes, file_routes)


class Sandbox:
    """All services on one port of this machine: `async with Sandbox(Behaviour(seed=1)) as sandbox`.

    What it knows of generations, money and counts outlives the block; its clips do not. The block may be left from
    another task than the one that entered it, as test fixtures do.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, port: int = 0) -> None:
        self._world = World(behaviour or Behaviour())
        self._port = port
        self._open = AsyncExitStack()

    @property
    def url(self) -> str:
        """The base URL of all services, without a slash at the end."""
        return f"http://{HOST}:{self._port}"

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves; may be set while it runs, and holds from the next request on."""
        return self._world.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        """Behave otherwise from now on."""
        self._world.behaviour = behaviour

    def set(self, **settings: Any) -> None:
        """Change some of how it behaves from now on. Raises ValueError for a setting that it has not."""
        self.behaviour = self.behaviour.changed(**settings)

    def stats(self) -> dict[str, Any]:
        """Return what it has seen, as `GET /__sandbox/stats` shows it."""
        return self._world.report()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            studio = Studio()
            opening.callback(studio.close)
            callback_sender = CallbackSender(self._world)
            # asyncio's task group, because anyio's must be left by the task that entered it.
            tasks = await opening.enter_async_context(asyncio.TaskGroup())
            opening.callback(tasks.create_task(callback_sender.run()).cancel)
            application = _application(self._world, studio, callback_sender)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
            opening.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, HOST, self._port).start()
            self._port = runner.addresses[0][1]
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


def _application(world: World, studio: Studio, callback_sender: CallbackSender) -> web.Application:
    application = web.Application(middlewares=[desk], client_max_size=_LARGEST_BODY)
    application[WORLD], application[STUDIO], application[CALLBACK_SENDER] = world, studio, callback_sender
    for resource in _resources():
        application.router.register_resource(resource)
    return application


@cache
def _resources() -> tuple[web.AbstractResource, ...]:
    """Return what is served at which path, made once: it takes three times as long as all else of a start."""
    router = web.UrlDispatcher()
    for routes in _ROUTES:
        router.add_routes(routes())
    router.add_get("/__sandbox/stats", _show_stats)
    return tuple(router.resources())


async def _show_stats(request: web.Request) -> web.Response:
    return as_json(request.app[WORLD].report())


START = 10.0
"""Seconds in which the server has to be up, and in which it ends."""


@contextmanager
def sandbox_in_thread(behaviour: Behaviour | None = None) -> Iterator[Sandbox]:
    """Give a running sandbox; it ends with the block. Raises what kept it from starting."""
    started = threading.Event()
    sandbox = Sandbox(behaviour)
    failures: list[BaseException] = []
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        ends.append((asyncio.get_running_loop(), ended))
        async with sandbox:
            started.set()
            await ended.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="aimlvideo-sandbox", daemon=True)
    thread.start()
    started.wait(START)
    if failures:
        raise failures[0]
    try:
        yield sandbox
    finally:
        for loop, ended in ends:
            loop.call_soon_threadsafe(ended.set)
        thread.join(START)
