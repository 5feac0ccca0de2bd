"""A failure that may pass is tried again, as often as is said and no sooner than is asked."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from aimlvideo.errors import Busy, DownloadFailed, LinkDead, ServiceError, Unavailable, Unclear, VideoError
from aimlvideo.shell.http.retrying import _retry_delays, retrying
from tests.cases import for_each


class Flaky:
    """Fails with each error in turn, then answers; notes when it was tried."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tried: list[float] = []

    async def __call__(self) -> str:
        self.tried.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.tried, self.tried[1:], strict=False)]


async def test_what_passes_is_tried_until_it_has_passed() -> None:
    flaky = Flaky(Unclear("a"), Unavailable("b"), Unclear("c"))
    assert await retrying(flaky, on=(ServiceError,)) == "answer"
    assert flaky.gaps == pytest.approx([0.5, 1.0, 2.0], abs=0.4)


async def test_a_service_that_says_how_long_is_obeyed() -> None:
    flaky = Flaky(Busy("a", retry_after=7), DownloadFailed("b", retry_after=30), Busy("c", retry_after=0.1))
    assert await retrying(flaky, on=(VideoError,)) == "answer"
    assert flaky.gaps == pytest.approx([7, 30, 2], abs=0.4)


async def test_the_last_error_comes_out_when_patience_is_over() -> None:
    flaky = Flaky(*(Unclear(f"number {number}") for number in range(10)))
    with pytest.raises(Unclear, match="number 2"):
        await retrying(flaky, on=(ServiceError,), tries=3)
    assert len(flaky.tried) == 3


@for_each("error", [LinkDead("dead"), ZeroDivisionError(), Unclear("of another kind")], ids=repr)
async def test_what_will_not_pass_comes_out_at_once(error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await retrying(flaky, on=(DownloadFailed,), unless=(LinkDead,))
    assert len(flaky.tried) == 1


async def test_each_call_has_patience_of_its_own() -> None:
    flaky = Flaky(*(Unclear("x") for _ in range(4)))
    with pytest.raises(Unclear):
        await retrying(flaky, on=(ServiceError,), tries=3)
    assert await retrying(flaky, on=(ServiceError,), tries=3) == "answer"
    assert flaky.gaps[-1] == pytest.approx(0.5, abs=0.4)


async def test_to_be_stopped_is_no_failure() -> None:
    async def endless() -> None:
        await asyncio.sleep(1000)

    task = asyncio.ensure_future(retrying(endless, on=(VideoError,)))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_waits_double_up_to_the_most() -> None:
    wait = _retry_delays(first=1, most=10)
    assert next(wait) == 0
    error = Unclear("lost")
    assert [wait.send(error) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


@for_each("kind", [Busy, Unavailable, DownloadFailed])
def test_a_wait_is_never_shorter_than_the_service_asked_for(kind: type[Busy | DownloadFailed]) -> None:
    wait = _retry_delays(first=1, most=10)
    next(wait)
    given_waits = [wait.send(kind("busy", retry_after=asked)) for asked in (5, 0, None, 60, 3)]
    assert given_waits == [5, 2, 4, 60, 10]


def test_waits_without_an_error_grow_all_the_same() -> None:
    wait = _retry_delays()
    next(wait)
    assert all(later >= earlier for earlier, later in pairwise(wait.send(None) for _ in range(10)))
