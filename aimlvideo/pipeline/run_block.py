"""What `client.run(...)` returns: a block that `async with` opens, and that says so to whoever tries another way."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, ParamSpec

from aimlvideo.errors import UsageError
from aimlvideo.pipeline.run import Run

P = ParamSpec("P")
HOW = "`async with client.run(jobs) as results:`, and in that block `async for result in results:`"


class _RunBlock(AbstractAsyncContextManager[Run]):
    """A run that has not begun: nothing is read or sent before `async with` opens it and gives its results."""

    def __init__(self, block: AbstractAsyncContextManager[Run]) -> None:
        self._block, self._is_used = block, False

    async def __aenter__(self) -> Run:
        if self._is_used:
            raise UsageError(f"this run was used before, and a run is used once: call it again, with {HOW}")
        self._is_used = True
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"<a run that {'was opened' if self._is_used else 'has not begun'}: {HOW}>"

    def __del__(self) -> None:
        if not self._is_used:
            warnings.warn(f"a run was never opened, so nothing was sent: {HOW}", RuntimeWarning, stacklevel=2)

    # Hidden from type checkers, which know without it that none of this works.
    if not TYPE_CHECKING:

        def __await__(self) -> NoReturn:
            self._refuse("awaited")

        def __aiter__(self) -> NoReturn:
            self._refuse("read by `async for`")

        def __iter__(self) -> NoReturn:
            self._refuse("read by `for`")

        def __enter__(self) -> NoReturn:
            self._refuse("opened by `with`")

        def __exit__(self, *_: object) -> None:
            """Be one half of a block: without it Python asks for this method instead of calling `__enter__`."""

    def _refuse(self, attempt: str) -> NoReturn:
        self._is_used = True
        raise UsageError(f"a run cannot be {attempt}, and nothing was sent: {HOW}")


def run_block(work: Callable[P, AsyncIterator[Run]]) -> Callable[P, _RunBlock]:
    """Make a run's block of an async generator that yields the run once, as `asynccontextmanager` does."""
    opened = asynccontextmanager(work)

    @wraps(work)
    def block(*args: P.args, **params: P.kwargs) -> _RunBlock:
        return _RunBlock(opened(*args, **params))

    return block
