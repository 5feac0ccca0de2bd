"""Status checks of several generations in one request, where the service takes them so."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import Unclear
from tests.fakes import FakeClient, FakeKling, answer, business_error, jobs, run_all

JOB = {"model": "kling-3.0", "prompt": "waves"}
KLING: dict[str, Any] = {"service": "kling-official", "api_key": "one-part", "max_outstanding": 100}


async def test_generations_that_are_due_together_are_asked_about_twenty_at_a_time() -> None:
    kling = FakeKling(seconds=50)
    async with FakeClient(kling, **KLING, poll="every:10") as client:
        results = await run_all(client, jobs(45, JOB))
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert max(len(names) for _, names in kling.asked) == 20
    assert len(kling.asked) <= 6 * 3


async def test_one_that_comes_next_is_asked_along_a_second_early_at_most() -> None:
    kling = FakeKling(seconds=50)
    async with FakeClient(kling, **KLING, poll="every:10", rate=2.0) as client:
        results = await run_all(client, jobs(4, JOB))
    assert all(result.ok for result in results.values())
    moments = {name: [at for at, names in kling.asked if name in names] for name in kling.accepted}
    for name, accepted_at in kling.accepted.items():
        assert 9 <= moments[name][0] - accepted_at < 10.1
    assert len(kling.asked) < sum(map(len, moments.values()))


@pytest.mark.parametrize("poison", [business_error(1201, "gen-3 cannot be read", 400), Unclear("gen-3 cannot be read")])
async def test_a_generation_that_makes_the_whole_question_fail_takes_no_other_down(poison: Any) -> None:
    class Poisoned(FakeKling):
        async def send(self, request: Request) -> Answer:
            told = await super().send(request)
            if request.path == "/tasks" and request.query and "gen-3" in request.query[0][1].split(","):
                if isinstance(poison, Unclear):
                    raise poison
                return poison
            return told

    kling = Poisoned(seconds=30)
    async with FakeClient(kling, **KLING, poll="every:10", timeout=400) as client:
        results = await run_all(client, jobs(8, JOB))
    poisoned = next(result for result in results.values() if result.generation_id == "gen-3")
    assert not poisoned.ok
    assert "gen-3 cannot be read" in str(poisoned.error)
    assert all(result.ok for result in results.values() if result is not poisoned)
    ended = [at for at, names in kling.asked if names != ["gen-3"]]
    assert max(ended) < 60


async def test_one_that_the_list_lacks_is_unknown_and_the_others_are_read() -> None:
    kling = FakeKling(seconds=30)
    async with FakeClient(kling, **KLING, poll="every:10", timeout=200) as client, client.run(jobs(3, JOB)) as run:
        await anyio.sleep(5)
        del kling.accepted["gen-1"]
        results = [result async for result in run]
    assert sorted(result.ok for result in results) == [False, True, True]
    lost = next(result for result in results if not result.ok)
    assert (lost.generation_id, lost.stage) == ("gen-1", Stage.RENDERING)
    assert "Kling lists no task of this id" in str(lost.error)


@pytest.mark.parametrize(
    "trouble", [business_error(1302, "too fast", 429), answer(500, {"code": 5000, "message": "x"}), Unclear("reset")]
)
async def test_after_trouble_with_one_question_everybody_is_asked_about_again(trouble: Any) -> None:
    class Troubled(FakeKling):
        async def send(self, request: Request) -> Answer:
            if request.path == "/tasks" and not self.asked:
                self.asked.append((self.clock(), []))
                if isinstance(trouble, Unclear):
                    raise trouble
                return trouble
            return await super().send(request)

    kling = Troubled(seconds=30)
    async with FakeClient(kling, **KLING, poll="every:10") as client:
        results = await run_all(client, jobs(6, JOB))
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert len(kling.asked[-1][1]) > 1, "they are asked about together again"


async def test_how_dear_a_poll_is_goes_by_requests_and_not_by_the_generations_in_them() -> None:
    kling = FakeKling(seconds=120)
    async with FakeClient(kling, **KLING | {"max_outstanding": 400}, poll="learned", poll_rate=1.0) as client:
        results = await run_all(client, jobs(300, JOB))
    assert all(result.ok for result in results.values())
    assert 95 < len(kling.asked) <= 140, "one a second is allowed"
