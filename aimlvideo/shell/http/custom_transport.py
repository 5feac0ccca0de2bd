"""Transports that an application brings along: its requests, and its downloads, without a socket of ours."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

from yarl import URL

from aimlvideo.core.arguments import check_argument
from aimlvideo.core.wires.http import Answer, Request, Transport
from aimlvideo.errors import SettingsError, Unclear
from aimlvideo.shell.task_groups import is_being_cancelled

if TYPE_CHECKING:
    from aiohttp import ClientSession

ClipSource: TypeAlias = "ClientSession | ClipsOverTransport"
"""Where clips are fetched from: a pool of connections, or a transport that was brought along."""


class FunctionTransport:
    """A transport that answers from a function, for an application's tests: no socket, no key, no bill.

    `function` takes a `Request` and returns an `Answer`, at once or awaitable. What it raises ends the job that it is
    asked for: a `ServiceError` as the service's, anything else as the cause of an `UnexpectedError`. Where a clip is
    saved, its link (`request.path`) is asked for here, too: `Answer.of(content)` of an MP4 file is the answer.
    """

    def __init__(self, function: Callable[[Request], Answer | Awaitable[Answer]]) -> None:
        check_argument("function", function, Callable, "what takes a Request and returns an Answer")  # type: ignore[arg-type]
        self._function = function

    async def send(self, request: Request, /) -> Answer:
        """Return what the function answers."""
        answer = self._function(request)
        return await answer if inspect.isawaitable(answer) else answer


_PARTS = {"status": int, "headers": Mapping, "body": bytes}


class _CheckedTransport(NamedTuple):
    """A transport that somebody else wrote, with its errors and headers as this package needs them."""

    transport: Transport

    async def send(self, request: Request, /) -> Answer:
        """Return the answer. Raises Unclear where the connection failed in a way that the transport does not tell."""
        await asyncio.sleep(0)  # a transport that answers at once would let nothing else of the event loop go on
        try:
            answer = await self.transport.send(request)
        except (OSError, TimeoutError) as error:
            raise Unclear(f"the transport failed: {error or type(error).__name__}") from error
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise Unclear("the transport was cancelled, by itself or by a task that it waits for") from error
        if not isinstance(answer, Answer):
            raise TypeError(f"the transport returned {type(answer).__name__}: expected an aimlvideo.Answer")
        for part, kind in _PARTS.items():
            if not isinstance(value := getattr(answer, part), kind):
                got = f"whose {part} is of type {type(value).__name__}"
                raise TypeError(f"the transport returned an Answer {got}: expected {kind.__name__}")
        # Answers are looked up by lower-case names everywhere: one place makes them so, for whatever a foreign
        # transport returns.
        if any(name != name.lower() for name in answer.headers):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, headers, answer.body)
        return answer


def checked_transport(transport: Transport) -> _CheckedTransport:
    """Return a transport that can be used. Raises SettingsError where it has no coroutine `send`."""
    if not callable(getattr(transport, "send", None)):
        raise SettingsError(
            f"transport is of type {type(transport).__name__}: expected an object with `async def send(request)`, "
            "or FunctionTransport(function)"
        )
    return _CheckedTransport(transport)


class ClipsOverTransport(NamedTuple):
    """Clips from a transport: its answer to a link is the whole clip."""

    transport: Transport

    @asynccontextmanager
    async def get(
        self, url: URL, /, *, headers: Mapping[str, str], auto_decompress: bool = False
    ) -> AsyncIterator[_WholeClip]:
        """Ask for a clip's link; parts of a clip are not asked for."""
        answer = await self.transport.send(Request("GET", str(url), headers=headers))
        yield _WholeClip(answer)


class _WholeClip(NamedTuple):
    """An answer as a pool of connections gives it, before its body was read."""

    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.title(): value for name, value in self.answer.headers.items()}

    @property
    def content_length(self) -> int | None:
        return len(self.answer.body)

    @property
    def content(self) -> Self:
        return self

    async def iter_chunked(self, n: int, /) -> AsyncIterator[bytes]:
        for start in range(0, len(self.answer.body), n):
            yield self.answer.body[start : start + n]
