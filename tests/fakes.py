"""A service that is not there: it answers in virtual time, by a clock of its own, and does what a test says."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import LinkDead, ServiceError
from aimlvideo.pipeline import download
from aimlvideo.shell.files.downloads import Clip

SERVICE_EPOCH = 1.8e9
"""What the service's clock says when the event loop's is at 0: far from this machine's, as it may be."""
PRICE = 0.25
ASKING_KEY = ContextVar("ASKING_KEY", default="key-1")
"""The key that came with the request that is being answered."""
MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png"}
GATEWAY_JOB = {"model": "kling-v1-6", "prompt": "waves"}

Twist = Callable[[], Answer | ServiceError | None]


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    """Return an answer; `retry_after="3"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body if body is not None else {}).encode())


@lru_cache(maxsize=1024)
def http_date(second: int) -> str:
    """Return a moment as headers tell it: written once, as many answers come within a second."""
    return formatdate(second, usegmt=True)


@dataclass
class LoggedRequest:
    """A request as the service keeps it. Moments are on the event loop's clock."""

    key: str
    request_id: str
    generation_id: str
    model: str
    accepted_at: float
    listed_at: float
    price: float = PRICE
    failed: bool = False


@dataclass
class FakeService:
    """Accepts generations that take `seconds`; `posts` and `checks` are twists for the next requests, in order.

    A twist is an answer or an error for that request alone; `lost` holds twists for answers to accepted submissions.
    The log lists a request to the key that sent it, `listing_delay` seconds after its generation has ended, in pages of
    at most `page_rows`; `strangers` are rows of other programs under the same key. `says_date=False` leaves the `Date`
    out.
    """

    seconds: float = 20.0
    latency: float = 0.0
    price: float = PRICE
    clock: Callable[[], float] = field(default=anyio.current_time)
    epoch: float = SERVICE_EPOCH
    says_date: bool = True
    page_rows: int = 100
    listing_delay: float = 0.0
    strangers: int = 0
    balance: float = inf
    posts: deque[Answer | ServiceError | None] = field(default_factory=deque)
    lost: deque[ServiceError | Answer | None] = field(default_factory=deque)
    checks: deque[Answer | ServiceError | None] = field(default_factory=deque)
    broken: dict[str, Any] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    by_request: Counter[str] = field(default_factory=Counter)
    posted_at: list[float] = field(default_factory=list)
    polled_at: list[tuple[float, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    log: list[LoggedRequest] = field(default_factory=list)
    log_reads: list[float] = field(default_factory=list)
    peak: int = 0
    _running: list[float] = field(default_factory=list)
    _rows: dict[tuple[str, str], LoggedRequest] = field(default_factory=dict)

    async def send(self, request: Request) -> Answer:
        """Answer one request; the key that came with it is `ASKING_KEY`."""
        if self.latency:
            await anyio.sleep(self.latency)
        else:
            await anyio.lowlevel.checkpoint()
        given = self.answer(request)
        date = {"date": http_date(int(self.now()))} if self.says_date else {}
        return Answer(given.status, {**date, **given.headers}, given.body)

    def now(self) -> float:
        """Return the service's time, in seconds since 1970."""
        return self.epoch + self.clock()

    def answer(self, request: Request) -> Answer:
        """Return what the service says."""
        if request.method == "POST":
            return self._post(request)
        if request.path == "/v2/logs":
            return self._log_page(request)
        if request.path == "/v1/models":
            units = [{"name": "video", "measure": "video", "price": self.price, "per": 1}]
            pricing = {"kind": "fixed", "units": units, "price": self.price, "per": "generation"}
            return answer(200, {"data": [{"id": MODEL, "aliases": [], "pricing": pricing}]})
        if request.path == "/v2/billing" and self.balance < inf:
            return answer(200, {"current_balance": self.balance - self.charged(), "currency": "USD"})
        query = dict(request.query)
        if "generation_id" in query:
            return self._check(query["generation_id"])
        return answer(404, {"message": "no such page"})

    def seconds_of(self, generation_id: str) -> float:
        """Return how long a generation takes."""
        return self.seconds

    def outstanding(self) -> int:
        """Return how many generations are under way now."""
        now = self.clock()
        self._running = [since for since in self._running if now - since < self.seconds]
        return len(self._running)

    def charged(self) -> float:
        """Return what all generations cost that did not fail, in USD."""
        return sum(row.price for row in self.log if not row.failed)

    def _post(self, request: Request) -> Answer:
        self.posted_at.append(self.clock())
        self.bodies.append(request.body)
        if self.posts and (twist := self.posts.popleft()) is not None:
            return _given(twist)
        name = f"gen-{len(self.accepted)}"
        self.accepted[name] = self.clock()
        self._running.append(self.accepted[name])
        self.by_request[request.headers["X-Client-Request-Id"]] += 1
        self.note(name, request.headers["X-Client-Request-Id"], (request.body or {}).get("model", ""))
        self.peak = max(self.peak, self.outstanding())
        if self.lost and (twist := self.lost.popleft()) is not None:
            return _given(twist)
        return answer(201, {"id": name, "status": "queued"})

    def note(self, name: str, request_id: str, model: str = MODEL) -> None:
        """Write an accepted generation into the log, where it is listed once it has ended."""
        at = self.accepted[name]
        listed_at = at + self.seconds_of(name) + self.listing_delay
        row = LoggedRequest(ASKING_KEY.get(), request_id, name, model, at, listed_at, self.price)
        self.log.append(row)
        self._rows[row.key, name] = row

    def _check(self, name: str) -> Answer:
        self.polled_at.append((self.clock(), name))
        if self.checks and (twist := self.checks.popleft()) is not None:
            return _given(twist)
        mine = self._rows.get((ASKING_KEY.get(), name))
        if name not in self.accepted or mine is None:
            return answer(404, {"message": "no such generation"})
        # What was said to have failed does not render again, also where another command's virtual time begins at 0.
        has_failed = mine.failed and name in self.broken
        if self.clock() - self.accepted[name] < self.seconds_of(name) and not has_failed:
            return answer(200, {"id": name, "status": "generating"})
        if name in self.broken:
            mine.failed = True
            return answer(200, {"id": name, "status": "error", "error": self.broken[name]})
        video = {"url": f"https://files.example.com/{name}.mp4?sig=a%2Bb"}
        usage = {"usage": {"credits_used": int(mine.price * 2_000_000)}}
        return answer(200, {"id": name, "status": "completed", "video": video, "meta": usage})

    def _log_page(self, request: Request) -> Answer:
        """List a page of the asking key's requests whose generations have ended, newest first, within the window."""
        self.log_reads.append(anyio.current_time())
        query = dict(request.query)
        since, until = (datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
        rows = [
            self._row(row, row.accepted_at)
            for row in reversed(self.log)
            if row.key == ASKING_KEY.get()
            if row.listed_at <= self.clock()
            if since <= self.epoch + row.accepted_at <= until
        ]
        stranger = {"client_request_id": None, "model": "chat", "status": "succeeded", "cost": {"usd": 0.01}}
        others = [{**stranger, "inference_id": f"chat-{number}"} for number in range(self.strangers)]
        created = {"created": self._iso(self.now())}
        listed = [{**created, **row} for row in [*others, *rows]]
        offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 50)), self.page_rows)
        pagination = {
            "limit": limit, "offset": offset, "total": len(listed), "has_more": offset + limit < len(listed),
        }  # fmt: skip
        return answer(200, {"data": listed[offset : offset + limit], "pagination": pagination})

    def _row(self, row: LoggedRequest, at: float) -> dict[str, Any]:
        failed = row.failed or row.generation_id in self.broken
        return {
            "client_request_id": row.request_id,
            "inference_id": row.generation_id,
            "model": row.model,
            "status": "failed" if failed else "succeeded",
            "cost": {"usd": 0.0 if failed else row.price},
            "created": self._iso(self.epoch + at),
        }

    @staticmethod
    def _iso(moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).isoformat()


def _given(twist: Answer | ServiceError) -> Answer:
    if isinstance(twist, ServiceError):
        raise twist
    return twist


class FakeDownload:
    """A clip that is brought at once; its rename is its only effect."""

    rename: Callable[[Path, Path], object] = staticmethod(Path.replace)

    def __init__(self, session: Any, link: str, path: Path, **options: Any) -> None:
        self.link, self.path, self.overwrite = link, path, options.get("overwrite", True)

    async def fetch(self) -> Clip:
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(self.link)
        # Only now, as another one may have been brought under the name meanwhile; the same clip keeps it.
        is_free = self.overwrite or not self.path.exists() or self.path.read_text() == self.link
        path = self.path if is_free else next(path for path in self._numbered() if not path.exists())
        type(self).rename(part, path)
        return Clip(path, len(self.link), "00" * 32)

    def _numbered(self) -> Iterator[Path]:
        return (self.path.with_stem(f"{self.path.stem}-{number}") for number in count(2))

    def discard(self) -> None:
        """Leave everything as it is."""


class DeadDownload(FakeDownload):
    """A download whose link has died."""

    async def fetch(self) -> Clip:
        raise LinkDead("it is gone")


async def at_once(work: Callable[..., Any], *args: Any, **_: Any) -> Any:
    """Stand in for a thread: virtual time would pass while one is waited for."""
    return work(*args)


def quick_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every clip be there at once, and every sync too."""
    monkeypatch.setattr(anyio.to_thread, "run_sync", at_once)
    monkeypatch.setattr(download, "Download", FakeDownload)


@dataclass(frozen=True)
class FakeTransport:
    """Carries requests to a fake service, with a key."""

    service: FakeService
    key: str

    async def send(self, request: Request) -> Answer:
        """Return the service's answer."""
        token = ASKING_KEY.set(self.key)
        try:
            return await self.service.send(request)
        finally:
            ASKING_KEY.reset(token)


class OneCheckASecond(FakeService):
    """Refuses every status check that comes sooner than a second after the last one that it answered."""

    taken_at = -9.0

    def _check(self, name: str) -> Answer:
        if self.taken_at > self.clock() - 1:
            return answer(429, {"message": "Too Many Requests"})
        self.taken_at = self.clock()
        return super()._check(name)


class FakeClient(VideoClient):
    """A client whose requests go to a fake service."""

    def __init__(
        self,
        fake: FakeService,
        api_key: str | None = "key-1",
        base_url: str | None = "http://127.0.0.1:1",
        **settings: Any,
    ) -> None:
        usual = {"poll": "every:15", "rate": 1000.0, "transport": FakeTransport(fake, api_key or "key-1")}
        super().__init__(api_key, base_url, **usual | settings)


class FakeGateway(FakeService):
    """The same behind a Kling-style gateway, which finds tasks by the id that the caller chose where `finds_ids`."""

    finds_ids: bool = True

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        await anyio.sleep(self.latency)
        if request.method == "POST":
            twisted = self._post(request)
            if twisted.status != 201:
                return twisted
            return self._task(json.loads(twisted.body)["id"])
        name = request.path.rsplit("/", 1)[-1]
        if self.finds_ids:
            name = next((row.generation_id for row in self.log if row.request_id == name), name)
        checked = self._check(name)
        if checked.status == 404:
            return business_error(1203, "The requested resource does not exist", 404)
        return self._task(name) if b'"id"' in checked.body else checked

    def _task(self, name: str) -> Answer:
        seconds, age = self.seconds_of(name), self.clock() - self.accepted[name]
        request_id = next(row.request_id for row in self.log if row.generation_id == name)
        task: dict[str, Any] = {"task_id": name, "task_status": "processing" if age < seconds else "succeed"}
        task["task_info"] = {"external_task_id": request_id}
        if age >= seconds and name in self.broken:
            task |= {"task_status": "failed", "task_status_msg": self.broken[name]}
        elif age >= seconds:
            task["task_result"] = {"videos": [{"url": f"https://files.example.com/{name}.mp4"}]}
        return answer(200, {"code": 0, "message": "SUCCEED", "data": task})


class ListingGateway(FakeGateway):
    """Lists the tasks of text2video in pages of two, and knows nothing of motion-control.

    Those that are `in_path` are listed where tasks of models that a path names are, in pages of one.
    """

    in_path: tuple[str, ...] = ()

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method == "POST" and request.path == "/tasks":
            return self._page_by_cursor(int((request.body or {}).get("cursor") or 0))
        page, place = dict(request.query).get("pageNum"), request.path.rpartition("/")[2]
        assert place != "video-extend", "its tasks carry no id of ours: there is nothing to find"
        if page is None or place == "motion-control":
            return answer(404, {"code": 1203, "message": "not found"})
        tasks = [name for name in self.accepted if name not in self.in_path] if place == "text2video" else []
        rows = [self._task(name).json()["data"] for name in tasks[2 * int(page) - 2 : 2 * int(page)]]
        return answer(200, {"code": 0, "data": rows})

    def _page_by_cursor(self, start: int) -> Answer:
        tasks = [newer_task(self._task(name).json()["data"]) for name in self.in_path[start : start + 1]]
        has_more = start + 1 < len(self.in_path)
        return answer(200, {"code": 0, "data": {"result": tasks, "next_cursor": str(start + 1), "has_more": has_more}})


def newer_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task as Kling shows one whose model a path names."""
    clips = task.get("task_result", {}).get("videos", [])
    return {
        "id": task["task_id"],
        "status": {"succeed": "succeeded"}.get(task["task_status"], task["task_status"]),
        "message": task.get("task_status_msg", ""),
        "external_id": task["task_info"]["external_task_id"],
        "outputs": [{"type": "video", **clip} for clip in clips],
        **({"create_time": task["created_at"]} if "created_at" in task else {}),
    }


def in_newer_form(told: Answer) -> Answer:
    """Return an answer about a task as Kling shows one whose model a path names; others as they are."""
    body = told.json()
    if not isinstance(body, dict) or not isinstance(task := body.get("data"), dict) or "task_id" not in task:
        return told
    return answer(told.status, {**body, "data": newer_task(task)}, **told.headers)


async def answer_about_tasks(ask: Callable[[Request], Awaitable[Answer]], request: Request) -> Answer:
    """Return what Kling says of the tasks that a request names together; `ask` asks about one in the older form."""
    ((_, names),) = request.query
    rows = []
    for name in names.split(","):
        told = in_newer_form(await ask(Request("GET", f"/v1/videos/text2video/{name}")))
        body = told.json()
        if told.status != 404 and not (isinstance(body, dict) and "id" in (body.get("data") or {})):
            return told
        rows += [body["data"]] if told.status != 404 else []
    return answer(200, {"code": 0, "message": "SUCCEED", "data": rows})


class FakeKling(FakeGateway):
    """Kling itself, with models that a path names: `asked` are the ids of each status check."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.asked: list[tuple[float, list[str]]] = []

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        if request.path != "/tasks":
            body = request.body or {}
            flat = {**body, **body.get("options", {}), "model": request.path.rpartition("/")[2]}
            return in_newer_form(await super().send(replace(request, body=flat)))
        names = request.query[0][1].split(",")
        self.asked.append((self.clock(), names))
        if len(names) > 20:
            return business_error(1201, "task_ids cannot exceed 20 in total", 400)
        return await answer_about_tasks(super().send, request)


def jobs(count: int, job: Mapping[str, Any] = JOB) -> list[dict[str, Any]]:
    """Return so many jobs: `job0`, `job1`, ..."""
    return [{**job, "id": f"job{number}"} for number in range(count)]


async def run_all(client: VideoClient, many: Any, **options: Any) -> dict[str, Result]:
    """Run jobs to their end; return the results by id."""
    async with client.run(many, **options) as results:
        return {result.job.id: result async for result in results}


def business_error(code: int, message: str, status: int = 200, **headers: str) -> Answer:
    """Return an error of a gateway as it comes: with its code in the body, and often under HTTP 200."""
    return answer(status, {"code": code, "message": message}, **headers)
