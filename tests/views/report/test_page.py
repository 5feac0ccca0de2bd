"""The page from disk, in a real browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from aimlvideo import VideoClient
from aimlvideo.core.formatting import format_seconds
from aimlvideo.core.jobs.file_names import REPORT
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import ClipFile, Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.sandbox import Behaviour, Sandbox
from aimlvideo.shell.journal.sqlite import open_journal
from aimlvideo.views.report.report_file import write_report
from tests.views.report.sample_runs import STRANGE

pytestmark = [pytest.mark.browser, pytest.mark.real_time]

Opened = Callable[..., Any]
FIRST = "document.querySelectorAll('#cards h2')[0].textContent"


def until(page: Any, condition: str) -> None:
    """Return when a condition holds in the page; its policy lets nobody evaluate text there by themselves."""
    for _ in range(250):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never came true: {condition}")


def test_a_clip_plays_on_click_and_the_next_by_its_key(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri(), motion="no-preference")
    page.click(".card .thumb")
    until(page, "document.querySelector('#viewer video').currentTime > 0.2")
    before = page.text_content("#viewer-title")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#viewer-title") != before
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")


def test_every_clip_of_a_generation_can_be_seen(opened: Opened, tmp_path: Path, clip: Path) -> None:
    names = ("twins.mp4", "twins-2.mp4")
    for name in names:
        os.link(clip, tmp_path / name)

    async def write() -> None:
        async with open_journal(tmp_path / "journal.sqlite3") as journal:
            job = journal.plan(VideoJob("m", id="twins", prompt="x")).job
            files = tuple(ClipFile(name, 1, "") for name in names)
            journal.step(job, Progress(Stage.SAVED, file=names[0], files=files))

    with ThreadPoolExecutor(1) as thread:  # the browser's own has a loop that runs
        thread.submit(anyio.run, write).result()
    write_report(tmp_path)
    page = opened((tmp_path / REPORT).as_uri(), width=390)
    assert "2 clips" in page.text_content(".card .line")
    page.click(".card .thumb")
    page.click("text=Clip 2")
    until(page, "document.querySelector('#viewer video').currentSrc.endsWith('twins-2.mp4')")
    assert page.locator("#viewer dd", has_text="twins.mp4, twins-2.mp4").count() == 1


def test_what_was_paid_in_the_service_s_own_units_is_said_in_them(opened: Opened, tmp_path: Path, clip: Path) -> None:
    async def write() -> None:
        async with open_journal(tmp_path / "journal.sqlite3") as journal:
            for name, units in (("a", 1), ("b", 5)):
                os.link(clip, tmp_path / f"{name}.mp4")
                job = journal.plan(VideoJob("m", id=name, prompt="x")).job
                journal.step(job, Progress(Stage.SAVED, file=f"{name}.mp4", cost_units=units))

    with ThreadPoolExecutor(1) as thread:  # the browser's own has a loop that runs
        thread.submit(anyio.run, write).result()
    write_report(tmp_path)
    page = opened((tmp_path / REPORT).as_uri())
    spent = page.locator("#tiles div", has_text="Spent").text_content()
    assert "6 units" in spent
    assert "3 units a clip" in spent
    cards = page.text_content("#cards")
    assert "5 units" in cards
    assert "1 unit" in cards
    assert "1 units" not in cards
    assert "unknown" not in page.text_content("#cards") + spent


def test_the_prices_are_those_of_clips_and_the_sums_are_those_of_all_that_was_charged(
    opened: Opened, tmp_path: Path, clip: Path
) -> None:
    saved, failed = Progress(Stage.SAVED, file="a.mp4", bytes=1500), Progress(Stage.FAILED, request_id="r1")
    twins = (ClipFile("a.mp4", 1500, ""), ClipFile("a-2.mp4", 1500, ""))

    async def write() -> None:
        async with open_journal(tmp_path / "journal.sqlite3") as journal:
            for name, steps in {
                "a": [failed._replace(cost_usd=0.4), saved._replace(request_id="r2", cost_usd=0.3, files=twins)],
                "b": [failed._replace(cost_usd=0.0)],
                "c": [saved._replace(cost_units=1234567.5)],
            }.items():
                job = journal.plan(VideoJob("m", id=name, prompt="x")).job
                for progress in steps:
                    journal.step(job, progress)

    for name in ("a.mp4", "a-2.mp4"):
        os.link(clip, tmp_path / name)
    with ThreadPoolExecutor(1) as thread:  # the browser's own has a loop that runs
        thread.submit(anyio.run, write).result()
    write_report(tmp_path)
    page = opened((tmp_path / REPORT).as_uri())
    assert page.locator("#tiles div", has_text="Spent").text_content() == "Spent$0.70and 1,234,567.5 units"
    assert "Clips saved2of 3 · 3 clips · 5 kB" in page.text_content("#tiles")
    page.click("#tab-prices")
    cells = page.locator("#prices tbody td").all_text_contents()
    each = "$0.30 + 1,234,567.5 units"
    assert cells[1:] == ["2", "1", "\u2013", each, each, "$0.70 + 1,234,567.5 units"]


def test_the_units_of_a_failure_that_was_billed_stay_in_the_sums_when_its_job_is_tried_again(
    opened: Opened, folder: Path
) -> None:
    page = opened((folder / REPORT).as_uri())
    failed = "{ id: 'x', model: 'm', stage: 'failed', generation: 'g1', units: 5 }"
    again = "{ id: 'x', model: 'm', stage: 'saved', generation: 'g2', units: 3.5 }"
    page.evaluate(f"jobs.clear(); [{failed}, {again}, {again}].forEach(takeIn); drawTotals(); drawPrices()")
    assert page.locator("#tiles div", has_text="Spent").text_content().startswith("Spent8.5 units")
    assert page.evaluate("document.querySelector('#prices tbody td:last-child').textContent") == "8.5 units"
    assert page.evaluate("factsOf(jobs.get('x')).textContent").count("Earlier tries5 units") == 1
    planned = "{ id: 'x', model: 'm', stage: 'submitting', retry_of: 'g1' }"
    page.evaluate(f"jobs.clear(); [{failed}, {planned}, {planned}, {failed}].forEach(takeIn); drawTotals()")
    assert page.locator("#tiles div", has_text="Spent").text_content().startswith("Spent5 units")
    page.evaluate(f"jobs.clear(); [{planned}, {failed}].forEach(takeIn); drawTotals()")  # it was free when it failed
    assert page.locator("#tiles div", has_text="Spent").text_content().startswith("Spent5 units")


def test_a_time_is_said_as_the_terminal_says_it(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    for seconds in (0, 9.94, 59.6, 60.6, 119.9, 599.7, 601, 3599.9, 3600, 5400, 90e3, 4e6):
        assert page.evaluate(f"span({seconds})") == format_seconds(seconds)
    sizes = [page.evaluate(f"size({length})") for length in (1, 999, 1499, 999_700, 999_970_000)]
    assert sizes == ["1 byte", "999 bytes", "1 kB", "1.0 MB", "1.0 GB"]


def test_a_clip_whose_file_is_gone_says_so(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.evaluate("jobs.clear(); takeIn({ id: 'x', model: 'm', stage: 'saved', file: 'scene-00000.mp4' }); refilter()")
    page.evaluate("document.querySelector('.card video').dispatchEvent(new Event('error'))")
    assert "its file is not here" in page.text_content("#cards")


def test_a_clock_that_was_set_back_gives_no_time_below_zero(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    turned = "{ id: 'x', model: 'm', stage: 'saved', submitted: 50, completed: 40, saved: 39, poll_ages: [20] }"
    page.evaluate(f"jobs.clear(); takeIn({turned}); drawTotals()")
    assert "seen about 0.0 s after it was ready" in page.text_content("#tiles")
    assert page.evaluate("partsOf(jobs.get('x'), 60).every(([, start, end]) => start <= 50 && end <= 50)")


def test_a_few_frames_of_a_clip_follow_each_other_under_the_mouse_until_it_leaves(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri(), motion="no-preference")
    page.hover(".card .thumb")
    until(page, "document.querySelector('video.frames')?.readyState >= 2")
    first = page.evaluate("document.querySelector('video.frames').currentTime")
    until(page, f"document.querySelector('video.frames').currentTime > {first}")
    assert page.evaluate("document.querySelector('video.frames').paused")
    page.mouse.move(1, 1)
    assert page.locator("video.frames").count() == 0


def test_nothing_moves_under_the_mouse_of_who_wants_less_motion(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.hover(".card .thumb")
    assert page.locator("video.frames").count() == 0


def test_the_arrow_keys_walk_over_the_clips(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.focus(".card .thumb")
    page.keyboard.press("End")
    last = page.evaluate("document.activeElement.closest('.card').getAttribute('aria-posinset')")
    assert last == "60"
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.closest('.card').getAttribute('aria-posinset')") == "1"


def test_filters_and_orders(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.select_option("#stage", "failed")
    until(page, "document.getElementById('shown').textContent === '3 of 60'")
    page.select_option("#stage", "")
    page.fill("#word", "emoji flag")
    until(page, "document.querySelectorAll('.card').length === 1")
    page.fill("#word", "")
    page.select_option("#model", "alibaba/wan-2-6-t2v")
    until(page, "document.getElementById('shown').textContent === '15 of 60'")
    page.select_option("#model", "")
    page.select_option("#order", "-took")
    slowest = page.evaluate("[...jobs.values()].reduce((a, b) => ((b.took ?? 0) > (a.took ?? 0) ? b : a)).id")
    until(page, f"{FIRST} === '{slowest}'")
    page.fill("#word", "nothing is called like this")
    page.click("#clear")
    until(page, "document.getElementById('shown').textContent === '60 jobs'")
    page.evaluate("takeIn({ id: 'not sent yet', model: 'm', stage: 'planned' })")
    page.select_option("#order", "-sent")
    newest = page.evaluate("[...jobs.values()].reduce((a, b) => ((b.submitted ?? 0) > (a.submitted ?? 0) ? b : a)).id")
    until(page, f"{FIRST} === '{newest}'")


def test_failures_come_with_a_reason_and_with_what_to_do(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.click("#tab-failures")
    said = page.inner_text("#failures")
    assert any(reason in said for reason in ("content moderation", "is dead", "internal error", "expected one of"))
    assert any(what in said for what in ("reword", "--retry-failed", "fix the parameters"))
    page.click("#failures .chip")
    assert page.is_visible(".reason")


def test_a_prompt_is_text_whatever_is_in_it(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    kept = page.evaluate("[0, 1, 2, 3].map((number) => jobs.get(`scene-0000${number}`).prompt)")
    assert kept == list(STRANGE)
    for number, prompt in enumerate(STRANGE):
        page.fill("#word", f"scene-{number:05}")
        until(page, f"{FIRST} === 'scene-{number:05}'")
        assert page.text_content(".card .prompt") == prompt
    assert page.evaluate("window.hurt") is None
    assert page.locator(".card .prompt *").count() == 0


@pytest.mark.parametrize("tab", ["timeline", "times", "prices"])
def test_charts_are_drawn(opened: Opened, folder: Path, tab: str) -> None:
    page = opened((folder / REPORT).as_uri())
    page.click(f"#tab-{tab}")
    if tab == "prices":
        assert page.locator("#prices tbody tr").count() == 4
        return
    assert page.locator(f"#panel-{tab} canvas").count() == (1 if tab == "timeline" else 4)
    inked = """(canvas) => new Set(new Uint32Array(
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
    assert page.locator(f"#panel-{tab} canvas").first.evaluate(inked) > 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Opened, folder: Path, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened((folder / REPORT).as_uri(), theme=theme)
    found = []
    for tab in ("clips", "failures", "prices") if theme == "light" else ("failures",):
        page.click(f"#tab-{tab}")
        found += Axe().run(page).response["violations"]
    page.click("#tab-clips")
    page.click(".card .thumb")
    found += Axe().run(page, context="#viewer").response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == []


def test_nothing_sticks_out_on_a_phone(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri(), width=390)
    for tab in ("clips", "failures", "timeline", "times", "prices"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_tab_and_every_price_is_in_sight_on_a_phone(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri(), width=390)
    page.click("#tab-prices")
    for what in ("[role=tab]:visible", "#prices td:visible"):
        boxes = [one.bounding_box() for one in page.locator(what).all()]
        assert len(boxes) > 4
        assert [box for box in boxes if box["x"] < 0 or box["x"] + box["width"] > 390] == []
    cell = page.locator("#prices tbody td").nth(1)
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Clips"'


def test_ten_thousand_jobs_open_at_once_and_only_those_in_sight_are_there(opened: Opened, large: Path) -> None:
    assert (large / REPORT).stat().st_size < 15_000_000
    page = opened((large / REPORT).as_uri())
    assert page.locator(".card").count() < 60
    assert page.evaluate("jobs.size") == 10_000
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, "document.querySelector('#cards li:last-child').getAttribute('aria-posinset') === '10000'")
    assert page.locator(".card").count() < 60


def test_it_prints_in_light_with_all_its_parts(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri(), theme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator(".card").count() == 60
    assert page.is_visible("#failures")
    assert page.get_attribute("html", "data-theme") == "light"


def test_refused_content_is_one_group_with_what_to_change(opened: Opened, folder: Path) -> None:
    page = opened((folder / REPORT).as_uri())
    page.click("#tab-failures")
    groups = page.locator("#failures .group", has=page.locator("strong"))
    assert groups.count() == 1
    assert "reword the prompt, and run again" in groups.first.text_content()


def test_each_clip_of_a_generation_that_gave_several_can_be_played(opened: Opened, tmp_path: Path) -> None:
    async def made() -> None:
        behaviour = Behaviour(video="tiny", seconds=0.02, several_clips=1.0)
        job = {"id": "walk", "model": "klingai/video-v3-omni-720p-text-to-video", "prompt": "a walk", "duration": 3}
        async with (
            Sandbox(behaviour) as sandbox,
            VideoClient("k", sandbox.url, poll="every:0.02") as client,
            client.run([job], output=tmp_path) as results,
        ):
            assert [len(result.files) async for result in results] == [2]

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, made()).result()
    page = opened(write_report(tmp_path).as_uri())
    assert "2 clips" in page.text_content(".card .line")
    page.click(".card .thumb")
    page.click("#viewer .clips button:nth-child(2)")
    until(page, "document.querySelector('#viewer video').currentSrc.endsWith('walk-2.mp4')")
