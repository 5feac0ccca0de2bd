"""A lost answer is looked up where it must be listed; where it was not surely looked for, nothing is sent again."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Stage
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import InDoubt, Unclear
from aimlvideo.shell import clock
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    MODEL,
    FakeClient,
    FakeGateway,
    FakeService,
    LoggedRequest,
    answer,
    business_error,
    jobs,
    run_all,
)

LOST = Unclear("reset")
SETTLE = 600.0


def job(name: str) -> dict[str, Any]:
    return {**JOB, "id": name}


async def run(service: FakeService, folder: Path | None, *names: str, **settings: Any) -> dict[str, Any]:
    async with (
        FakeClient(service, **{"settle": SETTLE, **settings}) as client,
        client.run([job(name) for name in names], output=None) if folder is None
        else client.run([job(name) for name in names], output=folder) as results,
    ):  # fmt: skip
        return {result.job.id: result async for result in results}


@pytest.fixture
def quick_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every clip be there at once."""
    from tests.fakes import quick_downloads

    quick_downloads(monkeypatch)


async def test_a_submission_that_a_proxy_sent_twice_is_not_bought_again_when_only_its_first_half_has_failed() -> None:
    class Twice(FakeService):
        def _post(self, request: Request) -> Answer:
            self.broken["gen-0"] = "upstream error"
            super()._post(request)
            self.log[0].listed_at = self.clock()
            return super()._post(request)

    service = Twice(seconds=60, lost=deque([None, LOST]))
    result = (await run(service, None, "a"))["a"]
    assert (result.ok, result.generation_id, len(service.accepted)) == (True, "gen-1", 2)


async def test_what_failed_unbilled_settles_nothing_where_the_log_may_have_another_half_of_it() -> None:
    class Twice(FakeService):
        """Takes what a proxy sends twice once, and shows the first page of its log again and again."""

        def _post(self, request: Request) -> Answer:
            self.broken["gen-1"] = "upstream error"
            super()._post(request)
            given = super()._post(request)
            self.log[1].listed_at = self.clock()
            return given

        def _log_page(self, request: Request) -> Answer:
            return super()._log_page(replace(request, query={**dict(request.query), "offset": "0"}))

    service = Twice(seconds=60, lost=deque([None, LOST]), page_rows=1)
    result = (await run(service, None, "a"))["a"]
    assert "could not be read to its end" in str(result.error)
    assert len(service.posted_at) == 2


# The service's clock -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-60, -10, -3, 3, 10, 60])
async def test_an_answer_lost_while_this_clock_is_off_is_found_and_not_bought_twice(
    minutes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = FakeService(seconds=30)
    monkeypatch.setattr(clock, "wall", lambda: service.now() + minutes * 60)
    service.lost.extend([None, LOST])
    results = await run(service, None, "a", "b")
    assert {result.stage for result in results.values()} == {Stage.READY}
    assert len(service.accepted) == 2


async def test_a_wall_clock_set_forward_while_a_job_is_in_doubt_is_no_passing_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = FakeService(seconds=300)
    stepped = 0.0
    monkeypatch.setattr(clock, "wall", lambda: service.now() + stepped)
    service.lost.append(LOST)

    async def step() -> None:
        nonlocal stepped
        await anyio.sleep(3)
        stepped = 7200.0

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(step)
        results = await run(service, None, "a")
    assert results["a"].ok
    assert len(service.posted_at) == 1


async def test_a_service_that_never_says_its_time_leaves_an_absence_in_doubt() -> None:
    service = FakeService(seconds=5, says_date=False)
    service.posts.extend([None, LOST])
    results = await run(service, None, "a", "b")
    assert isinstance(results["b"].error, InDoubt)
    assert "clock is not known" in str(results["b"].error)
    assert len(service.posted_at) == 2


async def test_the_offset_of_the_clocks_is_known_to_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    service = FakeService(seconds=5)
    monkeypatch.setattr(clock, "wall", lambda: service.now() - 300)
    async with FakeClient(service) as client:
        assert client.clock_offset is None
        await client.generate(**JOB)
        assert client.clock_offset == pytest.approx(300, abs=1)


# The whole log -----------------------------------------------------------------------------------------------------


@for_each("page_rows", [1, 7, 100])
async def test_a_row_behind_other_programs_rows_is_found_whatever_a_page_holds(page_rows: int) -> None:
    service = FakeService(seconds=30, page_rows=page_rows, strangers=40)
    service.lost.append(LOST)
    results = await run(service, None, "a")
    assert results["a"].ok
    assert len(service.posted_at) == 1


async def test_a_log_that_does_not_say_whether_more_follows_is_read_until_a_page_is_empty() -> None:
    class Silent(FakeService):
        def _log_page(self, request: Request) -> Answer:
            return answer(200, {"data": json.loads(super()._log_page(request).body)["data"]})

    service = Silent(seconds=30, page_rows=7, strangers=40)
    service.lost.append(LOST)
    results = await run(service, None, "a")
    assert results["a"].ok
    assert len(service.posted_at) == 1


async def test_a_log_that_never_ends_proves_nothing() -> None:
    class Endless(FakeService):
        def _log_page(self, request: Request) -> Answer:
            row = {"client_request_id": "av-000000000000-1", "inference_id": "x", "status": "succeeded"}
            return answer(
                200, {"data": [row] if dict(request.query)["offset"] == "0" else [], "pagination": {"has_more": True}}
            )

    service = Endless(seconds=5)
    service.posts.append(LOST)
    results = await run(service, None, "a")
    assert "could not be read to its end" in str(results["a"].error)
    assert len(service.posted_at) == 1


async def test_a_log_that_has_not_shown_an_id_of_ours_proves_nothing() -> None:
    service = FakeService(seconds=5, strangers=3)
    service.posts.append(LOST)
    results = await run(service, None, "a")
    assert isinstance(results["a"].error, InDoubt)
    assert "not shown one request of ours" in str(results["a"].error)
    assert len(service.posted_at) == 1


@for_each("most", [15, 36, 40, 45])
async def test_a_log_that_cuts_our_ids_proves_nothing(most: int) -> None:
    class Cutting(FakeService):
        def _row(self, row: Any, at: float) -> dict[str, Any]:
            listed = super()._row(row, at)
            return {**listed, "client_request_id": listed["client_request_id"][:most]}

    service = Cutting(seconds=20)
    service.lost.extend([None, Unclear("reset")])
    async with FakeClient(service, settle=100.0) as client:
        results = await run_all(client, jobs(2))
    assert isinstance(results["job1"].error or results["job0"].error, InDoubt)
    assert len(service.posted_at) == 2


async def test_a_log_that_says_too_early_that_nothing_follows_is_read_on_before_anything_is_sent_again() -> None:
    class Lying(FakeService):
        def _log_page(self, request: Request) -> Answer:
            body = json.loads(super()._log_page(request).body)
            return answer(200, {**body, "pagination": {**body["pagination"], "has_more": False}})

    service = Lying(seconds=300, page_rows=2, strangers=1)
    service.lost.extend([LOST, None, None])
    results = await run(service, None, "lost", "a", "b")
    assert all(result.ok for result in results.values())
    assert len(service.posted_at) == 3


async def test_the_order_of_the_log_does_not_matter() -> None:
    class OldestFirst(FakeService):
        def _log_page(self, request: Request) -> Answer:
            self.log.reverse()
            try:
                return super()._log_page(request)
            finally:
                self.log.reverse()

    service = OldestFirst(seconds=30, page_rows=2, strangers=3)
    service.lost.extend([None, LOST])
    results = await run(service, None, "a", "lost", "c")
    assert all(result.ok for result in results.values())
    assert len(service.posted_at) == 3


@for_each(("listed_id", "why"), [(None, "without the client's id"), (["av-1"], "not every row of it")])
async def test_a_row_without_our_id_that_may_be_the_submission_leaves_it_in_doubt(listed_id: Any, why: str) -> None:
    class Forgetful(FakeService):
        def _row(self, row: LoggedRequest, at: float) -> dict[str, Any]:
            listed = super()._row(row, at)
            return listed | {"client_request_id": listed_id} if row.generation_id == "gen-1" else listed

    service = Forgetful(seconds=30)
    service.lost.extend([None, LOST])
    results = await run(service, None, "a", "lost")
    assert why in str(results["lost"].error)
    assert len(service.posted_at) == 2


class Proxied(FakeService):
    """Its first answers come through a proxy, with that one's time; the first job is listed after the second."""

    ahead = 0.0

    async def send(self, request: Request) -> Answer:
        is_first = not self.posted_at
        given = await super().send(request)
        date = {"date": formatdate(self.now() + self.ahead, usegmt=True)}
        return Answer(given.status, {**given.headers, **date}, given.body) if is_first else given

    def note(self, name: str, request_id: str, model: str = MODEL) -> None:
        super().note(name, request_id, model)
        if len(self.log) == 1:
            self.log[0].listed_at += 200.0


@for_each("ahead", [-90_000, -3600, -660, 660, 3600, 90_000])
async def test_a_time_that_a_proxy_told_before_the_submission_proves_nothing(ahead: float) -> None:
    service = Proxied(seconds=300)
    service.ahead = ahead
    service.lost.append(LOST)
    results = await run(service, None, "lost", "later", rate=0.01)
    assert len(service.posted_at) == 2
    assert results["lost"].ok or isinstance(results["lost"].error, InDoubt)


@pytest.mark.usefixtures("quick_downloads")
async def test_after_a_restart_the_service_s_clock_alone_does_not_say_that_the_settle_time_has_passed(
    tmp_path: Path,
) -> None:
    service = Proxied(seconds=300)
    service.ahead = -3600.0
    service.lost.append(LOST)
    with anyio.move_on_after(10):
        await run(service, tmp_path, "lost")
    results = await run(service, tmp_path, "lost", "later")
    assert len(service.posted_at) == 2
    assert results["lost"].ok


# The same key, the same place --------------------------------------------------------------------------------------


async def interrupted_in_doubt(service: FakeService, folder: Path, **settings: Any) -> None:
    """Leave a run while the answer to its one submission is lost."""
    service.lost.extend([None, LOST])
    await first_result(service, folder, **settings)


async def first_result(service: FakeService, folder: Path, **settings: Any) -> None:
    """Run two jobs, and leave when the first has ended."""
    jobs = [job("first"), job("lost")]
    async with (
        FakeClient(service, **{"settle": SETTLE, **settings}) as client,
        client.run(jobs, output=folder) as results,
    ):
        assert (await anext(results)).job.id == "first"


@pytest.mark.usefixtures("quick_downloads")
@pytest.mark.parametrize("other", [{"api_key": "key-2"}, {"base_url": "http://127.0.0.1:2"}])
async def test_a_doubt_is_left_to_the_key_and_the_base_url_that_it_was_sent_with(
    tmp_path: Path, other: dict[str, str]
) -> None:
    service = FakeService(seconds=100, listing_delay=100)
    await interrupted_in_doubt(service, tmp_path)
    results = await run(service, tmp_path, "lost", "more", **other)
    assert results["more"].ok
    assert isinstance(results["lost"].error, InDoubt)
    assert "another API key or to another base URL" in str(results["lost"].error)
    assert len(service.posted_at) == 3
    again = await run(service, tmp_path, "lost")
    assert again["lost"].ok, "the key that sent it finds it"
    assert len(service.posted_at) == 3


@pytest.mark.usefixtures("quick_downloads")
async def test_why_a_job_is_left_in_doubt_is_in_its_journal_for_whoever_looks_later(tmp_path: Path) -> None:
    service = FakeService(says_date=False)
    service.posts.append(LOST)
    results = await run(service, tmp_path, "lost")
    with read_journal(tmp_path / JOURNAL) as journal:
        record = journal.find("lost")
    assert record is not None
    assert str(record.progress.error) == str(results["lost"].error)


@pytest.mark.usefixtures("quick_downloads")
async def test_after_a_restart_the_settle_time_may_have_passed_by_the_service_s_clock(tmp_path: Path) -> None:
    service = FakeService(seconds=20)
    service.posts.extend([None, LOST])
    await first_result(service, tmp_path)
    await anyio.sleep(2 * SETTLE)
    began = anyio.current_time()
    results = await run(service, tmp_path, "lost")
    assert results["lost"].ok
    assert service.posted_at[-1] - began < 60


@pytest.mark.usefixtures("quick_downloads")
async def test_a_submission_that_is_older_than_the_log_reaches_is_left_in_doubt(tmp_path: Path) -> None:
    service = FakeService(seconds=20)
    service.lost.extend([None, LOST])
    service.listing_delay = 1000.0
    with anyio.move_on_after(200):
        await run(service, tmp_path, "first", "lost")
    for _ in range(100):  # a loop that jumps far at once rounds its timers away
        await anyio.sleep(86_400)
    results = await run(service, tmp_path, "lost", "later")
    assert "does not reach that far back" in str(results["lost"].error)
    assert len(service.posted_at) == 3


async def test_answers_that_are_lost_among_many_refusals_for_haste_buy_nothing_twice() -> None:
    service = FakeService(seconds=60)
    too_many = answer(429, {"message": "too many requests"}, retry_after="1")
    service.posts.extend([too_many, None, too_many, too_many] * 10)
    service.lost.extend([LOST, LOST, None] * 5)
    names = [f"job{number}" for number in range(12)]
    results = await run(service, None, *names)
    assert {result.stage for result in results.values()} == {Stage.READY}
    assert len(service.accepted) == len(names)


# Twice -------------------------------------------------------------------------------------------------------------


async def test_a_job_that_was_twice_never_accepted_is_left_in_doubt_and_not_sent_a_third_time() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, *[LOST] * 20])
    results = await run(service, None, "first", "lost", max_outstanding=1)
    assert results["first"].ok
    assert isinstance(results["lost"].error, InDoubt)
    assert "twice" in str(results["lost"].error)
    assert len(service.posted_at) == 3


async def test_refusals_between_are_no_denials() -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, answer(429), answer(503), LOST, answer(429)])
    results = await run(service, None, "first", "lost", max_outstanding=1)
    assert results["lost"].ok
    assert len(service.posted_at) == 6


@pytest.mark.usefixtures("quick_downloads")
async def test_a_first_denial_of_an_id_of_the_job_s_own_is_remembered_over_a_restart(tmp_path: Path) -> None:
    service = FakeGateway(seconds=5)
    own = {**GATEWAY_JOB, "id": "lost", "external_task_id": "mine-1"}
    service.posts.extend([None, LOST, LOST])
    settings: dict[str, Any] = {"service": "kling", "settle": SETTLE}
    async with FakeClient(service, **settings) as client:
        await run_all(client, [{**GATEWAY_JOB, "id": "first"}], output=tmp_path)
        with anyio.move_on_after(SETTLE + 60):
            await run_all(client, [own], output=tmp_path)
    assert len(service.posted_at) == 3
    async with FakeClient(service, **settings) as client:
        results = await run_all(client, [own], output=tmp_path)
    assert isinstance(results["lost"].error, InDoubt)
    assert len(service.posted_at) == 3


@pytest.mark.usefixtures("quick_downloads")
async def test_an_id_of_the_job_s_own_that_is_refused_the_second_time_may_have_been_taken_the_first_time(
    tmp_path: Path,
) -> None:
    service = FakeGateway(seconds=5)
    own = {**GATEWAY_JOB, "id": "lost", "external_task_id": "mine-1"}
    taken = business_error(1201, "external_task_id already exists", 400)
    service.posts.extend([None, LOST, taken])
    async with FakeClient(service, service="kling", settle=SETTLE) as client:
        await run_all(client, [{**GATEWAY_JOB, "id": "first"}], output=tmp_path)
        results = await run_all(client, [own], output=tmp_path)
    assert isinstance(results["lost"].error, InDoubt)
    assert "already exists" in str(results["lost"].error)


@pytest.mark.usefixtures("quick_downloads")
async def test_a_first_denial_is_remembered_over_a_restart(tmp_path: Path) -> None:
    service = FakeService(seconds=5)
    service.posts.extend([None, LOST, LOST])
    await first_result(service, tmp_path)
    with anyio.move_on_after(SETTLE + 60):
        await run(service, tmp_path, "lost")
    assert len(service.posted_at) == 3
    results = await run(service, tmp_path, "lost")
    assert isinstance(results["lost"].error, InDoubt)
    assert len(service.posted_at) == 3


async def test_a_submission_that_the_log_lists_as_failed_again_and_again_is_failed_and_not_sent_for_ever() -> None:
    service = FakeService(seconds=5)
    service.lost.extend([LOST] * 20)
    service.broken.update({f"gen-{number}": "out of memory" for number in range(20)})
    results = await run(service, None, "a")
    assert results["a"].stage is Stage.FAILED
    assert len(service.posted_at) == 2
