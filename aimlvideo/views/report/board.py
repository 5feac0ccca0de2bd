"""The page of a run that is going on, on this machine: it updates itself as jobs change, over one stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.loopback import LOOPBACK
from aimlvideo.errors import SettingsError
from aimlvideo.pipeline.run import Entry, Run
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.journal.sqlite import read_journal
from aimlvideo.views.report.cards import job_json
from aimlvideo.views.report.change_log import ChangeLog
from aimlvideo.views.report.html import page
from aimlvideo.views.report.report_file import cards_of, is_matrix

PUSH_SECONDS = 0.3
"""Seconds between two events at least."""
PARALLEL_CLIENTS = 400
"""Jobs in one event at most."""
BEHIND = 64
"""Events that a slow reader may be behind; then its stream is cut, and it comes back by itself."""
CLIPS = (".mp4", ".webm", ".mov")
GUARDED = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
}  # fmt: skip


class Board:
    """Serves one run's page, its events and its clips, and no other file. `said` gives the line under the totals."""

    def __init__(self, folder: Path, journal: JournalReader, said: Callable[[], str], token: str = "") -> None:
        self.news = ChangeLog()
        self._folder = folder
        self._journal = journal
        self._said = said
        self._token = token
        self._readers: set[Any] = set()
        self._told = 0
        self._line = ""

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application(middlewares=[self._guard])
        root = "/{token}" if self._token else ""
        application.router.add_get(f"{root}/", self._page)
        application.router.add_get(f"{root}/events", self._events)
        application.router.add_get(f"{root}/clips/{{name}}", self._clip)
        return application

    def noted(self, entry: Entry) -> None:
        """Take notice of a step of a job."""
        self.news.changed(entry.job.id)

    async def run(self) -> None:
        """Tell the readers what has changed, for as long as this is not cancelled."""
        while True:
            await anyio.sleep(PUSH_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Tell the readers what has changed since they were last told: one text for all of them."""
        since, self._told = self._told, self.news.number
        if not self._readers:
            return
        line, before = self._said(), self._line
        self._line = line
        self._send(*self._changes(since), *([_event("outlook", {"line": line})] if line != before else ()))

    def end(self) -> None:
        """Tell the readers the last news, and that there will be no more."""
        self.tell()
        self._send(_event("over", {}))
        self.cut()

    def cut(self) -> None:
        """Close the streams of all readers; who was not told that it is over comes back, and catches up."""
        for reader in list(self._readers):
            reader.close()

    def _send(self, *events: bytes) -> None:
        for reader in list(self._readers):
            try:
                for event in events:
                    reader.send_nowait(event)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                reader.close()
                self._readers.discard(reader)

    def _changes(self, since: int) -> Iterator[bytes]:
        """Give the events that bring a reader from one number to the present."""
        number, changed = self.news.number, self.news.since(since)
        if changed is None:
            yield _event("reload", {})
            return
        for start in range(0, len(changed), PARALLEL_CLIENTS):
            found = (self._journal.find(job_id) for job_id in changed[start : start + PARALLEL_CLIENTS])
            last = start + PARALLEL_CLIENTS >= len(changed)
            yield _event("jobs", [job_json(*record) for record in found if record], number if last else None)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Let in who has the token; without one, only who asks for this machine by its own name."""
        if self._token:
            welcome = compare_digest(request.match_info.get("token", "").encode(), self._token.encode())
        else:
            names = (request.host, request.host.rpartition(":")[0])
            welcome = any(name.strip("[]") in LOOPBACK for name in names)
        if not welcome:
            raise web.HTTPNotFound
        answer: web.StreamResponse = await handler(request)
        if not answer.prepared:
            answer.headers.update(GUARDED)
        return answer

    async def _page(self, _: web.Request) -> web.Response:
        number = self.news.number
        text = await anyio.to_thread.run_sync(_snapshot, self._folder, number)
        return web.Response(text=text, content_type="text/html")

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        path = self._folder / Path(request.match_info["name"]).name
        if path.suffix not in CLIPS or path.resolve().parent != self._folder.resolve() or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", **GUARDED})
        await answer.prepare(request)
        await answer.write(b"retry: 1000\n\n")
        with self._reading(_number(request)) as news:
            async for event in news:
                try:
                    await answer.write(event)
                except ConnectionError:
                    break
        return answer

    @contextmanager
    def _reading(self, since: int) -> Iterator[Any]:
        """Give the events of one reader: first what it has missed, then what comes."""
        missed = [*self._changes(since), _event("outlook", {"line": self._said()})]
        give, news = anyio.create_memory_object_stream[bytes](max(BEHIND, 2 * len(missed)))
        for event in missed:
            give.send_nowait(event)
        self._readers.add(give)
        try:
            yield news
        finally:
            self._readers.discard(give)
            give.close()
            news.close()


@asynccontextmanager
async def open_board(
    run: Run, said: Callable[[], str], *, host: str = "127.0.0.1", port: int = 0, token: str = ""
) -> AsyncIterator[str]:
    """Serve the board of a run until the block is left; give its URL. Raises SettingsError where it cannot."""
    assert run.spec.folder is not None
    with read_journal(run.spec.folder / JOURNAL) as journal:
        board = Board(run.spec.folder, journal, said, token)
        runner = web.AppRunner(board.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        scope = anyio.CancelScope()
        try:
            await _start(runner, host, port)
            run.watchers.append(board.noted)
            run.tasks.start_soon(_until, scope, board)
            yield f"http://{host}:{runner.addresses[0][1]}/" + (f"{token}/" if token else "")
        finally:
            scope.cancel()
            board.end()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


async def _start(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SettingsError(f"the board cannot be served on {host}:{port}: {error.strerror}") from error


async def _until(scope: anyio.CancelScope, board: Board) -> None:
    with scope:
        await board.run()


def _snapshot(folder: Path, number: int) -> str:
    """Return the page as of now, and the number of the change up to which it is complete."""
    run = {
        "jobs": cards_of(folder),
        "matrix": is_matrix(folder),
        "made": 0,
        "clips": "clips/",
        "live": True,
        "seq": number,
    }
    return page(folder.resolve().name, run, {})


def _event(name: str, said: Any, number: int | None = None) -> bytes:
    numbered = "" if number is None else f"id: {number}\n"
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return f"{numbered}event: {name}\ndata: {text}\n\n".encode(errors="replace")


def _number(request: web.Request) -> int:
    """Return the number of the last change that a reader has seen."""
    said = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
    return int(said) if said.isdecimal() else 0
