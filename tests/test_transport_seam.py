"""An application's own tests: a client whose requests are answered by a function, and no socket anywhere."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import (
    Answer,
    DownloadFailed,
    FunctionTransport,
    InDoubt,
    LinkDead,
    Request,
    SettingsError,
    Unclear,
    UnexpectedError,
    UsageError,
    VideoClient,
)
from tests.cases import for_each

MODEL = "alibaba/wan-2-6-t2v"
LINK = "https://files.example.com/clip.mp4?sig=a%2Bb"
CLIP = b"\0\0\0\x18ftypmp42" + bytes(500)


class Service:
    """Accepts one generation and has it ready at once."""

    def __init__(self, clip: Answer | None = None) -> None:
        self.requests: list[Request] = []
        self.clip = clip or Answer.of(CLIP)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.method == "POST":
            return Answer.of({"id": "gen-1", "status": "queued"}, 201)
        if request.path == LINK:
            return self.clip
        return Answer.of({"id": "gen-1", "status": "completed", "video": {"url": LINK}}, headers={"X-Any": "y"})

    async def send(self, request: Request) -> Answer:
        return self.answer(request)


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


async def test_a_clip_is_made_and_saved_without_a_key_and_without_a_socket(tmp_path: Path) -> None:
    service = Service()
    async with VideoClient(transport=FunctionTransport(service.answer), metadata=False) as client:
        video = await client.generate(MODEL, prompt="waves", output=tmp_path)
    assert video.path is not None
    assert video.path.read_bytes() == CLIP
    assert "Authorization" not in service.requests[0].headers


async def test_any_object_with_the_one_coroutine_is_a_transport(tmp_path: Path) -> None:
    async with VideoClient(transport=Service(), metadata=False) as client:
        video = await client.generate(MODEL, prompt="waves")
    await video.save(tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == CLIP


async def test_a_function_may_be_a_coroutine() -> None:
    service = Service()

    async def answer(request: Request) -> Answer:
        return service.answer(request)

    async with VideoClient(transport=FunctionTransport(answer)) as client:
        assert (await client.generate(MODEL, prompt="waves")).video_url == LINK


async def test_a_transport_that_does_not_answer_for_the_clip_s_link_says_so(tmp_path: Path) -> None:
    async with VideoClient(transport=Service(clip=Answer.of(b"", 404))) as client:
        with pytest.raises(LinkDead, match=r"files\.example\.com is dead"):
            await client.generate(MODEL, prompt="waves", output=tmp_path)


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError(), Unclear("lost")])
async def test_a_failed_status_check_of_somebody_s_transport_fails_nothing(error: Exception) -> None:
    service, errors = Service(), [error]

    def answer(request: Request) -> Answer:
        if request.method == "GET" and errors:
            raise errors.pop()
        return service.answer(request)

    async with VideoClient(transport=FunctionTransport(answer), poll="every:5") as client:
        assert (await client.generate(MODEL, prompt="waves")).video_url == LINK


async def test_a_transport_whose_own_task_is_cancelled_leaves_nobody_waiting_for_ever() -> None:
    service, cancelled = Service(), list[str]()

    async def answer(request: Request) -> Answer:
        place = request.method if request.method == "POST" else "status" if request.query else ""
        if place and place not in cancelled:
            cancelled.append(place)
            helper = asyncio.ensure_future(asyncio.sleep(60))
            helper.cancel()
            await helper
        return service.answer(request)

    async with VideoClient(transport=FunctionTransport(answer), poll="every:5", settle=1.0) as client:
        with anyio.fail_after(3600):
            with pytest.raises(InDoubt, match="clip-"):
                await client.generate(MODEL, prompt="waves")
            assert (await client.wait("gen-1", model=MODEL)).video_url == LINK
    assert cancelled == ["POST", "status"]


async def test_headers_are_found_however_they_are_written() -> None:
    service, seen = Service(), [Answer(429, {"Retry-After": "40", "x-any": "y"}, b"{}")]

    def answer(request: Request) -> Answer:
        return seen.pop() if request.method == "POST" and seen else service.answer(request)

    async with VideoClient(transport=FunctionTransport(answer), poll="every:5") as client:
        result = await client.generate(MODEL, prompt="waves")
    assert result.stage == "ready"
    assert anyio.current_time() >= 40, "the service asked for so much patience"


@for_each("transport", [5, "http://127.0.0.1", object(), lambda request: Answer.of()])
def test_what_is_no_transport_is_refused(transport: Any) -> None:
    with pytest.raises(SettingsError, match=r"transport is of type .*FunctionTransport"):
        VideoClient(transport=transport)


@for_each(
    ("answer", "said"),
    [
        (Answer("201", {}, b"{}"), "status is of type str: expected int"),  # type: ignore[arg-type]
        (Answer(201, {}, "{}"), "body is of type str: expected bytes"),  # type: ignore[arg-type]
        (Answer(201, None, b"{}"), "headers is of type NoneType: expected Mapping"),  # type: ignore[arg-type]
    ],
)
async def test_an_answer_of_other_parts_than_an_answer_has_is_said_before_anything_is_bought(
    answer: Answer, said: str
) -> None:
    asked: list[Request] = []
    async with VideoClient(transport=FunctionTransport(lambda request: asked.append(request) or answer)) as client:
        with pytest.raises(UnexpectedError, match=said):
            await client.generate(MODEL, prompt="x")
    assert not [request for request in asked if request.method == "POST"]


def test_what_is_no_function_answers_nothing() -> None:
    with pytest.raises(UsageError, match="function is 'x': expected what takes a Request and returns an Answer"):
        FunctionTransport("x")  # type: ignore[arg-type]


async def test_what_a_stand_in_teaches_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with VideoClient(transport=Service()) as client:
        await client.generate(MODEL, prompt="waves")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.own_sockets  # time stands still while a thread works
async def test_a_clip_that_the_service_has_cut_is_named_and_fetched_when_it_is_whole(tmp_path: Path) -> None:
    boxes = ((b"ftyp", b"isom"), (b"moov", bytes(40)), (b"mdat", bytes(1000)))
    whole = b"".join((len(content) + 8).to_bytes(4) + kind + content for kind, content in boxes)
    service = Service(Answer.of(whole[:-300]))
    async with VideoClient(transport=FunctionTransport(service.answer), metadata=False) as client:
        with pytest.raises(DownloadFailed, match="its MP4 ends in the middle of a box"):
            await client.generate(MODEL, id="a", prompt="waves", output=tmp_path)
        assert list(tmp_path.glob("*.mp4*")) == []
        service.clip = Answer.of(whole)
        video = await client.generate(MODEL, id="a", prompt="waves", output=tmp_path)
    assert video.path is not None
    assert video.path.read_bytes() == whole
    assert sum(request.method == "POST" for request in service.requests) == 1
