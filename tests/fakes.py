"""A service that is not there: it answers in virtual time, and does what a test tells it."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio

from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.job import Result
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ServiceError
from aimlvideo.shell import clock
from aimlvideo.shell.http.given_transport import FunctionTransport

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png"}
GATEWAY_JOB = {"model": "kling-v1-6", "prompt": "waves"}

Twist = Callable[[], Answer | ServiceError | None]


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    """Return an answer; `retry_after="3"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body if body is not None else {}).encode())


@dataclass
class FakeService:
    """Accepts generations that take `seconds`; `posts` and `checks` are twists for the next requests, in order.

    A twist is an answer or an error for that request alone; `accept_first` puts it behind an acceptance.
    """

    seconds: float = 20.0
    latency: float = 0.0
    posts: deque[Answer | ServiceError | None] = field(default_factory=deque)
    lost: deque[ServiceError | None] = field(default_factory=deque)
    checks: deque[Answer | ServiceError | None] = field(default_factory=deque)
    broken: dict[str, Any] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    by_request: Counter[str] = field(default_factory=Counter)
    posted_at: list[float] = field(default_factory=list)
    polled_at: list[tuple[float, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    log_reads: list[float] = field(default_factory=list)
    peak: int = 0

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        if self.latency:
            await anyio.sleep(self.latency)
        else:
            await anyio.lowlevel.checkpoint()
        if request.method == "POST":
            return self._post(request)
        if request.path == "/v2/logs":
            return self._log_page(request)
        query = dict(request.query)
        if "generation_id" in query:
            return self._check(query["generation_id"])
        return answer(404, {"message": "no such page"})

    def outstanding(self) -> int:
        """Return how many generations are under way now."""
        now = anyio.current_time()
        return sum(now - since < self.seconds for since in self.accepted.values())

    def _post(self, request: Request) -> Answer:
        self.posted_at.append(anyio.current_time())
        self.bodies.append(request.body)
        if self.posts and (twist := self.posts.popleft()) is not None:
            return _given(twist)
        name = f"gen-{len(self.accepted)}"
        self.accepted[name] = anyio.current_time()
        self.by_request[request.headers["X-Client-Request-Id"]] += 1
        self.note(name, request.headers["X-Client-Request-Id"])
        self.peak = max(self.peak, self.outstanding())
        if self.lost and (twist := self.lost.popleft()) is not None:
            raise twist
        return answer(201, {"id": name, "status": "queued"})

    def note(self, name: str, request_id: str) -> None:
        """Write an accepted generation into the log, where it is listed once it has ended."""
        created = datetime.fromtimestamp(clock.wall(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.log.append({"client_request_id": request_id, "inference_id": name, "created": created})

    def _check(self, name: str) -> Answer:
        self.polled_at.append((anyio.current_time(), name))
        if self.checks and (twist := self.checks.popleft()) is not None:
            return _given(twist)
        if name not in self.accepted:
            return answer(404, {"message": "no such generation"})
        if anyio.current_time() - self.accepted[name] < self.seconds:
            return answer(200, {"id": name, "status": "generating"})
        if name in self.broken:
            return answer(200, {"id": name, "status": "error", "error": self.broken[name]})
        video = {"url": f"https://files.example.com/{name}.mp4?sig=a%2Bb"}
        usage = {"usage": {"credits_used": 500_000}}
        return answer(200, {"id": name, "status": "completed", "video": video, "meta": usage})

    def _log_page(self, request: Request) -> Answer:
        """List generations that have ended, newest first, of the span that is asked for."""
        self.log_reads.append(anyio.current_time())
        query, now = dict(request.query), anyio.current_time()
        ended = [row for row in self.log if now - self.accepted[row["inference_id"]] >= self.seconds]
        rows = [
            {**row, "status": "succeeded"} for row in reversed(ended) if query["start"] <= row["created"] < query["end"]
        ]
        offset = int(query["offset"])
        return answer(200, {"data": rows[offset : offset + 100]})


def _given(twist: Answer | ServiceError) -> Answer:
    if isinstance(twist, ServiceError):
        raise twist
    return twist


class FakeClient(VideoClient):
    """A client whose requests go to a fake service."""

    def __init__(self, fake: FakeService, **settings: Any) -> None:
        usual = {"poll": "every:15", "rate": 1000.0, "transport": FunctionTransport(fake.send)}
        super().__init__("key-1", "http://127.0.0.1:1", **usual | settings)


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
            name = next((row["inference_id"] for row in self.log if row["client_request_id"] == name), name)
        checked = self._check(name)
        if checked.status == 404:
            return business_error(1203, "The requested resource does not exist", 404)
        return self._task(name) if b'"id"' in checked.body else checked

    def _task(self, name: str) -> Answer:
        age = anyio.current_time() - self.accepted[name]
        request_id = next(row["client_request_id"] for row in self.log if row["inference_id"] == name)
        task: dict[str, Any] = {"task_id": name, "task_status": "processing" if age < self.seconds else "succeed"}
        task["task_info"] = {"external_task_id": request_id}
        if age >= self.seconds:
            task["task_result"] = {"videos": [{"url": f"https://files.example.com/{name}.mp4"}]}
        return answer(200, {"code": 0, "message": "SUCCEED", "data": task})


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
