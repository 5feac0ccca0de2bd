"""An application queues jobs and follows them, while the workers are other processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psycopg
import pytest
from aiohttp import ClientSession, web

from aimlvideo import JobList, Stage, VideoJob
from aimlvideo.errors import DatabaseAway, InvalidJobs, JournalError, SettingsError, UsageError
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.base import SERVICE
from aimlvideo.shell.journal.postgres_sync import open_sync_journal
from tests.cases import for_each
from tests.distributed.test_worker import MODEL, counts, job
from tests.postgres_server import OTHERS_OUT
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.long, pytest.mark.real_time]

LIST = web.AppKey("jobs", JobList)


def application(dsn: str, output: Path) -> web.Application:
    """Return a web application that queues a clip, says where it stands, and waits for it."""

    async def opened(app: web.Application) -> AsyncIterator[None]:
        async with JobList(dsn, output=output) as jobs:
            app[LIST] = jobs
            yield

    async def add(request: web.Request) -> web.Response:
        job_id = await request.app[LIST].add(await request.json())
        return web.json_response({"id": job_id})

    async def show(request: web.Request) -> web.Response:
        found = await request.app[LIST].status(request.match_info["id"])
        return web.json_response({"stage": found and found.stage.value})

    async def wait(request: web.Request) -> web.Response:
        result = await request.app[LIST].wait(request.match_info["id"])
        return web.json_response({"stage": result.stage.value, "path": str(result.path)})

    app = web.Application()
    app.cleanup_ctx.append(opened)
    app.add_routes([web.post("/clips", add), web.get("/clips/{id}", show), web.get("/clips/{id}/wait", wait)])
    return app


async def test_a_web_application_queues_clips_that_another_process_makes(dsn: str, tmp_path: Path) -> None:
    runner = web.AppRunner(application(dsn, tmp_path / "out"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with Sandbox(Behaviour(seconds=0.2, video="tiny")) as sandbox, ClientSession(runner_url(runner)) as browser:
        for number in range(4):
            async with browser.post("/clips", json=job(number)) as answer:
                assert await answer.json() == {"id": f"job{number}"}
        async with browser.get("/clips/job1") as answer:
            assert await answer.json() == {"stage": "planned"}
        async with browser.get("/clips/nosuch") as answer:
            assert await answer.json() == {"stage": None}
        told = ["--dsn", dsn, "--base-url", sandbox.url, "--api-key", "k", "--poll", "every:0.1"]
        worked = ["worker", "-o", str(tmp_path / "out"), "--json", "--until-empty", *told]
        command = [sys.executable, "-m", "aimlvideo", *worked]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:  # noqa: ASYNC220 - it returns at once
            async with browser.get("/clips/job3/wait") as answer:
                assert await answer.json() == {"stage": "saved", "path": str(tmp_path / "out" / "job3.mp4")}
            results, sentences = await anyio.to_thread.run_sync(partial(worker.communicate, timeout=60))
            assert worker.returncode == 0
    await runner.cleanup()
    assert counts(dsn) == {"saved": 4}
    assert {json.loads(line)["id"] for line in results.splitlines()} == {f"job{n}" for n in range(4)}
    assert "all workers: --max-outstanding 100 --rate 5" in sentences
    assert "has ended: 4 saved, 0 failed, 0 in hand" in sentences


def runner_url(runner: web.AppRunner) -> str:
    """Return where an application is served."""
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"


async def test_jobs_are_added_all_or_none_and_never_twice(dsn: str) -> None:
    async with JobList(dsn) as jobs:
        with pytest.raises(InvalidJobs, match="duration"):
            await jobs.add([job(0), job(1, duration=7)])
        assert counts(dsn) == {}
        assert await jobs.add([job(0), VideoJob(**job(1))]) == ["job0", "job1"]
        assert await jobs.add([job(1), job(2)]) == ["job1", "job2"]
        derived = await jobs.add(MODEL, prompt="p", image_url="https://example.com/a.png")
        assert counts(dsn) == {"planned": 4}
        found = await jobs.status(derived)
        assert found is not None
        assert found.stage is Stage.PLANNED
        assert (await jobs.account()).jobs == {"planned": 4}


async def test_the_same_words_twice_at_once_are_two_clips_and_given_again_they_are_those(dsn: str) -> None:
    words = {"model": MODEL, "prompt": "p", "image_url": "https://example.com/a.png"}
    async with JobList(dsn) as jobs:
        first, second = await jobs.add([words, words])
        assert second == f"{first}-2"
        assert await jobs.add([words, words]) == [first, second]
        assert counts(dsn) == {"planned": 2}


async def test_every_wrong_job_is_named_at_once_by_its_place_also_where_it_has_no_id(dsn: str) -> None:
    wrong = {"model": MODEL, "prompt": "p", "image_url": "https://example.com/a.png", "duration": 7}
    async with JobList(dsn) as jobs:
        with pytest.raises(InvalidJobs) as caught:
            await jobs.add([job(0), wrong, "a prompt alone", wrong, job(4, image_url={"from": "job0"}, fame=1)])
        assert [problem.where for problem in caught.value.problems if not problem.warning][:3] == [
            "job number 2", "job number 3", "job number 4",
        ]  # fmt: skip
        assert "job number 2, 4: duration" in str(caught.value)
        assert counts(dsn) == {}
        with pytest.raises(InvalidJobs, match=r"^job 'job0': duration"):
            await jobs.add(job(0, duration=7))


async def test_while_many_jobs_are_checked_others_have_their_turn(dsn: str) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with JobList(dsn) as jobs, anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        with pytest.raises(InvalidJobs):
            await jobs.add("a prompt alone" for _ in range(5000))
        assert turns > 2
        tasks.cancel_scope.cancel()


@for_each(
    ("given", "named"),
    [
        ({"dsn": None}, "dsn is None: expected text"),
        ({"dsn": " "}, "dsn is empty"),
        ({"dsn": "\udcff"}, "dsn is empty or no text"),
        ({"service": "klin"}, "did you mean 'kling'"),
        ({"output": 5}, "output is 5: expected the name of a folder"),
        ({"strict": "no"}, "strict is 'no': expected True or False"),
        ({"local_files": "no"}, "local_files is 'no': expected True or False"),
    ],
)
def test_an_argument_of_a_list_that_cannot_be_right_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        JobList(**{"dsn": "postgresql://127.0.0.1:9/db", **given})


async def test_a_damaged_row_is_its_own_job_s_error_and_holds_up_nobody_who_waits_for_others(dsn: str) -> None:
    from tests.distributed.test_shared_account import ask

    ends = "UPDATE aimlvideo_jobs SET stage = CASE id WHEN 'job2' THEN 'in_doubt' ELSE 'saved' END, owner = NULL"
    damaged = "generation_id = 'g', file = 'a.mp4', polls = CASE id WHEN 'job0' THEN 1 ELSE -1 END"
    async with JobList(dsn) as jobs:
        await jobs.add([job(number) for number in range(3)])
        await anyio.to_thread.run_sync(ask, dsn, f"{ends}, {damaged} RETURNING id")
        with anyio.fail_after(10):
            results = {result.job.id: result async for result in jobs.results()}
        assert results["job0"].ok
        for name in ("job1", "job2"):
            with pytest.raises(JournalError, match=f"job '{name}' is damaged in the database"):
                results[name].or_raise()


async def test_a_list_that_two_tasks_open_at_once_is_opened_by_one_of_them(dsn: str) -> None:
    jobs = JobList(dsn)
    opened = await asyncio.gather(jobs.__aenter__(), jobs.__aenter__(), return_exceptions=True)
    assert sorted(type(one).__name__ for one in opened) == ["JobList", "SettingsError"]
    with pytest.raises(SettingsError, match="open already"):
        await jobs.__aenter__()
    assert await jobs.add(job(0)) == "job0"
    await jobs.__aexit__(None, None, None)


async def test_nothing_is_added_to_a_list_of_another_service(dsn: str) -> None:
    with open_sync_journal(dsn) as journal:
        journal.note(SERVICE, "kling")
    async with JobList(dsn) as jobs:
        with pytest.raises(SettingsError, match="started with service 'kling'"):
            await jobs.add(job(0))
    assert counts(dsn) == {}


async def test_results_come_as_they_end_and_end_with_the_last(dsn: str) -> None:
    from tests.distributed.test_shared_account import ask

    async with JobList(dsn) as jobs:
        await jobs.add([job(n) for n in range(3)])
        seen: list[str] = []
        steps = [
            "UPDATE aimlvideo_jobs SET stage = 'saved', file = 'a.mp4' WHERE id = 'job1' RETURNING id",
            "UPDATE aimlvideo_jobs SET stage = 'failed', error = 'Rejected: no' WHERE id = 'job0' RETURNING id",
            "UPDATE aimlvideo_jobs SET stage = 'in_doubt', owner = NULL WHERE id = 'job2' RETURNING id",
        ]
        await anyio.to_thread.run_sync(ask, dsn, steps[0])
        with anyio.fail_after(10):
            async for result in jobs.results():
                seen.append(f"{result.job.id} {result.stage} {type(result.error).__name__}")
                if len(seen) < 3:
                    await anyio.to_thread.run_sync(ask, dsn, steps[len(seen)])
        assert seen == ["job1 saved NoneType", "job0 failed Rejected", "job2 in_doubt InDoubt"]


async def test_a_list_that_cannot_be_used_says_why_without_the_password(dsn: str) -> None:
    with pytest.raises(DatabaseAway) as away:
        async with JobList("postgresql://u:sesame@127.0.0.1:9/db"):
            pass
    assert "sesame" not in str(away.value)
    with pytest.raises(SettingsError) as wrong:
        async with JobList("postgresql//u:sesame@127.0.0.1:9/db"):
            pass
    assert "sesame" not in str(wrong.value)
    with pytest.raises(SettingsError, match="not open"):
        await JobList(dsn).status("x")
    from tests.distributed.test_shared_account import ask

    await anyio.to_thread.run_sync(lambda: ask(dsn, "UPDATE aimlvideo_facts SET value = '99' RETURNING 1"))
    with pytest.raises(JournalError, match="newer version"):
        async with JobList(dsn):
            pass


@pytest.mark.parametrize("picture", ["secret.png", "/etc/hostname", "~/.ssh/id_rsa", "file:///etc/hostname"])
async def test_a_list_for_strangers_takes_no_job_that_names_a_file(dsn: str, tmp_path: Path, picture: str) -> None:
    with_picture = "kling-video/v1.6/standard/image-to-video"
    async with JobList(dsn, local_files=False) as jobs:
        with pytest.raises(InvalidJobs, match="local_files=False"):
            await jobs.add(with_picture, prompt="a", image_url=picture)
        assert await jobs.add(with_picture, prompt="a", image_url="https://pictures.example.com/a.png")
        assert (await jobs.account()).jobs == {"planned": 1}


async def test_who_waits_for_a_job_that_the_list_does_not_have_is_told_at_once(dsn: str) -> None:
    async with JobList(dsn) as jobs:
        with pytest.raises(UsageError, match="no job 'nobody' in this list"), anyio.fail_after(PATIENCE):
            await jobs.wait("nobody")


async def test_a_list_that_is_not_open_says_so_whatever_is_asked_of_it(dsn: str) -> None:
    jobs = JobList(dsn)
    for _ in range(2):
        with pytest.raises(SettingsError, match="not open"):
            await jobs.add(job(0))
        with pytest.raises(SettingsError, match="not open"):
            [result async for result in jobs.results()]
        async with jobs:
            assert await jobs.status("job0") is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((job(0),), "duration stands beside a job: expected it in the job, or after a model's id"),
        (([job(0)],), "duration stands beside a job"),
    ],
)
async def test_parameters_beside_a_job_are_refused_and_not_left_out(dsn: str, given: Any, named: str) -> None:
    async with JobList(dsn) as jobs:
        with pytest.raises(UsageError, match=named):
            await jobs.add(*given, duration=10)
        assert counts(dsn) == {}


async def test_what_is_no_id_of_a_job_is_said_to_be_none_and_is_no_fault_of_the_database(dsn: str) -> None:
    async with JobList(dsn) as jobs:
        await jobs.add(job(0))
        for never in ("job0\0", "job\ud800"):
            assert await jobs.status(never) is None
            with pytest.raises(UsageError, match="there is no job 'job"):
                await jobs.wait(never)
        for wrong in (None, 0, ["job0"], VideoJob(**job(0))):
            with pytest.raises(UsageError, match="expected the id of a job, as text"):
                await jobs.status(wrong)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="expected the id of a job, as text"):
                await jobs.wait(wrong)  # type: ignore[arg-type]
        for wrong in (None, 5, b"job0"):
            with pytest.raises(UsageError, match="expected a model's id, a VideoJob, a dict, or a list of jobs"):
                await jobs.add(wrong)  # type: ignore[call-overload]


async def test_connections_that_were_cut_while_nobody_asked_are_no_reason_for_not_answering(dsn: str) -> None:
    async with JobList(dsn) as jobs:
        name = await jobs.add(job(0))
        assert await jobs.status(name)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as db:
            await db.execute(OTHERS_OUT)
        found = await jobs.status(name)
        assert found is not None
        assert found.stage is Stage.PLANNED
