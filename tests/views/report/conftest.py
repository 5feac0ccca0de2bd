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

from aimlvideo.views.report.report_file import write_report
from tests.views.report.sample_runs import made_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One headless Chromium; without one the tests that need it are reported, and fail in continuous integration."""
    if CHROMIUM is None:
        said = "there is no Chromium here: apt-get install chromium"
        pytest.fail(said) if os.environ.get("AIMLVIDEO_CI") else pytest.skip(said)
    from playwright.sync_api import sync_playwright  # half a second that only the worker with the pages needs

    with ThreadPoolExecutor(1, "browser") as thread:
        playwright = thread.submit(lambda: sync_playwright().start()).result()
        chromium = thread.submit(playwright.chromium.launch, executable_path=CHROMIUM, args=ARGS).result()
        chromium.thread, chromium.windows = thread, []
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


class Window:
    """A page that one test after the other opens: a new one each time costs three times as much."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_context().new_page()
        self.wrong: list[str] = []
        self.home = ""
        self.page.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._asks_its_own_host)

    def open(self, url: str, width: int, theme: str, motion: str) -> Any:
        """Show a page as if nobody had been here before."""
        self.home = url.rpartition("/")[0]
        self.page.set_viewport_size({"width": width, "height": 860})
        self.page.emulate_media(media="screen", color_scheme=theme, reduced_motion=motion)
        self.page.goto(url, wait_until="domcontentloaded")
        return self.page

    def leave(self) -> list[str]:
        """Forget what the page has kept; return what it did wrong."""
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)
        wrong, self.wrong = self.wrong, []
        return wrong

    def _asks_its_own_host(self, asked: Any) -> None:
        if not asked.url.startswith((self.home, "data:", "blob:", "about:blank")):
            self.wrong.append(f"asked for {asked.url}")


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end it must have said nothing on its console and asked nobody but its own host."""
    used: list[Window] = []

    def open_page(url: str, *, width: int = 1280, theme: str = "light", motion: str = "reduce") -> Any:
        used.append(browser.windows.pop() if browser.windows else Window(browser))
        return used[-1].open(url, width, theme, motion)

    yield open_page
    wrong = browser.thread.submit(lambda: [one for window in used for one in window.leave()]).result()
    browser.windows += used
    assert wrong == []


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip of a few kilobytes, two seconds long."""
    from aimlvideo.sandbox.film.encode import write_tiny

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
    """The folder of a run of 10,000 jobs with its page, in which a tenth of a second went into posters."""
    made = made_run(tmp_path_factory.mktemp("run") / "large", 10_000, (clip,))
    write_report(made, patience=0.1)
    return made
