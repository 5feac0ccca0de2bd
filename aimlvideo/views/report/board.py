"""The page of a run that is going on, on this machine: it updates itself as jobs change, over one stream of events."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from hmac import compare_digest
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import anyio
from aiohttp import web

from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.progress import Record
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.core.links import LOOPBACK
from aimlvideo.errors import SettingsError
from aimlvideo.pipeline.entry import Entry
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.journal.base import JournalReader
from aimlvideo.shell.journal.sqlite_reader import read_journal
from aimlvideo.shell.task_groups import background_tasks
from aimlvideo.views.report.job_json import job_cards, job_json
from aimlvideo.views.report.report_file import page_text

REMEMBERED = 20_000
"""Changed jobs that are remembered; who was away for longer has to read the page again."""


class ChangeLog:
    """The jobs that changed, each once, in the order of their last change. Its cost per change is constant."""

    def __init__(self) -> None:
        self.number = 0
        """The number of the last change."""
        self.forgotten = 0
        """The number after which it can tell what changed."""
        self._last: dict[str, int] = {}

    def changed(self, job_id: str) -> None:
        """Note that a job has changed."""
        self.number += 1
        # Taken out and put in again: a dict remembers its order, and the newest is the last.
        self._last.pop(job_id, None)
        self._last[job_id] = self.number
        if len(self._last) > REMEMBERED:
            oldest = next(iter(self._last))
            self.forgotten = self._last.pop(oldest)

    def __len__(self) -> int:
        """How many changed jobs are remembered."""
        return len(self._last)

    def forget(self) -> None:
        """Have every reader read the page again: something changed, and nobody knows what."""
        self.number += 1
        self.forgotten = self.number
        self._last.clear()

    def since(self, number: int) -> list[str] | None:
        """Return the jobs that changed after this number, oldest first; None where too much came in between."""
        if number < self.forgotten or number > self.number:
            return None
        # From the end, and only as far as needed: what a reader costs is what he missed, not how long the run is.
        newest_first: Iterator[tuple[str, int]] = reversed(self._last.items())
        changed = [job_id for job_id, _ in takewhile(lambda one: one[1] > number, newest_first)]
        return changed[::-1]


PUSH_SECONDS = 0.3
"""Seconds between two events at least."""
JOBS_PER_EVENT = 400
"""Jobs in one event at most."""
MAX_EVENTS_BEHIND = 64
"""Events that a slow reader may be behind; then its stream is cut, and it comes back by itself."""
CLIPS = (".mp4", ".webm", ".mov")
GUARDED = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
}  # fmt: skip


class _JobFinder(Protocol):
    """Where the jobs are that have changed."""

    def find(self, job_id: str) -> Record | None:
        """Return one job with its progress, or None."""


class Board:
    """Serves one run's page, its events and its clips, and no other file.

    `status_line` gives the line under the totals.
    """

    def __init__(
        self,
        folder: Path,
        journal: _JobFinder,
        status_line: Callable[[], str],
        *,
        page: Callable[[int], str] | None = None,
        changes: ChangeLog | None = None,
    ) -> None:
        self.change_log = ChangeLog() if changes is None else changes
        self._page_at = partial(_snapshot, folder) if page is None else page
        self._folder = folder
        self._journal = journal
        self._status_line = status_line
        self._token = ""
        self._readers: set[Any] = set()
        self._sent_up_to = self._noted = 0
        self._line = ""
        self._is_over = False

    @classmethod
    @asynccontextmanager
    async def serve(
        cls, run: Run, status_line: Callable[[], str], *, host: str = "127.0.0.1", port: int = 0
    ) -> AsyncIterator[str]:
        """Serve the board of a run until the block is left; give its URL. Raises SettingsError where it cannot."""
        assert run.spec.folder is not None
        with read_journal(run.spec.folder / JOURNAL) as journal:
            board = cls(run.spec.folder, journal, status_line)
            async with board.served(host, port) as url:
                run.watchers.append(board.on_step)
                yield url

    @asynccontextmanager
    async def served(self, host: str, port: int, *also: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[str]:
        """Serve the board, and keep it up to date, until the block is left; give its URL. Raises SettingsError.

        Beyond this machine it stands behind a token of its own, which is in the URL.
        """
        self._token = "" if host in LOOPBACK else secrets.token_urlsafe(18)
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await _start(runner, host, port)
            async with background_tasks(self.run, *also):
                yield f"http://{host}:{runner.addresses[0][1]}/" + (f"{self._token}/" if self._token else "")
        finally:
            self.end()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()

    def application(self) -> web.Application:
        """Return the web application."""
        application = web.Application(middlewares=[self._guard])
        root = "/{token}" if self._token else ""
        application.router.add_get(f"{root}/", self._page)
        application.router.add_get(f"{root}/events", self._events)
        application.router.add_get(f"{root}/clips/{{name}}", self._clip)
        return application

    def on_step(self, entry: Entry) -> None:
        """Take notice of a step of a job."""
        self.change_log.changed(entry.job.id)

    async def run(self) -> None:
        """Tell the readers what has changed, for as long as this is not cancelled."""
        while True:
            await anyio.sleep(PUSH_SECONDS)
            self.push()

    def push(self) -> None:
        """Send the readers what has changed since the last time: one text for all of them."""
        # A step is noted before another connection can read it: what is new this time is read again the next.
        since, self._sent_up_to = self._sent_up_to, max(self._noted, self.change_log.forgotten)
        self._noted = self.change_log.number
        if not self._readers:
            return
        line, before = self._status_line(), self._line
        self._line = line
        self._send(*self._changes(since), *([_event("outlook", {"line": line})] if line != before else ()))

    def end(self) -> None:
        """Tell the readers the last news, and that there will be no more."""
        self.push()
        self._is_over = True
        self._send(_event("over", {}))
        self.disconnect()

    def disconnect(self) -> None:
        """Close the streams of all readers; who was not told that it is over comes back, and catches up."""
        for reader in list(self._readers):
            reader.close()

    def _send(self, *events: bytes) -> None:
        for reader in list(self._readers):
            try:
                for event in events:
                    reader.send_nowait(event)
            except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
                # A browser tab in the background reads nothing: it is cut off, because waiting for it would hold up the
                # run, and keeping all for it would fill the memory. It reconnects by itself, with the number of the
                # last event it saw.
                reader.close()
                self._readers.discard(reader)

    def _changes(self, since: int) -> Iterator[bytes]:
        """Give the events that bring a reader from one number to the present."""
        number, changed = self._sent_up_to, self.change_log.since(since)
        if changed is None:
            yield _event("reload", {})
            return
        for start in range(0, len(changed), JOBS_PER_EVENT):
            records = (self._journal.find(job_id) for job_id in changed[start : start + JOBS_PER_EVENT])
            last = start + JOBS_PER_EVENT >= len(changed)
            # Only the last part has a number: a reader that is cut off in the middle asks for all of it again.
            yield _event("jobs", [job_json(*record) for record in records if record], number if last else None)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Let in who has the token; without one, only who asks for this machine by its own name."""
        if self._token:
            # Compared in constant time; without a token the host's name must be this machine's, or a page of the web
            # could read the board through the browser (DNS rebinding).
            is_allowed = compare_digest(request.match_info.get("token", "").encode(), self._token.encode())
        else:
            names = (request.host, request.host.rpartition(":")[0])
            is_allowed = any(name.strip("[]") in LOOPBACK for name in names)
        if not is_allowed:
            raise web.HTTPNotFound
        answer: web.StreamResponse = await handler(request)
        if not answer.prepared:
            answer.headers.update(GUARDED)
        return answer

    async def _page(self, _: web.Request) -> web.Response:
        number = self._sent_up_to
        text = await anyio.to_thread.run_sync(self._page_at, number)
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
        with self._subscription(_number(request)) as news:
            async for event in news:
                try:
                    await answer.write(event)
                except ConnectionError:
                    break
        return answer

    @contextmanager
    def _subscription(self, since: int) -> Iterator[Any]:
        """Give the events of one reader: first what it has missed, then what comes."""
        # Collected and subscribed without an await between them, so that no change falls into the gap.
        missed = [*self._changes(since), _event("outlook", {"line": self._status_line()})]
        if self._is_over:
            missed.append(_event("over", {}))
        outlet, news = anyio.create_memory_object_stream[bytes](len(missed) + MAX_EVENTS_BEHIND)
        for event in missed:
            outlet.send_nowait(event)
        self._readers.add(outlet)
        if self._is_over:
            # Who comes just after the end would otherwise wait for news that never come.
            outlet.close()
        try:
            yield news
        finally:
            self._readers.discard(outlet)
            outlet.close()
            news.close()


async def _start(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SettingsError(f"the board cannot be served on {host}:{port}: {error.strerror}") from error


def _snapshot(folder: Path, number: int) -> str:
    """Return the page of a folder as of now. Raises JournalError where there is no run."""
    with read_journal(folder / JOURNAL) as journal:
        return live_page(folder, number, journal)


def live_page(folder: Path, number: int, journal: JournalReader) -> str:
    """Return the page of a journal's jobs, which updates itself from the change of this number on."""
    # Jobs that were made by combining lists are to be compared.
    run = {"matrix": journal.fact(MATRIX) is not None, "made": 0, "clips": "clips/", "live": True, "seq": number}
    return "".join(page_text(folder.resolve().name, run, job_cards(journal), {}))


def _event(name: str, content: Any, number: int | None = None) -> bytes:
    numbered = "" if number is None else f"id: {number}\n"
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f"{numbered}event: {name}\ndata: {text}\n\n".encode(errors="replace")


def _number(request: web.Request) -> int:
    """Return the number of the last change that a reader has seen."""
    text = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
    return int(text[:19]) if text.isdecimal() else 0
