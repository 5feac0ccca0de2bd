"""The Python face, used in ways that cannot work: each says what to do, sends nothing, and loses nothing."""

from __future__ import annotations

import ast
import asyncio
import copy
import datetime
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import Answer, FunctionTransport, Request, VideoClient, VideoJob
from aimlvideo.errors import InvalidJobs, JournalError, SettingsError, UsageError, VideoError
from tests.cases import for_each
from tests.fakes import JOB, FakeClient, FakeService

MODEL = "alibaba/wan-2-6-t2v"
JOBS: list[dict[str, Any]] = [{"id": name, "model": MODEL, "prompt": name} for name in ("a", "b")]


class Service:
    """Answers with clips that are ready at once, and counts what is bought."""

    def __init__(self) -> None:
        self.bought = 0

    def __call__(self, request: Request) -> Answer:
        self.bought += request.method == "POST"
        if request.method == "POST":
            return Answer.of({"id": f"g{self.bought}", "status": "queued"}, 201)
        return Answer.of({"id": "g", "status": "completed", "video": {"url": "https://x.test/clip.mp4"}})


@pytest.fixture
def service() -> Service:
    return Service()


def client_of(service: Service, **settings: Any) -> Any:
    """Return a client without its types: a type checker knows most of these mistakes."""
    return VideoClient(transport=FunctionTransport(service), **{"poll": "every:1", **settings})


async def _await_run(client: Any) -> None:
    await client.run(JOBS)


async def _read_run(client: Any) -> None:
    async for _ in client.run(JOBS):
        pass


async def _read_run_plainly(client: Any) -> None:
    for _ in client.resume("out"):
        pass


async def _open_run_plainly(client: Any) -> None:
    with client.run(JOBS):
        pass


@for_each("misuse", [_await_run, _read_run, _read_run_plainly, _open_run_plainly])
async def test_a_run_that_is_not_opened_says_how_and_sends_nothing(
    service: Service, misuse: Callable[[Any], Awaitable[None]]
) -> None:
    async with client_of(service) as client:
        with pytest.raises(UsageError, match=r"nothing was sent: `async with client\.run"):
            await misuse(client)
    assert service.bought == 0


async def test_a_run_that_is_forgotten_is_named_in_a_warning_and_in_the_cell_of_a_notebook(service: Service) -> None:
    async with client_of(service) as client:
        runs = [client.run(JOBS)]
        assert "has not begun: `async with client.run(jobs) as results:`" in repr(runs[0])
        with pytest.warns(RuntimeWarning, match="never opened, so nothing was sent"):
            runs.clear()
    assert service.bought == 0


async def test_a_run_is_opened_once(service: Service) -> None:
    async with client_of(service) as client:
        run = client.run(JOBS)
        async with run as results:
            assert len([result async for result in results]) == 2
        with pytest.raises(UsageError, match="used once: call it again"):
            async with run:
                pass
    assert service.bought == 2


async def test_results_are_read_once_and_by_async_for(service: Service) -> None:
    async with client_of(service) as client, client.run(JOBS) as results:
        for read in (lambda: iter(results), results.__await__):
            with pytest.raises(UsageError, match="async for result in results"):
                read()
        async for _ in results:
            break
        assert len([result async for result in results]) == 1, "one that was left goes on where it was"
        with pytest.raises(UsageError, match="were read to their end before"):
            await results.to_frame()


async def test_a_client_that_is_not_open_says_how_it_is_opened(service: Service) -> None:
    client = client_of(service)
    with pytest.raises(SettingsError, match="async with VideoClient"):
        await client.generate(MODEL, prompt="x")
    with pytest.raises(SettingsError, match="opened by `async with"):
        await client
    with pytest.raises(SettingsError, match="opened by `async with"), client:
        pass
    async with client:
        pass
    with pytest.raises(SettingsError, match="inside that block"):
        await client.generate(MODEL, prompt="x")
    assert service.bought == 0


async def _generator_function() -> AsyncIterator[dict[str, Any]]:
    for job in JOBS:
        yield job


async def _coroutine() -> list[dict[str, Any]]:
    return JOBS


@for_each(
    ("jobs", "said"),
    [
        (JOBS[0], "a single job.*client.generate"),
        (VideoJob(MODEL, prompt="x"), "a single job.*client.generate"),
        (_generator_function, "is a function: call it"),
        (_coroutine, "is a function: call it"),
        (None, "of type NoneType: expected a list of jobs"),
        (5, "of type int: expected a list of jobs"),
        (b"jobs.csv", "of type bytes: expected a list of jobs"),
        ("a fox runs", "a fox runs cannot be read: .*; expected the name of a job file"),
        (Path("nope.csv"), "nope.csv cannot be read: .*; expected the name of a job file"),
    ],
)
async def test_what_is_no_source_of_jobs_is_refused_before_a_folder_is_made(
    service: Service, tmp_path: Path, jobs: Any, said: str
) -> None:
    async with client_of(service) as client:
        with pytest.raises(UsageError, match=said):
            async with client.run(jobs, tmp_path / "out"):
                pass
    assert not (tmp_path / "out").exists()


async def test_a_coroutine_of_jobs_is_to_be_awaited_first(service: Service) -> None:
    async with client_of(service) as client:
        with pytest.raises(UsageError, match="is a coroutine: await it first"):
            async with client.run(_coroutine()):
                pass


async def test_a_line_that_is_no_job_fails_alone_and_the_others_are_made(service: Service) -> None:
    array = type("Array", (), {"__bool__": lambda _: int("an array has no truth of its own")})()
    no_texts = [{"model": array}, {"model": MODEL, "id": array}, {"id": " ", "model": 7}]
    lines: list[Any] = [None, JOBS[0], "a fox", 5, {"model": MODEL, 7: "x"}, ["a"], *no_texts, JOBS[1]]
    async with client_of(service) as client, client.run(lines) as results:
        came = [result async for result in results]
    assert sorted(result.job.id for result in came if result.ok) == ["a", "b"]
    errors = [result.error for result in came if not result.ok]
    assert len(errors) == 8
    assert all(isinstance(error, InvalidJobs) for error in errors)
    assert any("'a fox'" in str(error) for error in errors)
    assert service.bought == 2


async def test_a_model_that_is_no_text_fails_its_job_alone_however_it_is_bought(service: Service) -> None:
    async with client_of(service) as client:
        for model in (None, 5, [], b"x"):
            for call in (client.generate, client.submit):
                with pytest.raises(InvalidJobs, match="model: the id of a model, as text, got "):
                    await call(model, prompt="waves")
            jobs = [VideoJob(model, id="no text"), {"id": "no text", "model": model or 5}, JOBS[0]]  # type: ignore[arg-type]
            async with client.run(jobs) as results:
                errors = [result.error async for result in results]
            assert [type(error) for error in errors if error] == [InvalidJobs] * 2
    assert service.bought == 4


async def _resume(client: Any, **options: Any) -> None:
    async with client.resume(**options):
        pass


async def _run(client: Any, **options: Any) -> None:
    async with client.run(JOBS, **options):
        pass


async def _call(method: Any, *arguments: Any) -> None:
    answer = method(*arguments)
    if isinstance(answer, Awaitable):
        await answer


@for_each(
    ("argument", "use"),
    [
        ("id", lambda client: client.generate(MODEL, prompt="x", id="")),
        ("id", lambda client: client.submit(MODEL, prompt="x", id=object())),
        ("retry_failed", lambda client: _resume(client, retry_failed="no")),
        ("verify", lambda client: _resume(client, verify=0)),
        ("run", lambda client: _resume(client, run="1")),
        ("progress", lambda client: _run(client, progress="no")),
        ("model", lambda client: client.wait("g1", model=["m"])),
        ("since", lambda client: client.read_log("yesterday")),
        ("since", lambda client: client.read_log(float("nan"))),
        ("question", lambda client: client.send("/v2/models")),
        ("tries", lambda client: client.send(Request("GET", "/v2/models"), tries=True)),
        ("names", lambda client: client.learn_models(MODEL)),
        ("names", lambda client: client.learn_models(b"m")),
        ("prices", lambda client: _call(client.use_prices, None)),
        ("job", lambda client: _call(client.price, JOBS[0])),
        ("the question's path", lambda client: client.send(Request("GET", 5))),  # type: ignore[arg-type]
        ("run", lambda client: _resume(client, run=2**63)),
        ("since", lambda client: client.read_log(10**400)),
        ("a name in headers", lambda client: _call(client.callback, b"{}", {b"webhook-id": b"1"})),
        (r"headers\['webhook-id'\]", lambda client: _call(client.callback, b"{}", {"webhook-id": ["1"]})),
        ("body", lambda client: _call(client.callback, 5)),
        ("headers", lambda client: _call(client.callback, b"{}", "signature")),
    ],
)
async def test_an_argument_of_another_type_is_named_and_sends_nothing(
    service: Service, argument: str, use: Callable[[Any], Awaitable[None]]
) -> None:
    async with client_of(service) as client:
        with pytest.raises(UsageError, match=rf"^{argument} is .*: expected "):
            await use(client)
    assert service.bought == 0


async def test_a_call_whose_text_cannot_be_written_as_bytes_is_nobodys(service: Service) -> None:
    async with client_of(service) as client:
        assert not client.callback("\udcff")


@for_each("job_id", [object(), lambda: "a", ["a"], {"a": 1}, b"a", True, VideoJob])
async def test_an_id_that_may_be_another_one_in_each_process_buys_nothing(job_id: Any) -> None:
    service = Service()
    with pytest.raises(InvalidJobs, match="id: text or a number, got"):
        VideoJob(MODEL, id=job_id, prompt="x")
    async with client_of(service) as client, client.run([{**JOBS[0], "id": job_id}, JOBS[1]]) as results:
        ended = [(type(result.error), result.ok) async for result in results]
    assert sorted(ended, key=str) == [(type(None), True), (InvalidJobs, False)]
    assert service.bought == 1


async def test_two_clips_of_the_id_zero_are_one(service: Service) -> None:
    async with client_of(service) as client:
        assert (await client.generate(MODEL, prompt="x", id=0)).job.id == "0"


@for_each("identity", [None, "", " ", "g\r", "g 1", "\udcff", 7, ["g"], VideoJob(MODEL, prompt="x")])
async def test_what_is_no_id_is_not_asked_for(service: Service, identity: Any) -> None:
    async with client_of(service) as client:
        for ask in (client.wait, client.status):
            with pytest.raises(UsageError, match=r"the id of a generation is .*: expected text"):
                await ask(identity)


async def test_a_generation_in_place_of_its_id_says_which_part_is_meant(service: Service) -> None:
    async with client_of(service) as client:
        generation = await client.submit(MODEL, prompt="x")
        with pytest.raises(UsageError, match="pass its `id`"):
            await client.wait(generation)
        result = await client.wait(generation.id)
        with pytest.raises(UsageError, match="pass its `generation_id`"):
            await client.status(result)


async def test_parameters_inside_a_dict_are_refused_as_they_would_be_ignored(service: Service) -> None:
    async with client_of(service) as client:
        with pytest.raises(InvalidJobs, match="stand beside its model: duration"):
            await client.generate(MODEL, prompt="x", params={"duration": 10})
    assert service.bought == 0


async def test_a_clip_is_not_saved_over_a_folder_and_no_folder_gets_a_clip_s_name(
    service: Service, tmp_path: Path
) -> None:
    async with client_of(service) as client:
        with pytest.raises(SettingsError, match="looks like a clip's file: expected a folder"):
            await client.generate(MODEL, prompt="x", output=tmp_path / "clip.mp4")
        with pytest.raises(SettingsError, match="begins with ~, which no shell has replaced: expected a whole path"):
            await client.generate(MODEL, prompt="x", output="~/clips")
        with pytest.raises(SettingsError, match="is a file: expected a folder"):
            await client.generate(MODEL, prompt="x", output=__file__)
        with pytest.raises(SettingsError, match="output is of type int: expected the name of a folder"):
            await client.generate(MODEL, prompt="x", output=5)
        assert service.bought == 0
        result = await client.generate(MODEL, prompt="x")
        with pytest.raises(SettingsError, match="is a folder: expected the clip's file"):
            await result.save(tmp_path)
        with pytest.raises(UsageError, match="of type int: expected text or a path"):
            await result.save(5)
    assert not list(tmp_path.iterdir())


async def test_a_clip_is_saved_over_no_device_and_over_no_file_of_a_run(service: Service, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "device")
    (tmp_path / "journal.sqlite3").write_text("paid")
    async with client_of(service) as client:
        result = await client.generate(MODEL, prompt="x")
        with pytest.raises(UsageError, match="a pipe, a socket or a device: expected a file"):
            await result.save(tmp_path / "device")
        for name in ("journal.sqlite3", "Results.jsonl", ".a.mp4.journal"):
            with pytest.raises(UsageError, match="a file that runs write themselves: expected another name"):
                await result.save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "journal.sqlite3"]
    assert (tmp_path / "journal.sqlite3").read_text() == "paid"


async def test_a_folder_beside_the_parameters_of_what_is_only_submitted_buys_nothing(service: Service) -> None:
    async with client_of(service) as client:
        with pytest.raises(InvalidJobs, match="output: a setting of the client or of a run"):
            await client.submit(MODEL, prompt="x", output="clips/")
    assert service.bought == 0


@for_each("limit", ["5", True, float("nan"), -1, 10**400, datetime.timedelta(1)])
async def test_a_limit_that_is_no_amount_is_refused(service: Service, limit: Any) -> None:
    async with client_of(service) as client:
        with pytest.raises(SettingsError, match="expected US dollars, 0 or more"):
            async with client.run(JOBS, max_spend=limit):
                pass


@for_each(
    ("setting", "said"),
    [
        ({"timeout": datetime.timedelta(minutes=5)}, "above 0, in seconds"),
        ({"max_outstanding": -1}, "above 0, or None for as many as the service takes"),
        ({"max_outstanding": "auto"}, "or None for as many as the service takes"),
        ({"poll": 15}, "'every:SECONDS'"),
        ({"concurrency": 5}, "there is no setting 'concurrency'"),
        ({"timeout": 10**400}, "timeout is a huge number: expected a number above 0, in seconds"),
        ({"downloads": 10**400}, "downloads is a huge number: expected"),
        ({"buy_ahead": True}, "buy_ahead is True: expected a whole number"),
        ({"buy_ahead": -1}, "buy_ahead is -1: expected a whole number"),
        ({"limiters": 5}, "limiters is 5: expected"),
    ],
)
def test_a_setting_of_another_kind_says_what_is_expected(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        client_of(Service(), **setting)


def test_a_number_of_more_digits_than_python_writes_out_is_refused_as_any_other() -> None:
    huge = 10**5000
    for name in ("base_url", "service", "legacy", "journal", "poll", "timeout"):
        with pytest.raises(SettingsError, match=r"a huge number(: expected| is not a URL)"):
            VideoClient("key", **{name: huge})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="callback is a tuple with a huge number: expected"):
        client_of(Service(), callback=("host", huge))
    with pytest.raises(InvalidJobs, match="id: text or a number, got a huge number"):
        VideoJob(MODEL, id=huge, prompt="x")  # type: ignore[arg-type]


async def _read_all(client: Any, jobs: Any) -> None:
    async with client.run(jobs) as results:
        async for _ in results:
            pass


async def test_a_source_that_breaks_ends_the_run_with_its_own_error_and_names_what_was_bought(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def jobs() -> AsyncIterator[dict[str, Any]]:
        yield JOBS[0]
        await anyio.sleep(0.5)  # it is bought, and not asked about yet
        raise KeyError("user")

    async with client_of(service) as client:
        with pytest.raises(KeyError, match="user"):
            await _read_all(client, jobs())
    assert "g1" in caplog.text


async def test_the_same_lines_run_at_the_top_level_of_an_interactive_session(service: Service) -> None:
    lines = """
async with client:
    async with client.run(jobs) as results:
        ids = sorted([result.job.id async for result in results])
"""
    names: dict[str, Any] = {"client": client_of(service), "jobs": JOBS}
    await eval(compile(lines, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert names["ids"] == ["a", "b"]


async def test_results_that_are_read_after_their_block_say_so(service: Service) -> None:
    async with client_of(service) as client:
        async with client.run(JOBS) as results:
            async for _ in results:
                break
        with pytest.raises(VideoError, match="read after their `async with` block"):
            async for _ in results:
                pass


async def test_a_name_with_a_field_that_nothing_has_fails_the_jobs_before_they_are_bought(service: Service) -> None:
    jobs = [{**JOBS[0], "seed": 7}, {**JOBS[1], "sed": 7}]
    async with client_of(service) as client, client.run(jobs, name="{id} {sed}") as results:
        ended = {result.job.id: result async for result in results}
    assert "did you mean {seed}?" in str(ended["a"].error)
    assert ended["b"].ok, "its own parameters are fields"
    assert service.bought == 1


async def test_an_empty_name_is_not_the_folder_that_one_stands_in(service: Service) -> None:
    async with client_of(service) as client:
        for jobs, output in ((JOBS, ""), (JOBS, "  "), ("", "clips")):
            with pytest.raises(SettingsError, match="empty"):
                async with client.run(jobs, output=output):
                    pass


async def test_what_stands_in_itself_is_refused_however_it_is_bought(service: Service) -> None:
    circle: list[Any] = []
    circle.append(circle)
    async with client_of(service) as client:
        for buy in (client.generate, client.submit):
            with pytest.raises(InvalidJobs, match="levels of lists and objects"):
                await buy(MODEL, prompt="x", extra=circle)
    assert service.bought == 0


@for_each("name", ["a\0b", "a\ud800b"])
async def test_a_journal_of_a_name_that_no_file_can_have_is_said_in_words(service: Service, name: str) -> None:
    with pytest.raises(JournalError, match="cannot be written: "):
        async with client_of(service, journal=name):
            pass


@for_each("name", ["x" * 5000, "a\0b"])
async def test_a_name_that_no_file_can_have_is_said_in_words(service: Service, name: str) -> None:
    async with client_of(service) as client:
        clip = await client.generate(MODEL, prompt="x")
        with pytest.raises(SettingsError, match="cannot be written"):
            await clip.save(f"{name}.mp4")
        for jobs, output in ((JOBS, name), (name, None)):
            with pytest.raises(SettingsError, match="cannot be"):
                async with client.run(jobs, output=output):
                    pass


async def test_a_name_template_that_is_no_text_is_refused(service: Service) -> None:
    async with client_of(service) as client:
        with pytest.raises(SettingsError, match="is of type int"):
            async with client.run(JOBS, name=5):
                pass


async def test_a_generator_of_results_that_is_dropped_closes_its_run_and_nothing_else(service: Service) -> None:
    async with client_of(service) as client:

        async def stream() -> AsyncIterator[str]:
            async with client.run([{"model": MODEL, "prompt": str(number)} for number in range(5)]) as results:
                async for result in results:
                    yield result.job.id

        async for _ in stream():
            break
        # Nobody holds the generator now: the event loop closes it, in a task of its own.
        gc.collect(1)
        for _ in range(20):
            await asyncio.sleep(0.1)
        assert not client._runs
        assert (await client.generate(MODEL, prompt="x")).stage == "ready"


async def test_a_generator_that_opens_a_client_may_be_closed_by_another_task(service: Service) -> None:
    async def stream() -> AsyncIterator[str]:
        async with client_of(service) as client, client.run(JOBS) as results:
            async for result in results:
                yield result.job.id

    results = stream()
    assert await anext(results) in ("a", "b")
    async with asyncio.timeout(5):
        await asyncio.create_task(results.aclose())


async def test_a_source_that_breaks_says_so_to_a_reader_in_another_task_too(service: Service) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        await asyncio.sleep(1)
        raise OSError("the stick was pulled out")
        yield {}

    async def read(client: Any) -> None:
        async with client.run(source()) as results:
            reader = asyncio.create_task(anext(results))
            with pytest.raises(OSError, match="stick"):
                await asyncio.shield(reader)
            await asyncio.sleep(60)

    async with client_of(service) as client:
        with pytest.raises(OSError, match="stick"):
            await read(client)


async def test_a_source_that_is_cancelled_by_another_task_ends_the_run_and_not_the_hope_of_its_reader(
    service: Service,
) -> None:
    async def source(*, breaks: bool) -> AsyncIterator[dict[str, Any]]:
        yield JOBS[0]
        producer = asyncio.ensure_future(asyncio.sleep(3600))
        if breaks:
            producer.cancel()
        await producer

    async with client_of(service) as client:
        with pytest.raises(VideoError, match=r"what gives the jobs was cancelled.*expected the next job"):
            async with asyncio.timeout(3600):
                await _read_all(client, source(breaks=True))
        reading = asyncio.ensure_future(_read_all(client, source(breaks=False)))
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled(), "whoever is cancelled hears of nothing else"


async def test_a_body_that_reads_nothing_is_ended_by_what_breaks_the_run(service: Service) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        raise OSError("the stick was pulled out")
        yield {}

    async with client_of(service) as client:
        with pytest.raises(OSError, match="stick"):
            async with asyncio.timeout(5), client.run(source()):
                await asyncio.sleep(3600)


async def test_a_timeout_while_a_run_is_opened_leaves_nothing_open(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(service) as client:
        monkeypatch.setattr(client, "_open_place", lambda *_, **__: asyncio.sleep(3600))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), client.run(JOBS):
                pass
        monkeypatch.undo()
        async with client.run(JOBS) as results:
            assert len([result async for result in results]) == 2
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_a_client_is_no_thing_to_copy_or_to_send_to_another_process(service: Service) -> None:
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(SettingsError, match="cannot be copied or sent to another process: open one there"):
            copied(client_of(service))


async def test_a_picture_whose_link_names_no_host_is_refused_before_anything_is_sent() -> None:
    service = FakeService()
    async with FakeClient(service) as client:
        with pytest.raises(InvalidJobs, match=r"image_url: .*https:// is not a link \(it names no host\)"):
            await client.generate(JOB["model"], prompt="waves", image_url="https://")
    assert service.posted_at == []


async def test_the_url_of_a_store_that_was_made_a_path_is_no_folder_to_make(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with client_of(service) as client:
        with pytest.raises(SettingsError, match=r"s3:/bucket/run is a URL that was made a path: expected .* as text"):
            async with client.run(JOBS, output=Path("s3://bucket/run")):
                pass
    assert not list(tmp_path.iterdir())


LEFT_OPEN = """
import asyncio, gc, sys
from aimlvideo import VideoClient

async def main(is_closed):
    client = VideoClient("k", "http://127.0.0.1:9")
    await client.__aenter__()
    if is_closed:
        await client.__aexit__(None, None, None)

for is_closed in (True, False):
    asyncio.run(main(is_closed))
    gc.collect()
    print("closed:", is_closed, file=sys.stderr)
"""


def test_a_client_that_was_opened_by_hand_and_never_closed_says_what_to_do() -> None:
    # A process of its own: what asyncio says at the end of a loop would be heard by the tests that follow.
    words = [sys.executable, "-W", "default", "-c", LEFT_OPEN]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    of_a_closed_one, _, of_an_open_one = done.stderr.partition("closed: True")
    warning = "ResourceWarning: this VideoClient was never closed: open it by `async with VideoClient() as client:`"
    assert warning not in of_a_closed_one
    assert warning in of_an_open_one


def test_a_client_without_the_event_loop_of_asyncio_says_what_it_needs() -> None:
    client = VideoClient("key")
    # As another library's loop drives it, with none of asyncio's running.
    with pytest.raises(SettingsError, match="needs the event loop of asyncio"):
        client.__aenter__().send(None)
