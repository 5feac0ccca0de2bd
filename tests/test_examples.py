"""The examples run as they stand, and are short."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import ClientConnectionError, ClientSession

from aimlvideo.core.polling import policy as polling
from aimlvideo.sandbox import Sandbox
from tests.servers import sandbox_thread
from tests.waiting import PATIENCE, assert_alive, until

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SHORT = ("one_clip.py", "many_clips.py")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with sandbox_thread() as served:
        yield served


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Point everything that starts from here at the sandbox."""
    monkeypatch.setenv("AIMLAPI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AIMLAPI_API_KEY", "key")
    monkeypatch.chdir(tmp_path)
    return dict(os.environ)


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a way to run a script as `python SCRIPT ...` does, with a client that asks sooner than is polite."""
    for limit in ("SMALLEST_GAP", "LARGEST_GAP_AT_FIRST"):
        monkeypatch.setattr(polling, limit, 0.2)

    def run_script(*words: Any) -> None:
        monkeypatch.setattr(sys, "argv", [*map(str, words)])
        runpy.run_path(str(words[0]), run_name="__main__")

    return run_script


@pytest.mark.parametrize("name", SHORT)
def test_an_example_has_at_most_40_lines(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 40


def test_one_clip(run: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(EXAMPLES / "one_clip.py", "clip.mp4")
    assert "USD" in capsys.readouterr().out
    assert (tmp_path / "clip.mp4").read_bytes()[4:8] == b"ftyp"


def test_many_clips(run: Callable[..., None], tmp_path: Path) -> None:
    run(EXAMPLES / "many_clips.py", "clips")
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 5


@pytest.mark.long
@pytest.mark.real_time
@pytest.mark.parametrize("name", ["web_application.py", "fastapi_application.py"])
async def test_a_web_application_goes_on_with_what_was_rendering_when_it_was_killed(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    if name.startswith("fastapi"):
        pytest.importorskip("fastapi")
    accepted = sandbox.stats()["accepted"]
    port = free_port()
    environment["PORT"] = str(port)
    command = [sys.executable, str(ROOT / "tests" / "fast_polling.py"), str(EXAMPLES / name)]
    url = f"http://127.0.0.1:{port}"
    wanted = {"prompt": "waves", "image_url": "https://example.com/a.png"}
    log = tmp_path / "application.log"
    async with ClientSession() as web:
        with started(command, environment, log) as application:
            await until_it_answers(web, url, application, log)
            async with web.post(f"{url}/clips", json={**wanted, "image_url": "/etc/passwd"}) as refused:
                assert refused.status == 422
            async with web.post(f"{url}/clips", json=wanted) as answer:
                assert answer.status == 202, await answer.text()
                generation = (await answer.json())["id"]
            application.kill()
        with started(command, environment, log) as application:
            await until_it_answers(web, url, application, log)
            async with web.post(f"{url}/callback", json={"task_id": generation}) as answer:
                assert answer.status == 204
            await until(lambda: list(tmp_path.glob("clips/*.mp4")), "the clip", application, log)
            async with web.get(f"{url}/clips/{generation}") as answer:
                assert (await answer.json())["status"] == "completed"
            async with web.post(f"{url}/clips", json={**wanted, "image_list": ["/etc/passwd"]}) as answer:
                unnamed = answer.status
    sent = 1 if unnamed == 422 else 2  # another field is refused, or never looked at
    assert sandbox.stats()["accepted"] == accepted + sent


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as said, subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"it did not end after SIGTERM:\n{log.read_text()[-4000:]}") from None


async def until_it_answers(web: ClientSession, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                async with web.get(f"{url}/clips/none"):
                    return
            except ClientConnectionError:
                assert_alive(process, "the first answer", log)
                await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.real_time
async def test_an_application_that_ends_before_it_answers_is_said_to_have_ended_with_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no port for me')"]
    url = f"http://127.0.0.1:{free_port()}"
    said = pytest.raises(AssertionError, match=r"(?s)the first answer.*ended with 1.*no port for me")
    async with ClientSession() as web:
        with started(command, dict(os.environ), log) as process, said:
            await until_it_answers(web, url, process, log)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(snippets("python"))))
def test_the_code_in_the_readme_runs(run: Callable[..., None], tmp_path: Path, number: int) -> None:
    code = snippets("python")[number]
    if "asyncio.run" not in code:
        body = "".join(f"    {line}\n" for line in code.splitlines())
        code = f"import asyncio\nasync def main():\n{body}\nasyncio.run(main())\n"
    (tmp_path / "beach.jpg").write_bytes(b"\xff\xd8\xff" + bytes(400))
    (tmp_path / "snippet.py").write_text(code)
    run("snippet.py")


def test_the_promise_is_in_the_readme_word_for_word() -> None:
    promise = (
        "However a run ends (killed, out of power, cut off, left without an answer): no clip is bought twice, none is "
        "bought that you did not ask for and agree to, and every generation that the service accepted is in the "
        "journal or named in doubt. The same command carries on."
    )
    assert promise in re.sub(r"\s*\n>?\s*", " ", (ROOT / "README.md").read_text())


NAMED_FILE = r"((?:[a-z_]+/)*(?:<service>)?[a-z_]*\.(?:py|js|json|toml))"
NAMED_SYMBOL = r"([A-Za-z]\w*(?:\.\w+)*|_\w+)"
PAGE = (EXAMPLES / "contributing.md").read_text("utf-8")


def file_named(name: str) -> Path | None:
    places = (ROOT / "aimlvideo", ROOT)
    return next((file for place in places if (file := place / name.replace("<service>", "aimlapi")).is_file()), None)


def test_every_file_that_the_page_for_contributors_names_is_there() -> None:
    names = re.findall(f"`{NAMED_FILE}`", PAGE)
    assert len(names) > 30
    assert [name for name in names if file_named(name) is None] == []


def symbols_named() -> Iterator[tuple[str, str]]:
    """Yield what the table of tasks names of each file: `file.py` (`symbol`: why; `another`), `symbol` of `file.py`."""
    table = PAGE.partition("## Where to change what")[2].partition("\n## ")[0]
    for name, remarks in re.findall(rf"`{NAMED_FILE}` \(([^)]*)\)", table):
        yield from ((name, symbol) for symbol in re.findall(rf"`{NAMED_SYMBOL}`(?! of `)", remarks))
    yield from ((name, symbol) for symbol, name in re.findall(rf"`{NAMED_SYMBOL}` of `{NAMED_FILE}`", table))


def is_defined(symbol: str, text: str) -> bool:
    definition = r"^\s*((async def|def|class|function|const) {0}\b|{0}\b.* = |{0}: )"
    return all(re.search(definition.format(part), text, re.MULTILINE) for part in symbol.split("."))


def test_every_symbol_that_the_page_for_contributors_names_stands_in_its_file() -> None:
    named = list(symbols_named())
    assert len(named) > 25
    files = {name: file_named(name) for name, _ in named}
    texts = {name: file.read_text("utf-8") for name, file in files.items() if file is not None}
    assert [(name, symbol) for name, symbol in named if not is_defined(symbol, texts[name])] == []
