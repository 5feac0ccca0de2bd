"""Small pieces of work for threads: what comes while they are busy goes along with the next hop to one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

HOPS = 2
"""Threads that work at a time: enough for a thousand synced files a second."""


class _Piece(Generic[T]):
    """One piece of work and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T
        self._error: Exception | None = None
        self.turn: asyncio.Future[_Hop | None] = asyncio.get_running_loop().create_future()
        """The hop that whoever waits for this piece is to begin; None: it is done."""

    def do(self) -> None:
        """Work, in a thread."""
        try:
            self._result = self._work()
        except Exception as error:
            self._error = error

    def result(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class _Hop:
    """Pieces of work that go to a thread together."""

    def __init__(self, pieces: Sequence[_Piece[object]]) -> None:
        self.pieces = pieces
        self._begun = threading.Lock()

    def begin(self) -> bool:
        """Tell whether this hop is the caller's to begin: the thread's, or of the one who gives it up before that."""
        return self._begun.acquire(blocking=False)


class SharedHops:
    """Does small pieces of work in threads. To wake a thread, and to be woken by it, costs more than a small clip."""

    def __init__(self, hops: int = HOPS) -> None:
        self._free = hops
        self._waiting: list[_Piece[object]] = []

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns. As in any thread, no cancellation cuts it off."""
        piece = _Piece(work)
        self._waiting.append(piece)  # type: ignore[arg-type]
        if self._free:
            self._free -= 1
            self._begin_next()
        with anyio.CancelScope(shield=True):
            try:
                if hop := await piece.turn:
                    await anyio.to_thread.run_sync(self._do, hop, asyncio.get_running_loop())
            except BaseException:
                # The task was ended from outside of all scopes. Others may have been about to go with its hop.
                if not piece.turn.cancelled() and (hop := piece.turn.result()) and hop.begin():
                    self._waiting[:0] = hop.pieces
                    self._begin_next()
                raise
        return piece.result()

    def _do(self, hop: _Hop, loop: asyncio.AbstractEventLoop) -> None:
        """Do all pieces, and wake who waits for them: not by the one who began the hop, which may be gone."""
        if hop.begin():
            for piece in hop.pieces:
                piece.do()
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._ended, hop)

    def _ended(self, hop: _Hop) -> None:
        for piece in hop.pieces:
            if not piece.turn.done():
                piece.turn.set_result(None)
        self._begin_next()

    def _begin_next(self) -> None:
        """Have one of those that wait take all of them to a thread."""
        # Done already: it was cancelled while it waited.
        pieces, self._waiting = [piece for piece in self._waiting if not piece.turn.done()], []
        if pieces:
            pieces[0].turn.set_result(_Hop(pieces))
        else:
            self._free += 1
