"""A worker as a process of its own, which SIGKILL ends as it ends one of a machine: the service stays with the test."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream

from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.distributed.open_worker import open_worker
from aimlvideo.distributed.shared_account import AccountLimits
from aimlvideo.errors import ServiceError, VideoError
from aimlvideo.pipeline import download
from tests.fakes import FakeDownload, FakeService, FakeTransport

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


@dataclass
class DistantTransport:
    """Carries requests to a fake service in another process, over a Unix socket: one connection each."""

    address: str

    async def send(self, request: Request) -> Answer:
        """Return the service's answer, or raise the error that it has in place of one."""
        async with await anyio.connect_unix(self.address) as stream:
            await stream.send(pickle.dumps(request))
            await stream.send_eof()
            given = pickle.loads(await everything(stream))
        if isinstance(given, Answer):
            return given
        kind, message, request_id = given
        raise kind(message, request_id=request_id)


async def everything(stream: SocketStream) -> bytes:
    """Return all that the other side sends."""
    return b"".join([part async for part in stream])


@asynccontextmanager
async def served(service: FakeService, address: Path) -> AsyncIterator[anyio.Event]:
    """Serve a fake service to other processes; one that dies meanwhile has sent what it has sent.

    Gives the event that is set when somebody has asked for anything.
    """
    transport, was_asked = FakeTransport(service, "key-1"), anyio.Event()

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, EOFError, pickle.UnpicklingError):
                request = pickle.loads(await everything(stream))
                was_asked.set()
                given: Any
                try:
                    given = await transport.send(request)
                except ServiceError as error:
                    given = type(error), str(error), error.request_id
                await stream.send(pickle.dumps(given))

    async with anyio.create_task_group() as tasks, await anyio.create_unix_listener(address) as listener:
        tasks.start_soon(listener.serve, serve)
        yield was_asked
        tasks.cancel_scope.cancel()


async def work(transport: Any, dsn: str, folder: Path, limit: float | None, seconds: float) -> None:
    """Work until the queue is empty, or until this worker is stopped after so many seconds."""
    settings: dict[str, Any] = {
        "service": "aimlapi", "base_url": "http://127.0.0.1:1", "api_key": "key-1", "poll": "every:0.1", "settle": 1.5,
        "transport": transport,
    }  # fmt: skip
    limits = AccountLimits(4, 200.0, 100.0, 1.0, limit)
    with anyio.move_on_after(seconds), suppress(VideoError):
        async with open_worker(dsn, str(folder), settings, limits, until_empty=True) as worker:
            await worker.run()


def _work_here(address: str, dsn: str, folder: Path, limit: float | None) -> None:
    download.Download = FakeDownload  # type: ignore[misc,assignment]
    anyio.run(work, DistantTransport(address), dsn, folder, limit, 60.0)


def started(address: Path, dsn: str, folder: Path, limit: float | None) -> BaseProcess:
    """Start a worker and return its process."""
    process = PROCESSES.Process(target=_work_here, args=(str(address), dsn, folder, limit), daemon=True)
    process.start()
    return process
