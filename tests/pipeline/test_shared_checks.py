"""Status checks of several generations in one request, where the service takes them so."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.polling.policy import FixedPolls, PollState
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import OutOfPatience, Refused, ServiceError, Unavailable, Unclear
from aimlvideo.pipeline.waiting import Waiting
from aimlvideo.shell import clock
from tests.cases import for_each
from tests.fakes import FakeClient, FakeKling, answer, business_error, jobs, quick_downloads, run_all

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


async def test_tasks_of_older_models_are_asked_about_one_by_one_where_they_are() -> None:
    kling = FakeKling(seconds=50)
    older = [{**job, "id": f"older-{job['id']}", "model": "kling-v1-6"} for job in jobs(2, JOB)]
    async with FakeClient(kling, **KLING | {"api_key": "a:b"}, poll="every:10") as client:
        results = await run_all(client, older)
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert kling.asked == []


@for_each(
    ("widths", "misses", "together"),
    [
        ([4, 4, 4], 0, [0, 1, 2]),
        ([2, 4, 4], 0, [0, 1]),
        ([4, 2, 4, 4], 0, [0, 1]),
        ([4, 4, 1, 2, 4, 4], 0, [0, 1, 4, 5]),
        ([1, 4], 0, [0]),
        ([4, 4, 4], 1, [0, 1, 2]),
        ([4, 4, 4], 2, [0, 1]),
        ([4, 4, 4], 9, [0]),
    ],
)
async def test_no_question_is_about_more_than_each_of_its_generations_may_be_asked_with_and_the_others_keep_their_order(
    widths: list[int], misses: int, together: list[int]
) -> None:
    async with FakeClient(FakeKling(), **KLING) as client:
        scheduler, nobody = client._pipeline.poll.scheduler, mock.Mock(ended=False)
        policy, state = FixedPolls(10), PollState(0.0, 0.0)
        many = [
            Waiting(
                nobody, policy, state, inf, 0.0, most_together=width, misses=misses, failed_at=0.0 if misses else -inf
            )
            for width in widths
        ]
        scheduler._backlog.extend(many)
        assert [many.index(one) for one in scheduler._take_together(anyio.current_time())] == together
        left = [number for number in range(len(many)) if number not in together]
        assert [many.index(one) for one in scheduler._backlog] == left
        scheduler._backlog.clear()


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


class Slow(FakeKling):
    """Kling that takes five seconds to say what it has found."""

    async def send(self, request: Request) -> Answer:
        told = await super().send(request)
        if request.path == "/tasks":
            await anyio.sleep(5)
        return told


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


@pytest.mark.parametrize(
    "words",
    [
        business_error(1103, "Unauthorized access to requested resource", 403),
        business_error(1301, "Content safety policy triggered", 400),
        answer(302, {}, location="https://elsewhere.example/"),
    ],
    ids=["another account's", "moderated", "elsewhere"],
)
async def test_one_that_is_refused_however_that_is_said_holds_up_no_other(words: Answer) -> None:
    kling = Faulty(lambda at, names: words if "gen-13" in names else None, seconds=50)
    async with FakeClient(kling, **KLING, poll="every:20", timeout=400) as client:
        results = await run_all(client, jobs(20, JOB))
    assert [result.generation_id for result in results.values() if not result.ok] == ["gen-13"]
    assert max(at for at, names in kling.asked if names != ["gen-13"]) - kling.began < 80


async def test_one_that_is_too_many_whenever_it_is_asked_about_is_parted_from_those_beside_it() -> None:
    busy = business_error(1302, "too fast", 429)
    kling = Faulty(lambda at, names: busy if "gen-13" in names else None, seconds=50)
    async with FakeClient(kling, **KLING, poll="every:10", timeout=400) as client:
        results = await run_all(client, jobs(60, JOB))
    assert [result.generation_id for result in results.values() if not result.ok] == ["gen-13"]


async def test_a_service_that_refuses_every_question_about_several_stops_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks, loop_time = itertools.count(), clock.loop
    monkeypatch.setattr(clock, "loop", lambda: loop_time() + 1e-6 * next(ticks))  # as real clocks go on
    refusal = business_error(1103, "Unauthorized access to requested resource", 403)
    kling = Faulty(lambda at, names: refusal if len(names) > 1 else None, seconds=50)
    async with FakeClient(kling, **KLING, poll="every:20") as client, client.run(jobs(20, JOB)) as run:
        results = [result async for result in run]
    assert all(result.ok for result in results), [result.error for result in results]
    assert run.halted is None


async def test_a_key_that_is_refused_three_times_stops_the_buying_also_where_many_are_asked_about_together() -> None:
    kling = Faulty(lambda at, names: business_error(1002, "Invalid key", 401) if at > 15 else None, seconds=5000)
    async with FakeClient(kling, **KLING, poll="every:20") as client, client.run(jobs(20, JOB)) as run:
        await anyio.sleep(30)
        assert isinstance(run.halted, Refused)
    assert [len(names) for _, names in kling.asked[:4]] == [20, 20, 20, 20], "no generation is the reason"


# With callbacks -------------------------------------------------------------------------------------------------------


def ended(*names: str) -> list[bytes]:
    return [json.dumps({"id": name, "status": "succeeded"}).encode() for name in names]


async def test_a_call_that_comes_while_a_question_is_under_way_is_a_reason_to_ask_once_more() -> None:
    kling = Slow(seconds=22)
    async with FakeClient(kling, **KLING, poll="every:20") as client, client.run(jobs(3, JOB)) as run:
        await anyio.sleep(23)
        assert all(client.callback(call) for call in ended("gen-0", "gen-1"))
        assert all(client.callback(call) for call in ended("gen-0", "gen-1")), "each may come twice"
        results = [await anext(run), await anext(run)]
        assert anyio.current_time() == pytest.approx(30, abs=0.5)
        assert not client.callback(ended("gen-0")[0]), "it has ended"
        results.append(await anext(run))
    assert all(result.ok for result in results)
    assert [names for _, names in kling.asked] == [["gen-0", "gen-1", "gen-2"], ["gen-0", "gen-1"], ["gen-2"]]


@pytest.mark.parametrize(
    "trouble", [business_error(1302, "too fast", 429), answer(500, {"code": 5000, "message": "x"}), Unclear("reset")]
)
async def test_a_call_whose_question_fails_is_not_forgotten(trouble: Any) -> None:
    kling = Faulty(lambda at, names: trouble if at < 24 else None, seconds=20)
    async with FakeClient(kling, **KLING, poll="every:600") as client, client.run(jobs(3, JOB)) as run:
        await anyio.sleep(22)
        assert all(client.callback(call) for call in ended("gen-0", "gen-1", "gen-2"))
        assert all([(await anext(run)).ok for _ in range(3)])
    assert anyio.current_time() < 30


# With others who come and go ------------------------------------------------------------------------------------------


async def test_a_call_reaches_all_who_wait_for_a_generation_also_when_one_of_them_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    kling = FakeKling(seconds=30)
    settings = {**KLING, "poll": "every:600"}
    async with FakeClient(kling, **settings) as client, client.run(jobs(3, JOB), output=tmp_path) as run:
        await anyio.sleep(5)
        with anyio.move_on_after(10) as left:
            await client.wait("gen-1", model="kling-3.0")
        assert left.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.wait("gen-2", model="kling-3.0"))
            await anyio.sleep(20)
            assert [client.callback(call) for call in ended("gen-1", "gen-2", "gen-9")] == [True, True, False]
        assert all([(await anext(run)).ok for _ in range(2)])
        assert anyio.current_time() < 40


async def test_what_nobody_waits_for_any_more_is_not_asked_about_and_ends_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)

    class LateRefusal(FakeKling):
        async def send(self, request: Request) -> Answer:
            told = await super().send(request)
            if request.path == "/tasks":
                await anyio.sleep(45)
                return business_error(1302, "too fast", 429)
            return told

    kling, older = LateRefusal(seconds=110), {"model": "kling-v3", "prompt": "waves"}
    settings = {**KLING, "max_outstanding": 150, "poll": "every:60", "poll_rate": 1.0}
    async with FakeClient(kling, **settings, timeout=100) as client, client.run(jobs(1, JOB)) as other:
        await anyio.sleep(1)
        async with client.run(jobs(100, older), output=tmp_path):
            await anyio.sleep(95)
        asked = len(kling.polled_at)
        assert isinstance((await anext(other)).error, OutOfPatience), "and no unexpected one, after the refusal"
        assert (await client.wait("gen-7", model="kling-v3")).ok
    assert len(kling.polled_at) - asked <= 3
