"""A job that moderation refused is not sent again as it was: only where a file that it names has changed since."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress, Record
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import ContentRefused, GenerationFailed
from aimlvideo.pipeline.retries import is_still_refused

REFUSED_AT = 1_000_000.0


def is_refused(folder: Path, error: Exception, **params: Any) -> bool:
    job = VideoJob("m", id="a", prompt="waves", **params).with_base_folder(folder)
    progress = Progress(Stage.FAILED, submitted_at=REFUSED_AT, error=error)  # type: ignore[arg-type]
    return is_still_refused(Record(job, progress))


def test_a_refused_job_may_be_sent_again_when_one_of_its_files_was_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    error = ContentRefused("the picture was refused", field="image_url")
    for params in (
        {"image_url": "a.png"},
        {"image_list": ["https://x/y.png", "a.png"]},
        {"shots": [{"image": "a.png"}]},
    ):
        os.utime(tmp_path / "a.png", (REFUSED_AT - 1, REFUSED_AT - 1))
        assert is_refused(tmp_path, error, **params)
        os.utime(tmp_path / "a.png", (REFUSED_AT + 1, REFUSED_AT + 1))
        assert not is_refused(tmp_path, error, **params)


def test_what_failed_for_another_reason_may_be_sent_again(tmp_path: Path) -> None:
    assert not is_refused(tmp_path, GenerationFailed("out of memory"))
    assert is_refused(tmp_path, ContentRefused("the prompt was refused", field="prompt"))
