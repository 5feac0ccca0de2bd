"""What a run gives goes through a real process pool and comes back as it was: jobs, results, errors, generations."""

from __future__ import annotations

import inspect
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aimlvideo import Stage, VideoJob, errors
from aimlvideo.core.jobs.progress import ClipFile, Progress, Record
from aimlvideo.core.jobs.result import Result
from aimlvideo.core.wires.base import Generation
from aimlvideo.errors import InvalidJobs, Problem, VideoError
from tests.fakes import JOB, FakeClient, FakeService

pytestmark = pytest.mark.real_time

ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, VideoError) and kind is not InvalidJobs
]


def same(value: Any) -> Any:
    return value


def raised(error: VideoError) -> None:
    raise error


def made(kind: type[VideoError]) -> VideoError:
    """Return an error with all that its class can hold."""
    sample = {"status": 429, "code": 7, "request_id": "r", "generation_id": "g", "field": "prompt", "retry_after": 2.5}
    names = inspect.signature(kind.__init__).parameters
    return kind("what happened", **{name: value for name, value in sample.items() if name in names})


@pytest.fixture(scope="module")
def pool() -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_every_error_comes_back_whole_as_a_value_and_as_what_is_raised(pool: Any) -> None:
    for error in (*map(made, ERRORS), InvalidJobs([Problem("prompt", "text", "7", job="a")])):
        back = pool.submit(same, error).result()
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert vars(back) == vars(error)
        with pytest.raises(type(error)) as caught:
            pool.submit(raised, error).result()
        assert str(caught.value) == str(error)


def test_jobs_results_and_generations_come_back_equal(pool: Any) -> None:
    job = VideoJob("m", id="a", prompt="x", image_list=[Path("a.png"), b"raw"]).with_base_folder("/tmp/jobs")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    progress = Progress(Stage.SAVED, generation_id="g", files=(ClipFile("a.mp4", 1, "00"),), poll_ages=b"\1")
    result = Result(job, Stage.SAVED, "g", "https://a.example/a.mp4", Path("a.mp4"), None, 0.5, 3, now, now, now)
    for value in (job, Record(job, progress), result, Generation("g", status="completed")):
        assert pool.submit(same, value).result() == value


async def test_a_result_of_a_run_goes_without_its_client_and_says_so_when_it_is_to_be_saved(pool: Any) -> None:
    async with FakeClient(FakeService(seconds=0.1), poll="every:0.1") as client:
        result = await client.generate(**JOB)
    back = pool.submit(same, result).result()
    assert back == result
    with pytest.raises(VideoError, match="has no clip to save: it came without its client"):
        await back.save("clip.mp4")
