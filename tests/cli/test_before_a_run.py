"""What the service says against a run is said before anything is sent."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner, Result

from aimlvideo.cli.app import app
from aimlvideo.cli.run_options import SharedRunOptions
from aimlvideo.cli.service_facts import ServiceFacts
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.catalog import catalog
from aimlvideo.core.catalog.catalog import Catalog, load_catalog
from aimlvideo.core.services import service_of
from aimlvideo.core.wires.http import Answer, Request
from aimlvideo.errors import DiskFailed, Refused, Unclear
from aimlvideo.sandbox import Sandbox
from aimlvideo.shell.files import output_folders
from aimlvideo.shell.journal.sqlite import SqliteJournal
from aimlvideo.shell.state.catalog_cache import known_catalog
from tests.cases import for_each
from tests.servers import sandbox_thread

MODEL = "kling-video/v1.6/pro/image-to-video"
JOB = {"model": MODEL, "prompt": "waves", "image_url": "https://example.com/a.png", "duration": 5}
Command = Callable[..., Result]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with sandbox_thread() as served:
        yield served


@pytest.fixture
def command(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Return a way to give a command against the sandbox, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIMLAPI_BASE_URL", sandbox.url)
    monkeypatch.setenv("AIMLAPI_API_KEY", "key-that-nobody-may-see")

    def run(*words: Any) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    return run


def write_jobs(path: Path, *jobs: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return path


def test_a_withdrawn_model_is_said_before_anything_is_sent(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    model = "minimax/hailuo-02"
    gone = {"id": model, "status": "withdrawn", "shutdown_at": "2026-08-10", "replaced_by": "minimax/hailuo-2.3"}
    sandbox.behaviour = replace(sandbox.behaviour, deprecations=(gone,))
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": model, "prompt": "waves"})
    for words in (("check", jobs), ("run", jobs, "-o", tmp_path / "out")):
        result = command(*words)
        assert result.exit_code == 2
        assert "is withdrawn since 10 August 2026: use minimax/hailuo-2.3" in " ".join(result.stderr.split())
    assert sandbox.stats()["posts"] == 0


def test_what_is_wrong_with_a_file_is_said_before_the_service_is_asked_for_anything(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"}, {**JOB, "id": "b", "duration": 7})
    for words in (("check", jobs), ("run", jobs, "-o", tmp_path / "out")):
        result = command(*words)
        assert result.exit_code == 2
        assert "duration: one of 5, 10, got 7" in result.output
    assert not sandbox.stats()["answers"]
    assert not (tmp_path / "out").exists()


def test_generate_refuses_a_withdrawn_model_and_a_key_without_the_scope(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    gone = {"id": MODEL, "status": "withdrawn", "shutdown_at": "2026-08-10", "replaced_by": "x/newer"}
    asked = ("generate", MODEL, "-p", "waves", "-i", "https://example.com/a.png", "-o", tmp_path / "clip.mp4")
    for knobs, code, words in (
        ({"deprecations": (gone,)}, 2, "is withdrawn since 10 August 2026: use x/newer"),
        ({"deprecations": (), "key_scopes": ("model:chat",)}, 2, "its scopes are model:chat, expected model:video"),
        ({"key_scopes": None, "key_limit": 0.0}, 3, "used up its own limit"),
    ):
        sandbox.behaviour = replace(sandbox.behaviour, **knobs)
        result = command(*asked)
        assert result.exit_code == code
        assert words in " ".join(result.stderr.split())
    assert sandbox.stats()["posts"] == 0


UNSHIPPED, LINK = "minimax/hailuo-02", "https://example.com/a.png"


@pytest.fixture
def unshipped(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a model that the service has, and that this release is made not to know."""
    shipped = load_catalog()
    without = Catalog({key: raw for key, raw in shipped._raw.items() if key != UNSHIPPED})
    monkeypatch.setattr(catalog, "_shipped", lambda: without)
    return UNSHIPPED


def test_a_model_that_is_not_shipped_is_asked_for_by_check_run_and_generate_and_kept(
    command: Command, tmp_path: Path, sandbox: Sandbox, unshipped: str
) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": unshipped, "prompt": "waves"}, {"id": "b", **JOB})
    checked = command("check", jobs)
    assert checked.exit_code == 0, checked.stderr
    assert "2 jobs" in checked.stdout
    (tmp_path / "wrong.jsonl").write_text(json.dumps({"id": "c", "model": unshipped, "prompt": "w", "duration": 7}))
    assert "one of 6, 10, got 7" in command("check", tmp_path / "wrong.jsonl").stderr
    made = command("run", jobs, "-o", tmp_path / "out", "--poll", "every:0.1")
    assert made.exit_code == 0, made.stderr
    made = command("generate", unshipped, "-p", "waves", "-o", tmp_path / "clip.mp4", "--poll", "every:0.1")
    assert made.exit_code == 0, made.stderr
    assert known_catalog().find(unshipped) is not None


@pytest.mark.parametrize("words", ["run jobs.jsonl -o out", f"generate {UNSHIPPED} -p waves -i {LINK} -o clip.mp4"])
def test_a_model_that_is_not_shipped_is_asked_for_by_whichever_command_comes_first(
    command: Command, tmp_path: Path, unshipped: str, words: str
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": unshipped, "prompt": "waves"})
    made = command(*words.split(), "--poll", "every:0.1")
    assert made.exit_code == 0, made.stderr
    assert known_catalog().find(unshipped) is not None


def test_a_model_that_nobody_knows_is_refused_as_before(command: Command, tmp_path: Path, sandbox: Sandbox) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": "nobody/knows", "prompt": "waves"})
    for words in (("check", jobs), ("run", jobs, "-o", tmp_path / "out")):
        result = command(*words)
        assert result.exit_code == 2
        assert "a known model, got 'nobody/knows'" in result.stderr
        assert not (tmp_path / "out").exists()


def test_an_interruption_while_the_service_is_asked_for_a_model_leaves_nothing_behind(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object) -> bool:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return False

    monkeypatch.setattr(VideoClient, "learn_models", interrupted)
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": "nobody/knows", "prompt": "waves"})
    assert command("run", jobs, "-o", tmp_path / "out").exit_code == 3
    assert not (tmp_path / "out").exists()


def test_a_key_s_own_limit_and_scopes_count_before_anything_is_sent(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"id": "a", **JOB})
    for knobs, words in (
        ({"key_limit": 0.01}, "own limit leaves 0.01 USD at most"),
        ({"key_scopes": ("model:chat",)}, "its scopes are model:chat, expected model:video"),
    ):
        sandbox.behaviour = replace(sandbox.behaviour, key_limit=None, key_scopes=None)
        sandbox.behaviour = replace(sandbox.behaviour, **knobs)
        result = command("run", jobs, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert words in " ".join(result.stderr.split())
        assert words.split(",")[0][-10:] in " ".join((command("balance").output + result.stderr).split())
    assert sandbox.stats()["posts"] == 0


def test_a_spending_limit_without_readable_prices_is_refused_with_the_way_out(
    command: Command, tmp_path: Path, sandbox: Sandbox
) -> None:
    model = "magic/video-to-video"  # the sandbox has no fixed price for it
    jobs = write_jobs(
        tmp_path / "jobs.jsonl",
        {"id": "a", "model": model, "template": "Times Square Billboard", "video_url": "https://example.com/a.mp4"},
    )
    result = command("run", jobs, "-o", tmp_path / "out", "--max-spend", "5")
    assert result.exit_code == 2
    assert "--max-spend 5 needs prices" in " ".join(result.stderr.split())
    assert "aimlvideo doctor" in result.stderr
    assert sandbox.stats()["posts"] == 0


def test_doctor_says_that_everything_is_understood(command: Command) -> None:
    result = command("doctor")
    assert result.exit_code == 0
    assert "every answer is understood" in result.output
    found = json.loads(command("doctor", "--json").stdout)
    assert found["ok"] is True
    assert {finding["asked"] for finding in found["findings"]} >= {"prices", "balance", "ledger", "request log", "key"}


def test_jobs_from_standard_input_are_not_read_twice(
    command: Command, unshipped: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"id": "a", "model": unshipped, "prompt": "waves"})
    result = CliRunner().invoke(app, ["check", "-"], input=line)
    assert result.exit_code == 2
    assert "models --refresh" in " ".join(result.stderr.split())


def disk_is_full(*_: Any, **__: Any) -> None:
    """Stand in for whatever writes."""
    raise DiskFailed("it cannot be written: the disk is full, no space left on device")


@pytest.mark.real_time
def test_a_file_that_cannot_be_planned_for_want_of_space_is_not_called_done(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first.jsonl").write_text(json.dumps({**JOB, "id": "a"}))
    (tmp_path / "second.jsonl").write_text(json.dumps({**JOB, "id": "b"}))
    run = ("-o", "out", "--poll", "every:0.05", "--quiet")
    assert command("run", "first.jsonl", *run).exit_code == 0

    monkeypatch.setattr(SqliteJournal, "plan", disk_is_full)
    done = command("run", "second.jsonl", *run)
    assert done.exit_code == 3
    assert "disk is full" in done.output + done.stderr


@pytest.mark.real_time
def test_a_folder_that_cannot_be_opened_is_not_called_done(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a"}))
    assert command("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.05", "--quiet").exit_code == 0

    monkeypatch.setattr(output_folders.ResultsFile, "rewrite", disk_is_full)
    for words in (("run", "jobs.jsonl", "-o", "out"), ("resume", "out")):
        done = command(*words)
        assert done.exit_code == 3
        assert "no space left" in done.output + done.stderr


@pytest.mark.real_time
def test_a_last_line_that_the_disk_did_not_take_is_not_called_done(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a"}))

    run = ("run", "jobs.jsonl", "-o", "out", "--poll", "every:0.05")
    with monkeypatch.context() as disk:
        disk.setattr(output_folders.ResultsFile, "write", disk_is_full)
        done = command(*run)
    assert (done.exit_code, "no space left" in done.output + done.stderr) == (3, True)
    assert command(*run).exit_code == 0
    assert json.loads((tmp_path / "out" / "results.jsonl").read_text())["stage"] == "saved"


@pytest.mark.parametrize("option", ["--metrics", "--board"])
def test_a_port_that_is_taken_plans_nothing(command: Command, tmp_path: Path, option: str) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a"}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("run", "jobs.jsonl", "-o", "out", option, port)
    assert done.exit_code == 2
    assert f"{option}: 127.0.0.1:{port} cannot be opened" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_port_that_none_is_plans_nothing_and_leaves_no_socket(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**JOB, "id": "a"}))
    assert command("run", "jobs.jsonl", "-o", "out", "--metrics", 70_000).exit_code == 2
    gc.collect(1)  # a socket that was left open is an error of this test then
    assert not (tmp_path / "out").exists()


def test_without_a_key_the_mistakes_of_the_file_are_said_too(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIMLAPI_API_KEY")
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "duration": 77})
    done = command("run", "jobs.jsonl", "-o", "out")
    assert done.exit_code == 2
    assert "no API key" in done.stderr
    assert "duration: one of 5, 10, got 77" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prompt", ["", " \n"])
@pytest.mark.parametrize("words", [("check", "jobs.jsonl"), ("run", "jobs.jsonl", "-o", "out")])
def test_a_prompt_without_a_word_is_refused_where_one_is_needed(
    command: Command, tmp_path: Path, prompt: str, words: tuple[str, ...]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {"id": "a", "model": "alibaba/wan-2-6-t2v", "prompt": prompt})
    done = command(*words)
    assert done.exit_code == 2
    assert "prompt: required: a text" in done.stderr
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "prompt": prompt})
    assert command("check", "jobs.jsonl").exit_code == 0


def test_a_name_with_a_field_that_no_job_has_plans_nothing(command: Command, tmp_path: Path) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a", "seed": 3})
    done = command("run", "jobs.jsonl", "-o", "out", "--name", "{id} {sed}")
    assert done.exit_code == 2
    assert "no job has: did you mean {seed}? expected id, model, " in done.stderr
    formatted = command("run", "jobs.jsonl", "-o", "out", "--name", "{seed:04}")
    assert "has {seed:04}: expected a field's name alone" in formatted.stderr
    assert not (tmp_path / "out").exists()


def test_metrics_without_their_extra_plan_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aimlvideo.views.metrics", None)
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    done = command("run", "jobs.jsonl", "-o", "out", "--metrics", 0)
    assert done.exit_code == 2
    assert "pip install 'aimlvideo[metrics]'" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "jobs.jsonl", "-o", ""), "-o"),
        (("run", "jobs.jsonl", "--output="), "--output"),
        (("run", "", "-o", "out"), "empty"),
        (("run", "jobs.jsonl", "-o", "out", "--base-url", ""), "--base-url"),
        (("run", "jobs.jsonl", "-o", "out", "--api-key= "), "--api-key"),
        (("resume", " "), "empty"),
        (("status", ""), "empty"),
        (("generate", MODEL, "-p", "waves", "--id", ""), "--id"),
    ],
)
def test_an_empty_text_is_not_the_folder_that_one_stands_in_nor_an_option_that_was_left_out(
    command: Command, tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    done = command(*words)
    assert done.exit_code == 2
    assert named in done.stderr
    assert "got an empty text" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.jsonl"]


LONG = "a prompt in place of a name " * 20


@pytest.mark.parametrize(
    "words",
    [
        ("run", LONG, "-o", "out"), ("run", "jobs.jsonl", "-o", LONG), ("check", LONG), ("status", LONG),
        ("report", LONG), ("show", LONG), ("join", LONG, "-o", "f.mp4"), ("resume", LONG), ("recover", LONG),
        ("generate", MODEL, "-p", "x", "-o", LONG), ("wait", "g", "-o", LONG), ("uploads", LONG), ("adopt", LONG, "g"),
        ("init", f"{LONG}.csv"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_name_that_is_too_long_is_a_slip_and_no_traceback(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_jobs(tmp_path / "jobs.jsonl", {**JOB, "id": "a"})
    done = command(*words)
    assert done.exit_code == 2, done.output
    assert "File name too long" in done.stderr
    assert "expected" in done.stderr


def test_a_wait_or_an_adoption_with_a_wrong_option_leaves_nothing_that_refuses_the_right_one(
    command: Command, tmp_path: Path
) -> None:
    for words in (
        ("adopt", "out", "g", "--service", "klin"), ("wait", "g", "-o", "out", "--service", "klin"),
        ("wait", "g", "-o", "out", "--timeout", "-1"),
    ):  # fmt: skip
        done = command(*words)
        assert (done.exit_code, "expected" in done.stderr) == (2, True), words
        assert not (tmp_path / "out").exists(), words


def test_an_older_copy_of_a_journal_takes_nothing_in_before_the_newest_is_back(
    command: Command, tmp_path: Path
) -> None:
    assert command("adopt", "out", "g").exit_code == 0
    # Of a job that this copy of the journal does not have.
    (tmp_path / "out" / "results.jsonl").write_text('{"id": "later", "stage": "saved", "generation_id": "paid"}\n')
    for words in (("adopt", "out", "h"), ("resume", "out")):
        done = command(*words)
        assert (done.exit_code, "an older copy of the journal" in done.stderr) == (2, True), words
    assert "1 rendering" in command("status", "out").stdout


@contextmanager
def no_file_longer_than(most: int) -> Iterator[None]:
    """Let this process write no longer files for a while: as on a disk that is full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_nothing_more_can_be_written_nothing_is_left_half_and_a_run_still_says_where_it_stands(
    command: Command, tmp_path: Path
) -> None:
    assert command("adopt", "out", "g").exit_code == 0
    with no_file_longer_than(100):
        for words in (("init", "jobs.csv"), ("demo", "-o", "demo"), ("adopt", "out", "h")):
            done = command(*words)
            assert done.exit_code == 3, words
            assert "cannot be written" in done.stderr
            assert "Make space, then run again" in done.stderr
        assert "1 rendering" in command("status", "out").stdout
    assert not (tmp_path / "jobs.csv").exists()
    assert not list((tmp_path / "demo").rglob("*.png"))


class Answering:
    """A service whose free pages answer as a test says, and everything else as an account with 5 USD."""

    service = service_of("aimlapi")

    def __init__(self, **statuses: int) -> None:
        self.statuses = statuses

    async def send(self, question: Request, *, tries: int) -> Answer:
        """Return the answer to a free question."""
        status = self.statuses.get(question.path.rpartition("/")[2], 200)
        body = {"current_balance": 5.0, "currency": "USD", "data": []}
        return Answer.of(body if status == 200 else {"message": "Unauthorized"}, status)


@for_each("page", ["models", "deprecations", "metrics", "key"])
async def test_a_page_that_wants_another_key_stops_no_run_whose_key_the_account_takes(page: str) -> None:
    facts = await ServiceFacts.of(Answering(**{page: 401}))
    assert facts.balance == 5.0


class Silent(Answering):
    """A service that takes each question, and answers none but that for the balance."""

    async def send(self, question: Request, *, tries: int) -> Answer:
        """Return the balance; raise after a minute, as a transport does, for anything else."""
        if "billing" in question.path:
            return await super().send(question, tries=tries)
        await anyio.sleep(60)
        raise Unclear("no answer within 60 s")


async def test_a_service_that_says_nothing_is_waited_for_once_and_people_are_told_for_what() -> None:
    said: list[str] = []
    began = anyio.current_time()
    facts = await ServiceFacts.of(Silent(), said.append)
    assert anyio.current_time() - began == pytest.approx(60), "five questions wait at the same time"
    assert (facts.balance, facts.prices) == (5.0, None)
    assert "no answer within 60 s" in facts.why_no_prices
    (told,) = said
    assert "its prices" in told
    assert "the balance" not in told
    quick: list[str] = []
    await ServiceFacts.of(Answering(), quick.append)
    assert not quick


async def test_a_key_that_the_account_does_not_take_stops_the_run() -> None:
    with pytest.raises(Refused, match=r"does not accept the API key.*. Expected a key of this service: --api-key"):
        await ServiceFacts.of(Answering(billing=401))
    with pytest.raises(Refused, match=r"does not accept the API key.*. Expected a key of this service: --api-key"):
        await ServiceFacts.of(Answering(billing=500, key=401))


@for_each(
    ("given", "half"),
    [
        ({"callback": "127.0.0.1:8080"}, "--callback is given without --callback-url"),
        ({"callback_url": "https://me.example/calls"}, "--callback-url is given without --callback"),
        ({"callback": "127.0.0.1:8080", "callback_url": "https://me.example/calls"}, ""),
        ({}, ""),
    ],
)
def test_a_page_for_calls_whose_address_nobody_is_told_and_an_address_without_a_page_are_said(
    capsys: pytest.CaptureFixture[str], given: dict[str, str], half: str
) -> None:
    SharedRunOptions(**given).client_options("kling", Terminal())
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(f"note: {half}") if half else not said
    SharedRunOptions(**given).client_options("aimlapi", Terminal())
    assert not capsys.readouterr().err, "it calls nobody, which is said of both"
