"""What the service is asked about generations before jobs are tried again."""

from __future__ import annotations

import asyncio

import pytest

from aimlvideo.cli import session
from aimlvideo.cli.generation_check import PARALLEL_QUESTIONS, completed_since
from aimlvideo.cli.options import ServiceOptions
from aimlvideo.core.jobs.job import Progress, Record, VideoJob
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import GenerationFailed
from tests.fakes import JOB, FakeClient, FakeService, answer


def test_any_number_of_failed_jobs_are_asked_about_by_a_few_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    service, tasks = FakeService(), []

    def checked(name: str) -> Answer:
        tasks.append(len(asyncio.all_tasks()))
        return answer(200, {"id": name, "status": "generating" if name == "gen-7" else "error", "error": "no paint"})

    monkeypatch.setattr(service, "_check", checked)
    monkeypatch.setattr(session, "VideoClient", lambda **settings: FakeClient(service, **settings))
    failed = [
        Record(
            VideoJob(**{**JOB, "id": f"job{number}"}),
            Progress(Stage.FAILED, generation_id=f"gen-{number}", error=GenerationFailed("no paint")),
        )
        for number in range(500)
    ]
    settings = ServiceOptions(api_key="k").client_options()
    del settings["api_key"], settings["base_url"]
    assert completed_since(failed, settings) == ({"job7"}, set())
    assert len(tasks) == 500
    assert max(tasks) <= PARALLEL_QUESTIONS + 15
