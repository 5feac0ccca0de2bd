"""What `client.run(...)` returns: a block that `async with` opens, and that says so to whoever tries another way."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, ParamSpec

import anyio

from aimlvideo.errors import UsageError
from aimlvideo.pipeline.run import Run
from aimlvideo.shell.task_groups import background_tasks

P = ParamSpec("P")
HOW = "`async with client.run(jobs) as results:`, and in that block `async for result in results:`"


class _RunBlock(AbstractAsyncContextManager[Run]):
    """A run that has not begun: nothing is read or sent before `async with` opens it and gives its results.

    The run lives in a task of its own. An application's generator that yields inside the block is closed by whichever
    task drops it last, and scopes of tasks that are left by another task than entered them cancel the wrong one.
    """

    def __init__(self, block: AbstractAsyncContextManager[Run]) -> None:
        self._block, self._is_used, self._is_left = block, False, False

    async def __aenter__(self) -> Run:
        if self._is_used:
            raise UsageError(f"this run was used before, and a run is used once: call it again, with {HOW}")
        self._is_used = True
        self._opened: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._task = background_tasks(self._live)
        await self._task.__aenter__()
        try:
            return await self._opened
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._is_left = True
        # A cancelled scope around the block would wake this wait again and again: it ends soon by itself.
        with anyio.CancelScope(shield=True):
            is_handled = await self._task.__aexit__(kind, error, traceback)
        return is_handled  # noqa: RET504 - a scope may swallow an error, so that mypy misses a return in it

    async def _live(self) -> None:
        """Hold the run open until its block is left, or something in it breaks."""
        run: Run | None = None
        try:
            async with self._block as run:
                if not self._opened.cancelled():
                    self._opened.set_result(run)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if not self._is_left:
                        run.broken = asyncio.get_running_loop().create_future()
                        raise
        except BaseException as error:
            if run is None and not self._opened.done():
                self._opened.set_exception(error)
                return
            if run is not None and run.broken is not None:
                run.broken.set_exception(error)
                run.broken.exception()  # it is raised below too: nobody need read it here
            raise

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
