"""Tasks by an id that a job chose for itself: never an earlier run's; and tasks that only the list shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from email.utils import formatdate
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.request_ids import OwnIds
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import GenerationFailed, InDoubt, InvalidJobs, ServiceError, Unavailable, Unclear
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.shell.journal.sqlite_reader import SqliteReader
from tests.cases import for_each
from tests.fakes import FakeClient, FakeGateway, answer, business_error, jobs, quick_downloads, run_all

OWN = {"model": "kling-v1-6", "prompt": "waves", "external_task_id": "mine"}
SERVICE_NOW = 1767225600
"""What the service's clock says, in seconds since 1970: this machine's is months or years ahead of it."""


class Aged(FakeGateway):
    """Says when each task was made; `old` are tasks of an earlier run by their external id."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.old: dict[str, str] = {}
        self.asked: list[str] = []
        self.lists = 0
        self.list_has_ours = False

    async def send(self, request: Request) -> Answer:
        """Answer one request."""
        name = request.path.rsplit("/", 1)[-1]
        if request.method == "GET":
            self.asked.append(request.path)
            if "pageNum" in dict(request.query):
                return self._list(dict(request.query)["pageNum"])
            if name in self.old:
                return self._old(name)
        given = await super().send(request)
        date = {"date": formatdate(SERVICE_NOW, usegmt=True)}
        return Answer(given.status, {**date, **given.headers}, given.body)

    def _old(self, external_id: str) -> Answer:
        made = 1764000000000
        task = {"task_id": self.old[external_id], "task_status": "succeed", "created_at": made}
        task |= {"task_info": {"external_task_id": external_id}}
        task |= {"task_result": {"videos": [{"url": "https://files.example.com/old.mp4"}]}}
        return answer(200, {"code": 0, "data": task})

    def _list(self, page: str) -> Answer:
        self.lists += 1
        rows = [json.loads(self._task(name).body)["data"] for name in self.accepted] if self.list_has_ours else []
        return answer(200, {"code": 0, "data": rows if page == "1" else []})


async def test_a_task_of_an_earlier_run_under_the_same_id_is_not_taken_for_this_one() -> None:
    service = Aged(seconds=20)
    service.old["mine"] = "task-of-last-month"
    service.posts.append(Unclear("reset"))
    async with FakeClient(service, service="kling", settle=30) as client, client.run([OWN]) as run:
        result = await anext(run)
    assert isinstance(result.error, InDoubt)
    assert "older than this submission: an earlier run has used the id" in str(result.error)
    assert result.video_url is None
    assert len(service.bodies) == 1


async def test_a_task_of_our_own_id_that_is_as_new_as_the_submission_is_taken() -> None:
    service = Aged(seconds=20)
    service.lost.append(Unclear("reset"))
    async with FakeClient(service, service="kling", settle=30) as client, client.run([OWN]) as run:
        result = await anext(run)
    assert result.ok, result.error
    assert len(service.bodies) == 1


async def test_a_task_that_was_told_no_id_of_ours_does_not_say_that_a_gateway_finds_none() -> None:
    class Extending(FakeGateway):
        def note(self, name: str, request_id: str, model: str = "") -> None:
            super().note(name, self.bodies[-1].get("external_task_id", ""), model)

    service = Extending(seconds=5)
    service.posts.extend([None, None, Unclear("reset")])
    extended = {"model": "kling-v1-6", "video_id": "clip-1", "prompt": "on"}
    async with FakeClient(service, service="kling", settle=30, max_outstanding=1) as client:
        for job in [*jobs(1, OWN | {"external_task_id": None}), {**extended, "id": "further"}, {**OWN, "id": "lost"}]:
            result = (await run_all(client, [job]))[job["id"]]
    assert result.ok, result.error
    assert len(service.bodies) == 4


async def test_an_earlier_attempt_under_the_same_id_is_not_taken_for_the_one_whose_answer_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    service = FakeGateway(seconds=20)
    service.broken["gen-0"] = "out of memory"
    async with FakeClient(service, service="kling", settle=30) as client:
        async with client.run([OWN], tmp_path) as run:
            failed = await anext(run)
        service.lost.append(Unclear("reset"))
        async with client.resume(tmp_path, retry_failed=True) as run:
            again = await anext(run)
    assert isinstance(failed.error, GenerationFailed)
    assert isinstance(again.error, InDoubt), "the service shows the first attempt, and the second is being paid"
    assert "of an earlier attempt of this job" in str(again.error)
    assert len(service.bodies) == 2


class Listing(Aged):
    """Finds no task by our id, and shows it in its list."""

    finds_ids = False
    list_has_ours = True


async def test_a_list_is_read_once_the_settle_time_has_passed_and_what_it_shows_only_then_is_not_bought_again() -> None:
    class ListedLate(Listing):
        def _list(self, page: str) -> Answer:
            self.list_has_ours = all(self.clock() - accepted_at > 30 for accepted_at in self.accepted.values())
            return super()._list(page)

    service = ListedLate(seconds=20)
    service.finds_ids = False
    service.lost.append(Unclear("reset"))
    job = {"model": "kling-v1-6", "prompt": "waves"}
    options: dict[str, Any] = {"service": "kling-official", "api_key": "a:b", "settle": 30}
    async with FakeClient(service, **options) as client, client.run([job]) as run:
        result = await anext(run)
    assert result.ok, result.error
    assert service.lists == 1
    assert len(service.bodies) == 1


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_lost_submission_is_looked_for_in_a_list_of_either_order(newest_first: bool) -> None:
    class Ordered(Listing):
        def _list(self, page: str) -> Answer:
            now = 1000 * SERVICE_NOW
            ages = range(0, 300_000, 10_000) if newest_first else range(90_000_000, 80_000_000, -100_000)
            others = [{"task_id": f"other-{age}", "task_status": "succeed", "created_at": now - age} for age in ages]
            return (
                super()._list("1") if page == "2" else answer(200, {"code": 0, "data": others if page == "1" else []})
            )

    service = Ordered(seconds=20)
    service.finds_ids, service.list_has_ours = False, True
    service.lost.append(Unclear("reset"))
    options: dict[str, Any] = {"service": "kling-official", "api_key": "a:b", "settle": 30, "timeout": 3000}
    async with FakeClient(service, **options) as client:
        results = await run_all(client, jobs(1, {"model": "kling-v1-6", "prompt": "waves"}))
    assert results["job0"].ok, results["job0"].error


@for_each(("oldest", "pages"), [(10_000_000, 1), (10_000, 2)])
async def test_a_list_whose_newest_come_first_is_read_back_to_the_submission_or_to_its_end(
    oldest: int, pages: int
) -> None:
    class WithoutOurs(Listing):
        def _list(self, page: str) -> Answer:
            self.lists += 1
            made = (1000 * SERVICE_NOW - age for age in range(0, oldest + 1, oldest // 10))
            others = [{"task_id": f"other-{at}", "task_status": "succeed", "created_at": at} for at in made]
            return answer(200, {"code": 0, "data": others if page == "1" else []})

    service = WithoutOurs(seconds=20)
    service.finds_ids = False
    service.lost.append(Unclear("reset"))
    options: dict[str, Any] = {"service": "kling-official", "api_key": "a:b", "settle": 30}
    async with FakeClient(service, **options) as client:
        results = await run_all(client, jobs(1, {"model": "kling-v1-6", "prompt": "waves"}))
    assert isinstance(results["job0"].error, InDoubt)
    assert service.lists == pages


async def test_a_lost_submission_is_looked_for_behind_tasks_of_others_that_seem_to_be_a_little_older() -> None:
    class Crowded(Listing):
        def _list(self, page: str) -> Answer:
            if page != "1":
                return super()._list("1" if page == "2" else page)
            older = 1000 * (SERVICE_NOW - 60)
            others = [{"task_id": f"other-{n}", "task_status": "processing", "created_at": older} for n in range(30)]
            return answer(200, {"code": 0, "data": others})

    service = Crowded(seconds=20)
    service.finds_ids, service.list_has_ours = False, True
    service.lost.extend([None, Unclear("reset")])
    options: dict[str, Any] = {"service": "kling-official", "api_key": "a:b", "settle": 30}
    async with FakeClient(service, **options) as client:
        results = await run_all(client, jobs(2, {"model": "kling-v1-6", "prompt": "waves"}))
    assert all(result.ok for result in results.values()), [result.error for result in results.values()]
    assert len(service.bodies) == 2


async def test_a_plain_id_is_looked_for_once_and_then_asked_about_where_it_was_found() -> None:
    service = FakeGateway(seconds=200)
    paths: list[str] = []

    async def send(request: Request) -> Answer:
        paths.append(request.path)
        if request.method == "GET" and "/motion-control/" not in request.path:
            return business_error(1203, "no such task", 404)
        return await FakeGateway.send(service, request)

    service.send = send  # type: ignore[method-assign]
    service.accepted["task-1"] = anyio.current_time()
    service.note("task-1", "av-1", "kling-v3")
    async with FakeClient(service, service="kling", poll="every:15") as client:
        result = await client.wait("task-1")
    assert result.ok
    first = paths.index(next(path for path in paths if "/motion-control/" in path))
    assert set(paths[first:]) == {paths[first]}
    assert len(paths) - first > 8


@pytest.mark.parametrize("service", ["kling", "kling-official"])
async def test_a_call_that_prepares_a_job_is_a_method_of_the_client(service: str) -> None:
    class Faces(FakeGateway):
        async def send(self, request: Request) -> Answer:
            assert request.path.endswith("/v1/videos/identify-face")
            return answer(200, {"code": 0, "data": {"session_id": "s-1", "face_data": [{"face_id": "0"}]}})

    async with FakeClient(Faces(), service=service, api_key="a:b") as client:
        faces = await client.helper("identify-face", video_url="https://a.example/a.mp4")
    assert faces == {"session_id": "s-1", "face_data": [{"face_id": "0"}]}


async def test_a_call_that_prepares_a_job_is_sent_four_times_where_nobody_takes_it() -> None:
    class Away(FakeGateway):
        sent = 0

        async def send(self, request: Request) -> Answer:
            self.sent += 1
            raise Unavailable("connection refused")

    service = Away()
    async with FakeClient(service, service="kling") as client:
        with pytest.raises(Unavailable, match="refused"):
            await client.helper("identify-face", video_url="https://a.example/a.mp4")
    assert service.sent == 4


@for_each(("error", "sent"), [(Unclear("reset"), 1), (Unavailable("refused"), 2)], ids=str)
async def test_a_call_that_prepares_a_job_is_sent_again_only_where_it_was_surely_not_answered(
    error: ServiceError, sent: int
) -> None:
    requests: list[Request] = []

    class Faces(FakeGateway):
        async def send(self, request: Request) -> Answer:
            requests.append(request)
            if len(requests) == 1:
                raise error
            return answer(200, {"code": 0, "data": {"session_id": "s-1", "final_unit_deduction": "0.05"}})

    async with FakeClient(Faces(), service="kling", api_key="k") as client:
        with pytest.raises(Unclear) if sent == 1 else nullcontext():
            told = await client.helper("identify-face", video_url="https://a.example/a.mp4")
            assert told["final_unit_deduction"] == "0.05"
    assert len(requests) == sent


async def test_a_call_into_a_journal_costs_the_same_however_many_jobs_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in the rows that SQLite steps over and in the jobs that are read, and not in seconds."""
    questions: list[str] = []
    read = SqliteReader.all_jobs

    def counted(journal: SqliteReader) -> Iterator[Record]:
        questions.append("all jobs")
        return read(journal)

    monkeypatch.setattr(SqliteReader, "all_jobs", counted)
    costs = []
    for size in (10, 2000):
        path = tmp_path / f"{size}.sqlite3"
        async with open_journal(path) as journal:
            for number in range(size):
                job = VideoJob(**OWN | {"id": f"job{number}", "external_task_id": f"order-{number}"})
                journal.plan(job)
                journal.step(job, Progress(Stage.SAVED, "r", f"task-{number}", cost_usd=0.1, file=f"job{number}.mp4"))
        async with FakeClient(FakeGateway(seconds=20), service="kling", journal=path) as client:
            await client.generate(**OWN, id="a/0")
            questions.clear()
            steps = count()
            client._journal._commits._db.set_progress_handler(lambda steps=steps: next(steps) and 0, 100)  # type: ignore
            await client.generate(**OWN | {"external_task_id": "another"}, id="a/1")
            costs.append(next(steps))
            assert questions == []
            with pytest.raises(InvalidJobs, match="that of job 'job7'"):
                await client.generate(**OWN | {"external_task_id": "order-7"}, id="a/2")
            with pytest.raises(InvalidJobs, match="that of job 'a/1'"):
                await client.generate(**OWN | {"external_task_id": "another"}, id="a/3")
    assert costs[1] < 2 * costs[0]


async def test_an_own_id_whose_job_was_never_sent_is_free_for_another_one() -> None:
    service = FakeGateway(seconds=20)
    async with FakeClient(service, service="kling") as client:
        with pytest.raises(InvalidJobs):
            await client.generate(**OWN, duration="77")
        assert (await client.generate(**OWN)).ok
    assert len(service.accepted) == 1


@pytest.mark.parametrize("ids", [("order-16", "order-17"), (None, "order-17"), ("order-16", None)])
@pytest.mark.parametrize("is_repaired", [True, False])
async def test_a_failed_job_under_another_id_of_its_own_is_asked_about_before_it_is_bought(
    tmp_path: Path, ids: tuple[str | None, str | None], is_repaired: bool
) -> None:
    service = FakeGateway(seconds=5)
    service.broken["gen-0"] = "out of memory"
    async with FakeClient(service, service="kling", journal=tmp_path / "journal.sqlite3") as client:
        before, after = ({**OWN, "id": "a", "external_task_id": own_id} for own_id in ids)
        await run_all(client, [before])
        if is_repaired:
            service.broken.clear()
        assert isinstance((await run_all(client, [after]))["a"].error, GenerationFailed)
        async with client.resume(retry_failed=True) as run:
            result = await anext(run)
    assert (result.ok, result.generation_id) == (True, "gen-0" if is_repaired else "gen-1")
    assert is_repaired or service.bodies[-1].get("external_task_id", "av-").startswith(ids[1] or "av-")


async def test_a_failed_job_is_planned_anew_where_more_than_its_own_id_has_changed_or_none_was_accepted(
    tmp_path: Path,
) -> None:
    service = FakeGateway(seconds=5)
    service.broken["gen-0"] = "out of memory"
    service.posts.extend([None, business_error(1201, "external_task_id is not unique")])
    async with FakeClient(service, service="kling", journal=tmp_path / "journal.sqlite3") as client:
        lines = [{**OWN, "id": name, "external_task_id": f"order-{name}"} for name in "ab"]
        assert {result.ok for result in (await run_all(client, lines)).values()} == {False}
        lines = [{**line, "external_task_id": f"order-{line['id']}-2"} for line in lines]
        results = await run_all(client, [{**lines[0], "prompt": "hills"}, lines[1]])
    assert all(result.ok for result in results.values())
    assert len(service.bodies) == 4


async def test_two_clients_of_one_journal_send_no_two_jobs_under_one_id(tmp_path: Path) -> None:
    service = FakeGateway(seconds=5)
    async with (
        open_journal(tmp_path / "journal.sqlite3") as journal,
        FakeClient(service, journal=journal, service="kling") as one,
        FakeClient(service, journal=journal, service="kling") as another,
    ):
        await run_all(one, [{**OWN, "id": "first", "external_task_id": "order-16"}])
        await run_all(another, [{**OWN, "id": "second"}])
        results = await run_all(one, [{**OWN, "id": "third"}])
    assert "that of job 'second'" in str(results["third"].error)
    assert len(service.posted_at) == 2


def test_the_own_ids_of_jobs_that_are_forgotten_are_dropped() -> None:
    own_ids, under_way = OwnIds("external_task_id"), {"job0"}
    for number in range(5000):
        job = VideoJob(**OWN | {"id": f"job{number}", "external_task_id": f"order-{number}"})
        assert own_ids.claim(job, under_way.__contains__) is None
    assert len(own_ids._jobs) < 2000
    assert own_ids.claim(VideoJob(**OWN | {"id": "b", "external_task_id": "order-0"}), under_way.__contains__)
