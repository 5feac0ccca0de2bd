"""One Chromium for all tests of pages, and folders to look at.

Playwright keeps an event loop running in the thread that it was started in; so it has one of its own, and the tests
that are marked `browser` run there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from aimlvideo.views.report.report_file import write_report
from tests.views.report.sample_runs import made_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium; without one the tests that need it are reported, and fail in continuous integration."""
    if CHROMIUM is None:
        said = "there is no Chromium here: apt-get install chromium"
        pytest.fail(said) if os.environ.get("AIMLVIDEO_CI") else pytest.skip(said)
    with ThreadPoolExecutor(1, "browser") as thread:
        playwright = thread.submit(lambda: sync_playwright().start()).result()
        chromium = thread.submit(playwright.chromium.launch, executable_path=CHROMIUM, args=ARGS).result()
        chromium.thread = thread
        yield chromium
        thread.submit(chromium.close).result()
        thread.submit(playwright.stop).result()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that looks at pages in the browser's thread."""
    if "browser" not in pyfuncitem.keywords:
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    browser = pyfuncitem.funcargs.get("browser") or pyfuncitem._request.getfixturevalue("browser")
    browser.thread.submit(pyfuncitem.obj, **given).result()
    return True


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end it must have said nothing on its console and asked nobody but its own host."""
    contexts, wrong = [], []

    def open_page(url: str, *, width: int = 1280, theme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        home = url.rpartition("/")[0]
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda asked: asked.url.startswith((home, "data:", "blob:")) or wrong.append(f"asked for {asked.url}"),
        )
        page.goto(url, wait_until="domcontentloaded")
        return page

    yield open_page
    browser.thread.submit(lambda: [context.close() for context in contexts]).result()
    assert wrong == []


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip of a few kilobytes, two seconds long."""
    from aimlvideo.sandbox.film.tiny import write_tiny

    place = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_tiny(place, (1280, 720), 2.0)
    return place


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """The folder of a run of 60 jobs with its page."""
    made = made_run(tmp_path_factory.mktemp("run") / "sixty", 60, (clip,))
    write_report(made)
    return made


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """The folder of a run of 10,000 jobs with its page, in which half a second went into posters."""
    made = made_run(tmp_path_factory.mktemp("run") / "large", 10_000, (clip,))
    write_report(made, patience=0.5)
    return made
