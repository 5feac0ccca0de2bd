"""Folders of runs that never were: a journal as a run of so many jobs leaves it, and clips beside it."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from aimlvideo.core.jobs.file_names import file_name
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.errors import ContentRefused, GenerationFailed, LinkDead, Rejected, VideoError
from aimlvideo.shell.journal.sqlite import SqliteJournal, open_journal

BEGAN = 1_790_000_000.0
MODELS = (
    ("kling-video/v1.6/standard/multi-image-to-video", 127, 0.35, 0.28),
    ("kling-video/v1.6/pro/image-to-video", 212, 0.3, 0.49),
    ("alibaba/wan-2-6-t2v", 96, 0.4, 0.65),
    ("klingai/video-v3-standard-image-to-video", 68, 0.25, None),
)
PROMPTS = (
    "A ballerina dances through a harbour at dawn, slow dolly in, soft light on wet stone",
    "Dunes at dusk; the wind draws lines into the sand",
    "The old city wakes: shutters open, a cyclist crosses the square",
    "Two moons over a quiet sea, long exposure, film grain",
    "A paper lantern rises between birch trees",
)
STRANGE = (
    "<script>window.hurt = 1</script> and <img src=x onerror=hurt=1>",
    "\"quotes\" 'and' </script> & ampersands `${hurt}`",
    "Emoji 🩰🌊 and a flag 🏳️‍🌈",
    "רקדנית בנמל עם שחר، راقصة في الميناء",
)
FAILURES: tuple[VideoError, ...] = (
    ContentRefused("the prompt was refused by content moderation (code 1301)", field="prompt"),
    GenerationFailed("internal error while rendering, task 5e0a7e4c-90b1-4a7a-8f2e-0c1f6f8f7a11"),
    LinkDead("the link to the clip at cdn.example.com is dead (HTTP 403)"),
    Rejected("HTTP 400: duration: expected one of 5, 10, got 7", status=400),
)
LINK = "https://cdn.example.com/{}.mp4?Expires=1&Signature=SECRET-SIGNATURE"


def made_run(folder: Path, count: int, clips: tuple[Path, ...] = (), *, seed: int = 1) -> Path:
    """Make the folder of a run of `count` jobs; `clips` are linked in turn as its files."""
    folder.mkdir(parents=True, exist_ok=True)

    async def write() -> None:
        async with open_journal(folder / "journal.sqlite3") as journal:
            with journal.planning():
                for number, (job, steps) in enumerate(_jobs(count, random.Random(seed))):
                    _write(journal, job, steps)
                    if clips and steps[-1].stage is Stage.SAVED:
                        os.link(clips[number % len(clips)], folder / file_name(job.id))

    anyio.run(write)
    return folder


def _write(journal: SqliteJournal, job: VideoJob, steps: list[Progress]) -> None:
    journal.plan(job)
    for progress in steps:
        journal.step(job, progress)


def _jobs(count: int, chance: random.Random) -> Iterator[tuple[VideoJob, list[Progress]]]:
    slots = [0.0] * min(40, max(3, count // 8))
    for number in range(count):
        model, median, sigma, price = MODELS[number % len(MODELS)]
        prompt = STRANGE[number] if number < len(STRANGE) else chance.choice(PROMPTS)
        job = VideoJob(
            model, id=f"scene-{number:05}", prompt=f"{prompt}", duration=chance.choice((5, 10)),
            image_list=[LINK.format("in"), "pictures/harbour.png"],
        )  # fmt: skip
        start = min(slots) + chance.uniform(0, 0.3)
        took = chance.lognormvariate(math.log(median), sigma)
        slots[slots.index(min(slots))] = start + took + 1
        if count > 10 and number > count * 0.97:
            yield job, [_open(number, start)] if number % 3 else [Progress()]
        else:
            yield job, [_ended(number, (start, took), price, chance)]


def _open(number: int, start: float) -> Progress:
    return Progress(Stage.RENDERING, generation_id=f"gen-{number}", submitted_at=BEGAN + start)


def _ended(number: int, times: tuple[float, float], price: float | None, chance: random.Random) -> Progress:
    sent, looks, took = BEGAN + times[0], b"", times[1]
    for share in (0.25, 0.5, 0.72, 0.86, 0.95)[: 2 + number % 4]:
        looks = Progress(poll_ages=looks).poll_ages_with(share * took, queued=number % 5 == 0 and share == 0.25)
    known: dict[str, Any] = {
        "generation_id": f"0e1d-{number:08x}", "submitted_at": sent, "completed_at": sent + took, "poll_ages": looks,
        "polls": len(looks) // 4 + 1,
    }  # fmt: skip
    if number % 23 == 7:
        return Progress(Stage.FAILED, error=FAILURES[number // 23 % len(FAILURES)], **known)
    known |= {"saved_at": sent + took + chance.uniform(0.5, 4), "file": file_name(f"scene-{number:05}")}
    return Progress(Stage.SAVED, video_url=LINK.format(number), cost_usd=price, bytes=150_000, **known)
