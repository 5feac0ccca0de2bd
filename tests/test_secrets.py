"""No secret that somebody writes beside a job is kept, shown or sent: not in one file of the folder, nor in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimlvideo import Answer, FunctionTransport, Request, VideoClient
from aimlvideo.cli.app import app
from aimlvideo.core.catalog.catalog import load_catalog
from aimlvideo.core.catalog.validation import check
from aimlvideo.core.formatting import redact_for_display
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.recipe import recipe_of
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import VideoError
from aimlvideo.views.report.job_json import job_json
from tests.cases import for_each

TEXT, PICTURE = "alibaba/wan-2-6-t2v", "kling-video/v1.6/pro/image-to-video"
SECRET = "hush-4711-hush"
NAMED: list[dict[str, Any]] = [
    {"api_key": SECRET},
    {"Authorization": f"Bearer {SECRET}"},
    {"token": SECRET},
    {"secret_key": SECRET},
    {"X-API-Key": SECRET},
    {"KLING_ACCESS_KEY": SECRET},
    {"password": SECRET},
    {"headers": {"authorization": SECRET}},
]
LINKED = [f"https://user:{SECRET}@host.test/a.png", f"https://host.test/a.png?api_key={SECRET}"]


def broken(request: Request) -> Answer:
    """Take every job, and fail it with words that repeat what was sent."""
    if request.method == "POST":
        assert SECRET not in json.dumps({**json.loads(request.body), "image_url": ""})
        return Answer.of({"id": json.loads(request.body).get("image_url", "g"), "status": "queued"}, 201)
    return Answer.of({"id": "g", "status": "error", "error": {"name": "x", "message": f"no picture at {LINKED}"}})


async def test_a_secret_among_a_job_s_parameters_is_in_no_file_and_no_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    jobs = [{"id": f"job{number}", "model": TEXT, "prompt": "x", **named} for number, named in enumerate(NAMED)]
    client = VideoClient(transport=FunctionTransport(broken), poll="every:1")
    async with client, client.run(jobs, tmp_path) as results:
        came = [result async for result in results]
    assert len(came) == len(NAMED)
    assert all("no secret: it is not a parameter of the model" in str(result.error) for result in came)
    assert SECRET not in repr(came)
    assert SECRET not in caplog.text
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file


async def test_a_password_or_a_key_in_a_link_is_in_no_message_no_result_and_no_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    jobs = [{"id": str(number), "model": PICTURE, "prompt": "x", "image_url": url} for number, url in enumerate(LINKED)]
    client = VideoClient(transport=FunctionTransport(broken), poll="every:1")
    async with client, client.run(jobs, tmp_path) as results:
        errors = [str(result.error) async for result in results]
    assert errors
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    said = CliRunner().invoke(app, ["status", str(tmp_path)]).output
    page = (tmp_path / "report.html").read_text() + (tmp_path / "results.jsonl").read_text()
    for text in (*errors, said, page, caplog.text):
        assert SECRET not in text


@for_each("named", NAMED)
def test_a_file_with_a_secret_is_refused_before_a_folder_is_made(named: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "jobs.jsonl"
    source.write_text(json.dumps({"model": TEXT, "prompt": "x", **named}))
    words = ["run", str(source), "-o", str(tmp_path / "out"), "--base-url", "http://127.0.0.1:9", "--api-key", "k"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "no secret: it is not" in refused.output
    assert SECRET not in refused.output
    assert not (tmp_path / "out").exists()


@for_each("named", NAMED)
def test_a_secret_that_an_earlier_release_wrote_down_is_in_no_page_and_no_recipe(named: dict[str, Any]) -> None:
    job = VideoJob(TEXT, id="a", prompt="waves", duration=5, **named)
    shown = json.dumps(job_json(job, Progress(Stage.FAILED))) + recipe_of(job, Progress(Stage.SAVED))
    assert SECRET not in shown
    assert shown.count("duration") == 2


def test_no_parameter_of_any_model_is_taken_for_a_secret() -> None:
    catalog = load_catalog()
    for model in catalog:
        params = dict.fromkeys(model.params, "x")
        problems = check(VideoJob(model.id, **params), catalog, service=model.service).problems
        assert not [problem for problem in problems if "secret" in problem.expected]


def test_a_ring_bearer_stays_in_a_prompt() -> None:
    assert redact_for_display("A ring bearer walking down the aisle") == "A ring bearer walking down the aisle"
    assert redact_for_display("Authorization: Bearer abc123def456") == "Authorization: Bearer …"


KEY = "sk-nobody-may-see-this-0123456789"


def local_variables(error: BaseException | None) -> Iterator[str]:
    """Give what pytest -l, rich and error trackers print of an error: the variables of our own frames and below."""
    while error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if frame.f_code.co_filename != __file__:
                yield from (f"{frame.f_code.co_qualname} {name}: {value!r}" for name, value in frame.f_locals.items())
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__


async def _no_connection() -> None:
    async with VideoClient(KEY, "http://127.0.0.1:1") as client:
        await client.status("g")


async def _wrong_setting() -> None:
    VideoClient(KEY, callback_secret=f"whsec_{KEY}", rate=-1)


async def _wrong_key_of_the_environment() -> None:
    VideoClient(poll="every:x")


async def _official() -> None:
    async with VideoClient(f"access:{KEY}", "http://127.0.0.1:1", "kling-official") as client:
        await client.status("g")


@pytest.mark.own_sockets
@for_each("work", [_no_connection, _wrong_setting, _wrong_key_of_the_environment, _official])
async def test_no_variable_of_a_traceback_shows_the_key(
    work: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMLAPI_API_KEY", KEY)
    with pytest.raises(VideoError) as raised:
        await work()
    shown = list(local_variables(raised.value))
    assert len(shown) > 3
    assert [text[:200] for text in shown if KEY in text or "Bearer" in text] == []
