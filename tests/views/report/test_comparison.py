"""The comparison of a run's clips: one prompt in a row, side by side, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo.core.jobs.file_names import REPORT
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.jobs.templates import MATRIX
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.report.report_file import write_report
from tests.views.report.test_page import until

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

Opened = Callable[..., Any]
MODELS = ("alibaba/wan-2-6-t2v", "openai/sora-2-t2v", "google/veo-3.1-t2v")
PROMPTS = ("Dunes at dusk", "<b>Two</b> moons", "A harbour", "Snow")
TITLES = "[...document.querySelectorAll('.prompt-of-row')].map((one) => one.textContent)"
LABELS = "[...document.querySelector('.compared').querySelectorAll('b')].map((one) => one.textContent)"


def compared_run(folder: Path, jobs: list[VideoJob], clip: Path, *, matrix: bool = True) -> str:
    folder.mkdir()

    async def write() -> None:
        async with open_journal(folder / "journal.sqlite3") as journal:
            if matrix:
                journal.note(MATRIX, "yes")
            for number, job in enumerate(jobs):
                journal.plan(job)
                os.link(clip, folder / f"{job.id}.mp4")
                journal.step(job, Progress(
                    Stage.SAVED, generation_id=f"g{number}", submitted_at=1e9, completed_at=1e9 + 30 - number,
                    saved_at=1e9 + 40, cost_usd=0.1 * (number % 5 + 1), file=f"{job.id}.mp4", bytes=1000 + number,
                ))  # fmt: skip

    with ThreadPoolExecutor(1) as thread:  # the browser's own has a loop that runs
        thread.submit(anyio.run, write).result()
    write_report(folder)
    return (folder / REPORT).as_uri()


@pytest.fixture(scope="module")
def three_by_four(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> str:
    jobs = [
        VideoJob(model, id=f"take-{at:02}", prompt=prompt, duration=5)
        for at, (model, prompt) in enumerate(product(MODELS, PROMPTS), 1)
    ]
    return compared_run(tmp_path_factory.mktemp("compared") / "run", jobs, clip)


def test_one_prompt_stands_in_a_row_with_price_time_and_size(opened: Opened, three_by_four: str) -> None:
    page = opened(three_by_four)
    page.click("#tab-comparison")
    assert page.evaluate(TITLES) == list(PROMPTS)
    assert page.evaluate(LABELS) == list(MODELS)
    facts = page.evaluate("[...document.querySelectorAll('.figures')][0].textContent")
    assert facts == "$0.1030 s1 kB"
    assert page.locator("#comparison-totals tbody tr").count() == 3


def test_clips_of_a_row_play_in_step_and_stop_together(opened: Opened, three_by_four: str) -> None:
    page = opened(three_by_four)
    page.click("#tab-comparison")
    page.click(".compared .in-step button")
    films = "[...document.querySelector('.compared').querySelectorAll('video')]"
    until(page, f"{films}.every((film) => film.currentTime > 0.3)")
    page.click(".compared .in-step button")
    until(page, f"{films}.every((film) => film.paused)")
    moments = page.evaluate(f"{films}.map((film) => film.currentTime)")
    assert max(moments) - min(moments) < 0.5


def test_rows_and_columns_are_sorted(opened: Opened, three_by_four: str) -> None:
    page = opened(three_by_four)
    page.click("#tab-comparison")
    page.select_option("#row-order", "took")
    assert page.evaluate(TITLES) == list(reversed(PROMPTS))
    page.select_option("#column-order", "took")
    assert page.evaluate(LABELS) == list(reversed(MODELS))


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_the_comparison_fits_the_window_in_both_themes(
    opened: Opened, three_by_four: str, width: int, theme: str
) -> None:
    page = opened(three_by_four, width=width, theme=theme)
    page.click("#tab-comparison")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".cell").first.bounding_box()["width"] > 150
    boxes = [cell.bounding_box() for cell in page.locator("#comparison-totals td").all()]
    assert max(box["x"] + box["width"] for box in boxes) <= width


def test_seeds_and_prompts_are_compared_too(opened: Opened, tmp_path: Path, clip: Path) -> None:
    seeds = [VideoJob(MODELS[0], id=f"s{seed}", prompt="Waves", seed=seed) for seed in (1, 2)]
    page = opened(compared_run(tmp_path / "seeds", seeds, clip))
    page.click("#tab-comparison")
    assert page.evaluate(LABELS) == ["seed 1", "seed 2"]
    prompts = [VideoJob(MODELS[0], id=f"p{at}", prompt=prompt) for at, prompt in enumerate(PROMPTS)]
    page = opened(compared_run(tmp_path / "prompts", prompts, clip))
    page.click("#tab-comparison")
    assert page.evaluate(LABELS) == list(PROMPTS)


def test_a_run_that_compares_nothing_has_no_such_tab(opened: Opened, tmp_path: Path, clip: Path) -> None:
    jobs = [VideoJob(MODELS[0], id=f"j{at}", prompt=prompt) for at, prompt in enumerate(PROMPTS)]
    page = opened(compared_run(tmp_path / "plain", jobs, clip, matrix=False))
    assert not page.is_visible("#tab-comparison")
