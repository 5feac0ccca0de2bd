"""Status checks of several generations in one request, where the service takes them so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import ServiceError, Unavailable, Unclear
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


class Faulty(FakeKling):
    """Kling with a fault: `fault` gives what a question about these ids is answered with instead, if anything."""

    def __init__(self, fault: Callable[[float, list[str]], Answer | ServiceError | None], **how: Any) -> None:
        super().__init__(**how)
        self.fault, self.began = fault, self.clock()

    async def send(self, request: Request) -> Answer:
        names = request.query[0][1].split(",") if request.path == "/tasks" else []
        told = await super().send(request)
        found = self.fault(self.clock() - self.began, names) if names else None
        if isinstance(found, ServiceError):
            raise found
        return told if found is None else found


@pytest.mark.parametrize(
    "outage",
    [answer(500, {"code": 5000, "message": "x"}), Unavailable("refused"), Unclear("timed out")],
    ids=["500", "refused", "cut"],
)
async def test_after_an_outage_generations_are_asked_about_together_at_once(outage: Any) -> None:
    kling = Faulty(lambda at, names: outage if 20 < at < 120 else None, seconds=110)
    async with FakeClient(kling, **KLING, poll="every:30", timeout=3000) as client:
        results = await run_all(client, jobs(60, JOB))
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    after = [names for at, names in kling.asked if at - kling.began >= 120]
    assert len(after) <= 12, "60 generations are three questions"


async def test_one_that_spoils_its_question_is_found_by_halves_and_fails_no_other_by_its_words() -> None:
    def refused(at: float, names: list[str]) -> Answer | None:
        return business_error(1201, "the content violates our policy", 400) if "gen-13" in names else None

    kling = Faulty(refused, seconds=50)
    async with FakeClient(kling, **KLING, poll="every:20", timeout=400) as client:
        results = await run_all(client, jobs(20, JOB))
    failed = [result.generation_id for result in results.values() if not result.ok]
    assert failed == ["gen-13"]
    assert all(result.completed_at is not None for result in results.values())
    assert len([names for _, names in kling.asked if len(names) == 1]) <= 3 + 3, "the one, and who stood beside it"
    assert len(kling.asked) <= 20


async def test_answers_that_come_too_fast_part_nobody() -> None:
    def too_many(at: float, names: list[str]) -> Answer | None:
        return business_error(1302, "too fast", 429) if 10 < at < 100 else None

    kling = Faulty(too_many, seconds=120)
    async with FakeClient(kling, **KLING, poll="every:15", timeout=600) as client:
        results = await run_all(client, jobs(20, JOB))
    assert all(result.ok for result in results.values())
    assert {len(names) for _, names in kling.asked} == {20}


async def test_generations_that_cannot_share_a_question_break_none_apart() -> None:
    older = {"model": "kling-v3", "prompt": "waves"}
    kling = FakeKling(seconds=50)
    many = [{**(JOB if number % 2 else older), "id": f"job{number}"} for number in range(20)]
    async with FakeClient(kling, **KLING, poll="every:20", poll_rate=2.0) as client:
        results = await run_all(client, many)
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert len(kling.asked) <= 6, "the ten newer ones are asked about together"


async def test_a_list_that_is_cut_short_is_read_in_shorter_questions() -> None:
    class Short(FakeKling):
        async def send(self, request: Request) -> Answer:
            told = await super().send(request)
            if request.path != "/tasks":
                return told
            return answer(200, {"code": 0, "data": json.loads(told.body)["data"][:6]})

    kling = Short(seconds=50)
    async with FakeClient(kling, **KLING, poll="every:20", timeout=400) as client:
        results = await run_all(client, jobs(20, JOB))
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
