"""What a command buys is what was asked for, priced and agreed to; on a fake service, in virtual time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aimlvideo.cli import session
from aimlvideo.cli.app import app
from aimlvideo.cli.commands import run as run_command
from aimlvideo.cli.job_reader import JobReader
from aimlvideo.cli.terminal import Terminal
from aimlvideo.client import VideoClient
from aimlvideo.core.jobs.file_names import JOURNAL
from aimlvideo.core.jobs.job import VideoJob
from aimlvideo.core.jobs.progress import Progress
from aimlvideo.core.jobs.stages import Stage
from aimlvideo.core.wires.http import Answer
from aimlvideo.errors import DiskFailed, JournalError, LinkDead, Unclear, VideoError
from aimlvideo.shell.files.results_file import ResultsFile
from aimlvideo.shell.journal.sqlite import SqliteJournal
from aimlvideo.shell.journal.sqlite_file import JournalFile
from aimlvideo.shell.journal.sqlite_reader import read_journal
from tests.cases import for_each
from tests.conftest import run_in_virtual_time
from tests.fakes import (
    GATEWAY_JOB,
    JOB,
    FakeClient,
    FakeDownload,
    FakeGateway,
    FakeService,
    answer,
    quick_downloads,
    run_all,
)

Command = Callable[..., Result]


class ChargingFailures(FakeService):
    """Charges a generation that fails as one that does not."""

    def _check(self, name: str) -> Answer:
        body = json.loads(super()._check(name).body)
        return answer(200, body | {"meta": {"usage": {"usd_spent": 0.25}}} if "error" in body else body)


@pytest.fixture
def service() -> FakeService:
    return FakeService(seconds=30)


@pytest.fixture
def command(service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Return a way to give a command against the fake service, in a folder of its own."""
    quick_downloads(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "VideoClient", lambda **settings: FakeClient(service, **settings))
    monkeypatch.setenv("AIMLAPI_API_KEY", "key-1")
    monkeypatch.setenv("AIMLAPI_BASE_URL", "http://127.0.0.1:1")

    monkeypatch.setattr(asyncio, "run", run_in_virtual_time)

    def run(*words: Any) -> Result:
        arguments = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["aimlvideo", *arguments])
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return run


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return what a person at the terminal will say, in order; yes when the list is empty."""
    said: list[bool] = []
    monkeypatch.setattr(Terminal, "confirm", lambda *_: said.pop(0) if said else True)
    return said


def write(path: Path, *names: str, **changes: Any) -> None:
    path.write_text("".join(json.dumps({**JOB, "id": name, **changes}) + "\n" for name in names))


def run(*more: Any, output: str = "out", file: str = "jobs.jsonl") -> list[Any]:
    return ["run", file, "-o", output, "--poll", "every:15", "--rate", 1000, *more]


ONE = ["generate", JOB["model"], "-p", "waves", "-i", JOB["image_url"], "-o", "clip.mp4", "--poll", "every:15"]
MANY = [f"job{number}" for number in range(60)]


# Asked, priced, agreed ---------------------------------------------------------------------------------------------


def test_after_a_no_a_shorter_file_buys_its_own_jobs_only(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY)
    answers.append(False)
    refused = command(*run("--confirm-above", 5))
    assert refused.exit_code == 2
    assert "60 jobs, 15.00 USD" in refused.output
    assert not (tmp_path / "out").exists(), "a refusal takes back what it planned"
    write(tmp_path / "jobs.jsonl", *MANY[:3])
    done = command(*run("--confirm-above", 5))
    assert done.exit_code == 0, done.output
    assert "3 jobs, 0.75 USD" in done.output
    assert len(service.accepted) == 3


def test_a_no_leaves_a_folder_that_was_there_as_it_was(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 0
    write(tmp_path / "jobs.jsonl", "a", *MANY)
    answers.append(False)
    assert command(*run("--confirm-above", 5)).exit_code == 2
    assert "1 saved" in command("status", "out").output
    assert "planned" not in command("status", "out").output
    assert len(service.accepted) == 1


def test_amounts_that_are_compared_have_the_digits_in_which_they_differ(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.price, service.balance = 0.0385, 0.0381
    write(tmp_path / "jobs.jsonl", "a")
    assert "the balance (0.0381 USD) is below the estimated cost (0.0385 USD)" in command(*run()).output
    assert "costs 0.0385 USD, more than --max-spend 0.038:" in command(*ONE, "--max-spend", 0.038).output
    assert not service.posted_at


def test_an_account_in_debt_plans_nothing_also_where_the_price_is_unknown(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.balance, service.price = -0.5, None  # type: ignore[assignment]
    write(tmp_path / "jobs.jsonl", "a")
    refused = command(*run())
    assert refused.exit_code == 2
    assert "the balance (-0.50 USD) is below the estimated cost (unknown USD)" in refused.output
    assert not service.posted_at


def test_a_balance_that_is_too_low_plans_nothing(command: Command, service: FakeService, tmp_path: Path) -> None:
    service.balance = 2.0
    write(tmp_path / "jobs.jsonl", *MANY)
    refused = command(*run())
    assert refused.exit_code == 2
    assert "the balance (2.00 USD) is below the estimated cost (15.00 USD)" in refused.output
    write(tmp_path / "jobs.jsonl", *MANY[:3])
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 3


def test_after_a_spending_stop_another_file_leaves_the_rest_alone_and_names_it(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY)
    stopped = command(*run("--max-spend", 0.75))
    assert stopped.exit_code == 3
    assert len(service.accepted) == 3
    write(tmp_path / "jobs.jsonl", "job0", "job1", "new")
    done = command(*run())
    assert done.exit_code == 0, done.output
    assert "57 more are planned here by an earlier file: `aimlvideo resume out`" in done.output
    assert len(service.accepted) == 4


def test_the_advice_after_a_spending_stop_is_a_command_that_goes_on(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY[:6])
    stopped = command(*run("--max-spend", 0.75))
    assert "0.75 spent, 0.00 committed" in " ".join(stopped.output.split())
    assert "--max-spend 1.50" in stopped.output
    assert command(*run("--max-spend", 1.5)).exit_code == 0
    assert len(service.accepted) == 6


def test_only_failed_jobs_of_the_file_are_tried_again_and_they_are_priced(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.broken.update({f"gen-{number}": "out of memory" for number in range(4)})
    write(tmp_path / "jobs.jsonl", "a", "b", "c", "d")
    assert command(*run()).exit_code == 1
    write(tmp_path / "jobs.jsonl", "a")
    done = command(*run("--retry-failed"))
    assert done.exit_code == 0, done.output
    assert "1 job, 0.25 USD" in done.output
    assert len(service.accepted) == 5


@pytest.mark.parametrize("words", [run("--retry-failed"), ("resume", "out", "--retry-failed", "--poll", "every:15")])
def test_what_was_refused_for_its_content_is_neither_counted_nor_priced_when_failed_jobs_are_tried_again(
    command: Command, service: FakeService, tmp_path: Path, words: tuple[Any, ...]
) -> None:
    service.broken = {f"gen-{number}": "out of memory" for number in range(2)}
    service.broken |= {f"gen-{number}": "sensitive content, policy violation" for number in range(2, 5)}
    write(tmp_path / "jobs.jsonl", "a", "b", "c", "d", "e")
    assert command(*run()).exit_code == 1
    done = command(*words)
    assert "2 jobs, 0.50 USD" in done.output
    assert "3 jobs not tried again" in done.output
    assert len(service.accepted) == 7


def test_failed_jobs_are_tried_again_once_for_each_time_that_it_is_said(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.broken.update({"gen-0": "out of memory", "gen-1": "out of memory"})
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--max-outstanding", 1)).exit_code == 1
    service.broken["gen-2"] = "out of memory"
    assert command(*run("--retry-failed", "--max-outstanding", 1)).exit_code == 1
    assert len(service.accepted) == 4
    assert command(*run("--retry-failed")).exit_code == 0
    assert command(*run("--retry-failed")).exit_code == 0
    assert len(service.accepted) == 5


def test_a_limit_is_kept_by_the_prices_at_the_purchase_and_not_by_those_that_were_agreed_to(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dearer(*_: object) -> bool:
        service.price = 0.5
        return True

    monkeypatch.setattr(Terminal, "confirm", dearer)
    write(tmp_path / "jobs.jsonl", "a", "b")
    stopped = command(*run("--confirm-above", 0.1, "--max-spend", 0.6))
    assert stopped.exit_code == 3
    assert "2 jobs, 0.50 USD" in stopped.output
    assert len(service.accepted) == 1


def test_a_question_is_asked_about_failed_jobs_that_are_tried_again(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    service.broken["gen-0"] = "out of memory"
    write(tmp_path / "jobs.jsonl", "a")
    command(*run())
    answers.append(False)
    assert command(*run("--retry-failed", "--confirm-above", 0.1)).exit_code == 2
    assert len(service.accepted) == 1


def test_a_retry_that_the_limit_or_the_account_ends_says_why_and_how_it_is_given_again(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.broken = {"gen-0": "out of memory", "gen-1": "out of memory"}
    write(tmp_path / "jobs.jsonl", "a", "b")
    command(*run())
    stopped = command(*run("--retry-failed", "--max-spend", 0.3))
    assert "would pass the limit of 0.30 USD: 0.25 spent" in stopped.output
    assert stopped.output.rstrip().endswith("--max-spend 0.50 --retry-failed")
    service.posts.append(answer(403, {"message": "You've run out of credits"}))
    assert command(*run("--retry-failed")).output.rstrip().endswith("--rate 1000 --retry-failed")
    assert command(*run("--retry-failed", "--max-spend", 0.5)).exit_code == 0
    assert len(service.accepted) == 4


def test_a_failed_job_may_be_changed_under_its_id_and_a_bought_one_may_not(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.broken["gen-0"] = "refused by content"
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 1
    write(tmp_path / "jobs.jsonl", "a", prompt="calmer waves")
    assert command(*run()).exit_code == 0
    assert service.bodies[-1]["prompt"] == "calmer waves"
    write(tmp_path / "jobs.jsonl", "a", prompt="storm")
    refused = command(*run())
    assert refused.exit_code == 2
    assert "prompt" in refused.output
    assert len(service.accepted) == 2


def test_resume_carries_on_with_all_that_a_folder_has(command: Command, service: FakeService, tmp_path: Path) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b", "c")
    command(*run("--max-spend", 0.25))
    write(tmp_path / "jobs.jsonl", "z")
    assert command(*run()).exit_code == 0
    done = command("wait", "-o", "out", "--poll", "every:15")
    assert done.exit_code == 0, done.output
    assert len(service.accepted) == 4


def test_what_a_folder_still_has_to_buy_is_priced_and_asked_about_before_it_is_carried_on(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    service.broken["gen-0"] = "out of memory"
    write(tmp_path / "jobs.jsonl", *MANY[:6])
    command(*run("--max-spend", 0.5, "--max-outstanding", 1))
    assert len(service.accepted) == 3
    answers.append(False)
    refused = command("resume", "out", "--retry-failed", "--confirm-above", 0.9)
    assert refused.exit_code == 2
    assert "4 jobs, 1.00 USD" in refused.output
    service.balance = 1.25
    assert "the balance (0.75 USD) is below" in command("resume", "out", "--retry-failed").output
    assert len(service.accepted) == 3
    service.balance = inf
    assert command("resume", "out", "--retry-failed", "--poll", "every:15").exit_code == 0
    assert len(service.accepted) == 7


def test_a_price_that_has_fallen_since_does_not_make_what_is_outstanding_cheaper(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.price, service.seconds = 0.5, 5000.0
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run("--timeout", 100)).exit_code == 3
    service.price = 0.25
    for _ in range(2):  # the second run knows the new list only, if the first one replaced the old
        write(tmp_path / "jobs.jsonl", "b")
        assert command(*run("--max-spend", 0.6, "--timeout", 100)).exit_code == 3
    assert len(service.accepted) == 1


def test_a_price_at_which_a_folder_was_resumed_counts_for_what_is_outstanding_when_it_has_fallen(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.seconds = 5000.0
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run("--max-spend", 0.05)).exit_code == 3
    service.price = 0.5
    assert command("resume", "out", "--timeout", 100).exit_code == 3
    service.price = 0.25
    write(tmp_path / "jobs.jsonl", "b")
    assert command(*run("--max-spend", 0.6, "--timeout", 100)).exit_code == 3
    assert len(service.accepted) == 1


def test_a_price_that_has_risen_since_the_journal_was_written_counts_when_a_folder_is_resumed(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.price = 0.1
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--max-spend", 0.05)).exit_code == 3
    service.price = 0.25
    assert command("resume", "out", "--max-spend", 0.25, "--poll", "every:15").exit_code == 3
    assert len(service.accepted) == 1


def test_a_failed_generation_that_was_charged_counts_also_after_it_was_tried_again(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.__class__ = ChargingFailures
    service.broken["gen-0"] = "out of memory"
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--max-spend", 0.6, "--max-outstanding", 1)).exit_code == 1
    assert len(service.accepted) == 2
    assert command(*run("--max-spend", 0.8, "--retry-failed")).exit_code == 0
    assert "0.75 USD" in command("status", "out").output
    write(tmp_path / "jobs.jsonl", "c")
    stopped = command(*run("--max-spend", 0.9))
    assert stopped.exit_code == 3
    assert "0.75 spent" in " ".join(stopped.output.split())
    assert len(service.accepted) == 3


# Lost answers, other keys, other clocks ----------------------------------------------------------------------------


def test_another_key_leaves_a_lost_answer_in_doubt_with_what_to_do(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.listing_delay = 2000.0
    service.lost.append(Unclear("reset"))
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run("--settle", 600, "--timeout", 100)).exit_code == 3
    unfinished = command(*run("--api-key", "key-2"))
    assert unfinished.exit_code == 3
    assert "another API key or to another base URL" in unfinished.output
    assert "another API key or to another base URL" in command("status", "out").output
    assert len(service.posted_at) == 1


def test_a_lost_answer_is_looked_up_at_the_same_place_however_its_url_is_spelled(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    service.lost.extend([None, Unclear("reset")])
    assert command(*run("--base-url", "http://localhost:1", "--timeout", 20)).exit_code == 3
    done = command(*run("--base-url", "http://LocalHost:1/"))
    assert done.exit_code == 0, done.output
    assert len(service.posted_at) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [({"message": "insufficient balance"}, "cannot pay"), ({"message": "see you later"}, "it says: see you later")],
)
def test_the_service_s_words_under_http_200_are_said_and_nothing_is_sent_again_and_again(
    command: Command, service: FakeService, tmp_path: Path, body: dict[str, str], words: str
) -> None:
    service.posts.extend([answer(200, body)] * 50)
    write(tmp_path / "jobs.jsonl", *MANY[:6])
    stopped = command(*run("--max-outstanding", 1, "--settle", 600, "--timeout", 700))
    assert stopped.exit_code == 3
    assert words in " ".join(stopped.output.split())
    assert len(service.posted_at) <= 6


def test_an_id_of_the_job_s_own_stands_for_one_job_in_a_folder_whatever_file_names_it(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = FakeGateway(seconds=30)
    monkeypatch.setattr(session, "VideoClient", lambda **settings: FakeClient(gateway, **settings))
    job = {**GATEWAY_JOB, "external_task_id": "mine-1"}
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**job, "id": "a"}))
    assert command(*run("--service", "kling")).exit_code == 0
    (tmp_path / "jobs.jsonl").write_text(json.dumps({**job, "id": "b"}))
    refused = command(*run("--service", "kling"))
    assert refused.exit_code == 2
    assert "that of job 'a'" in refused.output

    async def in_python() -> Any:
        async with FakeClient(gateway, service="kling") as client:
            return await run_all(client, [{**job, "id": "c"}], output=tmp_path / "out")

    assert "that of job 'a'" in str(asyncio.run(in_python())["c"].error)
    assert len(gateway.accepted) == 1


@pytest.mark.parametrize(
    "fetched", [[["wait", "gen-0", "-o", "out"]], [["adopt", "out", "gen-0"], ["resume", "out"]]], ids=["wait", "adopt"]
)
def test_a_failed_generation_that_a_person_names_is_fetched_where_the_service_has_completed_it(
    command: Command, service: FakeService, tmp_path: Path, fetched: list[list[str]]
) -> None:
    service.broken = {"gen-0": "out of paint"}
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 1
    service.broken.clear()
    for words in fetched:
        done = command(*words)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "out/a.mp4").exists()
    assert len(service.accepted) == 1


@pytest.mark.parametrize("completed", [False, True])
def test_a_failure_that_was_billed_counts_once_also_where_a_person_adopts_it_beside_its_second_try(
    command: Command, service: FakeService, tmp_path: Path, completed: bool
) -> None:
    service.__class__ = ChargingFailures
    service.broken = {"gen-0": "out of paint"}
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 1
    assert command(*run("--retry-failed")).exit_code == 0
    if completed:
        service.broken.clear()
    command("adopt", "out", "gen-0")
    command("resume", "out")
    status = json.loads(command("status", "out", "--json").stdout)
    assert (status["spent_usd"], len(service.accepted)) == (0.5, 2)


# One clip ----------------------------------------------------------------------------------------------------------


def test_the_same_words_into_the_same_file_cost_nothing_and_again_buys_them(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    words = ["generate", JOB["model"], "-p", "waves", "-i", JOB["image_url"], "-o", "clip.mp4", "--poll", "every:15"]
    assert command(*words).exit_code == 0
    clip = (tmp_path / "clip.mp4").read_bytes()
    refused = command(*words)
    assert refused.exit_code == 2
    assert "clip.mp4 already exists" in refused.output
    assert "--again" in refused.output
    assert (tmp_path / "clip.mp4").read_bytes() == clip
    assert len(service.accepted) == 1
    assert command(*words, "--again").exit_code == 0
    assert len(service.accepted) == 2


@pytest.mark.parametrize(
    "place", ["-", "loop.mp4", "pipe", "y" * 230 + ".mp4", JOURNAL, ".a.mp4.journal", "clips/", "no/x.mp4"]
)
def test_a_place_where_no_clip_can_be_saved_is_refused_before_it_is_bought(
    command: Command, service: FakeService, tmp_path: Path, place: str
) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "pipe")
    for again in ([], ["--again"]):
        refused = command(*ONE[:-4], "-o", place, *again)
        assert refused.exit_code == 2
        assert "expected" in refused.output
    assert not service.bodies
    assert {path.name for path in tmp_path.iterdir()} == {"loop.mp4", "pipe"}


def test_a_clip_is_made_into_the_folder_of_a_run_but_not_in_the_place_of_its_files(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 0
    for name in ("a.mp4", "report.html", "results.jsonl", JOURNAL):
        refused = command(*ONE[:-4], "-o", f"out/{name}", "--again")
        assert refused.exit_code == 2
        assert "expected another name" in refused.output
    assert len(service.bodies) == 1
    made = command(*ONE[:-4], "-o", "out/b.mp4", "--poll", "every:15")
    assert made.exit_code == 0, made.output
    assert command(*run()).exit_code == 0
    assert len(service.bodies) == 2


@pytest.mark.parametrize("name", ["12:30.mp4", "two\nlines.mp4", os.fsdecode(b"\xff.mp4")])
def test_a_clip_of_a_name_that_only_this_system_takes_is_known_by_it_afterwards(
    command: Command, service: FakeService, tmp_path: Path, name: str
) -> None:
    words = [*ONE[:-4], "-o", name, "--poll", "every:15"]
    assert command(*words).exit_code == 0
    assert "already exists" in command(*words).output
    (tmp_path / name).unlink()
    fetched = command(*words)
    assert fetched.exit_code == 0, fetched.output
    assert len(service.bodies) == 1


def test_a_clip_whose_file_was_deleted_is_fetched_again_and_not_bought(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    assert command(*ONE).exit_code == 0
    clip = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "clip.mp4").unlink()
    again = command(*ONE, "--max-spend", 0.01)
    assert again.exit_code == 0, again.output
    assert "clip.mp4 is gone: its clip, which is paid, is fetched again" in again.output
    assert (tmp_path / "clip.mp4").read_bytes() == clip
    assert len(service.accepted) == 1
    (tmp_path / "clip.mp4").unlink()
    assert command(*ONE, "--again", "--max-spend", 0.01).exit_code == 2
    assert command(*ONE).exit_code == 0
    assert len(service.accepted) == 1
    assert command(*ONE, "--again").exit_code == 0
    assert len(service.accepted) == 2


def test_a_clip_that_moderation_refused_when_it_was_made_is_bought_again_only_by_again(
    command: Command, service: FakeService
) -> None:
    service.broken["gen-0"] = {"message": "blocked by moderation", "code": "content_policy_violation"}
    assert command(*ONE).exit_code == 1
    refused = command(*ONE)
    assert refused.exit_code == 2
    assert "moderation refused this clip, so nothing was bought: content_policy_violation" in refused.output
    assert command(*ONE, "--again", "--max-spend", 0.1).exit_code == 2
    assert len(service.accepted) == 1
    assert command(*ONE, "--again").exit_code == 0
    assert len(service.accepted) == 2


@pytest.mark.parametrize("is_saved_first", [True, False])
def test_a_clip_that_the_service_has_no_more_is_bought_again_only_by_again(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_saved_first: bool
) -> None:
    if is_saved_first:
        assert command(*ONE).exit_code == 0
        (tmp_path / "clip.mp4").unlink()

    async def gone(self: FakeDownload) -> None:
        raise LinkDead("gone")

    with monkeypatch.context() as patched:
        patched.setattr(FakeDownload, "fetch", gone)
        for _ in range(2):
            lost = command(*ONE)
            assert lost.exit_code == 1
            assert "generation gen-0 is paid" in lost.output
            assert lost.output.rstrip().endswith("--again")
    assert len(service.accepted) == 1
    assert command(*ONE, "--again").exit_code == 0
    assert len(service.accepted) == 2


def test_other_words_into_the_file_of_a_saved_clip_that_is_gone_buy_another_and_the_first_stays_paid(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    other = ["hills" if word == "waves" else word for word in ONE]
    assert command(*ONE).exit_code == 0
    (tmp_path / "clip.mp4").unlink()
    service.broken["gen-1"] = "out of paint"
    assert command(*other).exit_code == 1
    assert command(*other).exit_code == 0, "what failed is tried again by the same command"
    assert len(service.accepted) == 3
    assert "already exists" in command(*ONE).output
    (tmp_path / "clip.mp4").unlink()
    assert command(*ONE).exit_code == 0
    assert len(service.accepted) == 3


def test_what_an_empty_account_could_not_buy_again_is_not_bought_later_by_the_plain_words(
    command: Command, service: FakeService
) -> None:
    words = ["generate", JOB["model"], "-p", "waves", "-i", JOB["image_url"], "-o", "clip.mp4", "--poll", "every:15"]
    assert command(*words).exit_code == 0
    service.posts.append(answer(200, {"message": "insufficient balance"}))
    assert command(*words, "--again").exit_code != 0
    refused = command(*words)
    assert refused.exit_code == 2
    assert "--again" in refused.output
    assert len(service.accepted) == 1
    assert command(*words, "--again").exit_code == 0
    assert len(service.accepted) == 2


def test_another_clip_into_the_file_of_one_that_is_outstanding_is_not_bought_unasked(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.seconds = 5000.0
    words = ["generate", JOB["model"], "-i", JOB["image_url"], "-o", "clip.mp4", "--poll", "every:15", "--timeout", 100]
    assert command(*words, "-p", "waves").exit_code == 3
    for other in (["-p", "waves "], ["-p", "hills"], ["-p", "waves", "--set", "duration=5"]):
        refused = command(*words, *other)
        assert refused.exit_code == 2
        assert "gen-0" in refused.output
        assert "--again" in refused.output
    assert len(service.accepted) == 1
    service.seconds = 1.0
    assert command(*words, "--set", "prompt=waves").exit_code == 0
    assert len(service.accepted) == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [([], 1), (["-i", "none.png"], 2), (["--set", "duration=77"], 2)],
    ids=["refused", "file", "value"],
)
def test_a_clip_that_was_not_paid_leaves_nothing_beside_it(
    command: Command, service: FakeService, tmp_path: Path, more: list[str], code: int
) -> None:
    service.posts.append(answer(400, {"message": "no such thing"}))
    words = [*ONE[:4], *more, *ONE[6:]] if "-i" in more else [*ONE, *more]
    assert command(*words).exit_code == code
    assert list(tmp_path.glob(".*")) == []


def test_two_clips_that_were_bought_into_one_file_are_both_fetched_each_by_its_own_words(
    command: Command, service: FakeService
) -> None:
    hills = ["hills" if word == "waves" else word for word in ONE]
    service.seconds = 5000.0
    assert command(*ONE, "--timeout", 100).exit_code == 3
    assert command(*hills, "--timeout", 100, "--again").exit_code == 3
    service.seconds = 1.0
    for words, generation in ((ONE, "gen-0"), (hills, "gen-1")):
        fetched = command(*words)
        assert fetched.exit_code == 0, fetched.output
        assert f"generation {generation}" in fetched.output
    assert len(service.accepted) == 2


def test_a_clip_that_an_empty_account_could_not_buy_keeps_no_other_one_out_of_its_file(
    command: Command, service: FakeService
) -> None:
    service.posts.append(answer(200, {"message": "insufficient balance"}))
    assert command(*ONE).exit_code == 3
    assert command(*["hills" if word == "waves" else word for word in ONE]).exit_code == 0
    assert len(service.accepted) == 1


@pytest.mark.parametrize(
    ("limit", "code", "words"),
    [("0.01", 2, "more than --max-spend 0.01: nothing was bought"), ("9", 0, "saved clip.mp4")],
)
def test_a_clip_that_costs_more_than_its_limit_is_not_bought(
    command: Command, service: FakeService, limit: str, code: int, words: str
) -> None:
    clip = ["generate", JOB["model"], "-p", "waves", "-i", JOB["image_url"], "-o", "clip.mp4", "--poll", "every:15"]
    done = command(*clip, "--max-spend", limit)
    assert done.exit_code == code, done.output
    assert words in done.output
    assert len(service.accepted) == (code == 0)


def test_a_clip_that_was_never_accepted_is_not_sent_again_past_the_limit_of_the_command(
    command: Command, service: FakeService
) -> None:
    assert command(*ONE[:2], "-p", "hills", *ONE[4:]).exit_code == 0  # the log is seen to list ids of ours
    service.posts.append(Unclear("reset"))
    assert command(*ONE, "--again", "--timeout", 100).exit_code == 3
    stopped = command(*ONE, "--max-spend", 0.1)
    assert stopped.exit_code == 3
    assert "the next job (0.25 USD) would pass the limit of 0.10 USD" in stopped.output
    assert len(service.posted_at) == 2
    assert command(*ONE, "--again", "--max-spend", 0.25).exit_code == 0
    assert len(service.accepted) == 2


def test_a_clip_that_was_never_accepted_is_sent_again_within_the_limit_of_one_clip_whatever_its_file_has_cost(
    command: Command, service: FakeService
) -> None:
    hills = ["hills" if word == "waves" else word for word in ONE]
    assert command(*hills).exit_code == 0
    # Another one is outstanding, too.
    service.seconds = 5000.0
    assert command(*hills, "--again", "--timeout", 100).exit_code == 3
    service.seconds = 30.0
    service.posts.append(Unclear("reset"))
    assert command(*ONE, "--again", "--timeout", 100).exit_code == 3
    stopped = command(*ONE, "--max-spend", 0.2)
    assert (stopped.exit_code, "would pass the limit of 0.20 USD: 0.00 spent" in stopped.output) == (3, True)
    assert len(service.accepted) == 2
    assert command(*ONE, "--again", "--max-spend", 0.25).exit_code == 0
    assert len(service.accepted) == 3


def test_a_clip_whose_second_purchase_failed_stays_known_as_paid(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    assert command(*ONE).exit_code == 0
    (tmp_path / "clip.mp4").unlink()
    service.broken["gen-1"] = "out of paint"
    assert command(*ONE, "--again").exit_code == 1
    with read_journal(tmp_path / ".clip.mp4.journal") as journal:
        (record,) = journal.all_jobs()
        assert [attempt.generation_id for attempt in journal.attempts(record.job.id)] == ["gen-0", "gen-1"]


def test_a_clip_that_nothing_was_paid_for_leaves_no_journal(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    assert command(*ONE, "--max-spend", 0.01).exit_code == 2
    service.posts.append(answer(401, {"message": "wrong key"}))
    assert command(*ONE).exit_code != 0
    service.posts.append(answer(400, {"message": "no such thing"}))
    assert command(*ONE).exit_code == 1
    assert not list(tmp_path.glob(".clip.mp4.*"))


@pytest.mark.parametrize("is_repaired", [True, False])
def test_a_clip_whose_generation_failed_is_bought_again_only_where_the_service_has_not_completed_it_since(
    command: Command, service: FakeService, is_repaired: bool
) -> None:
    service.broken = {"gen-0": "out of paint"}
    assert command(*ONE).exit_code == 1
    if is_repaired:
        del service.broken["gen-0"]
    # Too little for another clip: one that is there already is fetched all the same.
    done = command(*ONE, *(["--max-spend", 0.01] if is_repaired else []))
    assert done.exit_code == 0, done.output
    assert f"generation gen-{0 if is_repaired else 1}" in done.output
    assert len(service.accepted) == (1 if is_repaired else 2)


def test_a_clip_that_failed_and_was_charged_is_tried_again_within_the_limit_of_one_clip(
    command: Command, service: FakeService
) -> None:
    hills = ["hills" if word == "waves" else word for word in ONE]
    assert command(*hills).exit_code == 0
    service.broken = {"gen-1": "out of paint"}
    assert command(*ONE, "--again").exit_code == 1
    refused = command(*ONE, "--again", "--max-spend", 0.2)
    assert refused.exit_code == 3
    assert len(service.accepted) == 2
    assert command(*ONE).exit_code == 2, "the file is there, of other words"
    assert command(*ONE, "--again", "--max-spend", 0.25).exit_code == 0
    assert len(service.accepted) == 3


def test_a_clip_whose_generation_failed_is_not_bought_while_the_service_is_too_busy_to_say_what_became_of_it(
    command: Command, service: FakeService
) -> None:
    service.broken = {"gen-0": "out of paint"}
    assert command(*ONE).exit_code == 1
    service.broken.clear()
    service.checks.extend([answer(503)] * 5)
    assert command(*ONE).exit_code == 3
    assert command(*ONE).exit_code == 0
    assert len(service.accepted) == 1


# What is no sum of money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [("--max-spend", "nan"), ("--max-spend", "-1"), ("--max-spend", "inf"), ("--confirm-above", "nan"),
     ("--confirm-above", "-1"), ("--name", "{id")],
)  # fmt: skip
def test_a_run_that_is_refused_for_an_option_has_planned_nothing(
    command: Command, service: FakeService, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    refused = command(*run(*wrong))
    assert refused.exit_code == 2
    assert f"error: {wrong[0]} is {wrong[1]}" in refused.output or "the name template" in refused.output
    assert not (tmp_path / "out").exists()
    assert service.posted_at == []


@pytest.mark.parametrize("wrong", ["nan", "-1", "inf"])
def test_a_clip_is_not_bought_under_a_limit_that_is_no_sum(command: Command, service: FakeService, wrong: str) -> None:
    refused = command(*ONE, "--max-spend", wrong)
    assert refused.exit_code == 2
    assert f"--max-spend is {float(wrong)!r}: expected US dollars" in refused.output
    assert service.posted_at == []


def test_a_limit_of_nothing_buys_nothing_and_says_with_which_one_to_go_on(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    stopped = command(*run("--max-spend", 0))
    assert stopped.exit_code == 3
    assert "--max-spend 0.50" in stopped.output
    assert service.posted_at == []


# A person settles a doubt ------------------------------------------------------------------------------------------


def test_a_generation_of_one_job_does_not_settle_the_doubt_of_another(command: Command, service: FakeService) -> None:
    write(Path("jobs.jsonl"), "a", "b")
    service.lost.extend([None, Unclear("reset")])
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3
    wrong = command("resolve", "out", "b", "--generation", "gen-0")
    assert wrong.exit_code == 2
    assert "generation gen-0 is that of job 'a' already" in wrong.output
    assert command("resolve", "out", "b", "--generation", "gen-1").exit_code == 0
    twice = command("resolve", "out", "b", "--not-accepted")
    assert twice.exit_code == 2
    assert "job 'b' is not in doubt: it is rendering" in twice.output
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 2


def leave_in_doubt(command: Command, service: FakeService) -> None:
    """Run job a, whose answer is lost, and which the log does not list."""
    write(Path("jobs.jsonl"), "a")
    service.lost.append(Unclear("reset"))
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3


def forget_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no key, without which nobody is asked."""
    monkeypatch.delenv("AIMLAPI_API_KEY")
    monkeypatch.setattr(session, "VideoClient", VideoClient)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_generation_that_the_service_does_not_know_or_has_for_another_settles_nothing(
    command: Command, service: FakeService, is_old: bool
) -> None:
    write(Path("jobs.jsonl"), "a")
    write(Path("theirs.jsonl"), "theirs")
    assert command(*run(file="theirs.jsonl", output="elsewhere")).exit_code == 0
    service.lost.append(Unclear("reset"))
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3
    unknown = command("resolve", "out", "a", "--generation", "gen-77")
    assert unknown.exit_code == 2
    assert "the service does not know generation gen-77 under this API key" in unknown.output
    for row in service.log:
        row.accepted_at = row.listed_at = 0.0  # each command has a clock of its own, which begins at 0
    service.log[0].accepted_at = -30 * 86400.0 * is_old
    theirs = command("resolve", "out", "a", "--generation", "gen-0")
    assert theirs.exit_code == 2
    assert "gen-0 was bought for another job, in another folder or by another program" in theirs.output
    assert "1 in doubt" in command("status", "out").output
    assert command("resolve", "out", "a", "--generation", "gen-1").exit_code == 0
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 2


def test_a_generation_of_another_folder_s_job_of_the_same_id_does_not_settle_a_doubt(
    command: Command, service: FakeService
) -> None:
    write(Path("jobs.jsonl"), "a")
    assert command(*run(output="elsewhere")).exit_code == 0
    service.lost.append(Unclear("reset"))
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3
    service.log[0].accepted_at = service.log[0].listed_at = 0.0  # each command's clock begins at 0
    theirs = command("resolve", "out", "a", "--generation", "gen-0")
    assert theirs.exit_code == 2, theirs.output
    assert "gen-0 was bought for another job, in another folder or by another program" in theirs.output
    assert command("resolve", "out", "a", "--generation", "gen-1").exit_code == 0


def test_a_doubt_is_settled_as_an_earlier_submission_of_its_job_that_was_accepted_after_all(
    command: Command, service: FakeService
) -> None:
    write(Path("jobs.jsonl"), "a")
    service.lost.extend([Unclear("reset"), Unclear("reset")])
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3
    assert command("resolve", "out", "a", "--not-accepted").exit_code == 0
    assert command(*run("--timeout", 100)).exit_code == 3
    for row in service.log:
        row.accepted_at = row.listed_at = 0.0
    service.log.pop()
    done = command("resolve", "out", "a", "--generation", "gen-0")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("words", [["--generation", "gen-0"], ["--not-accepted"]])
def test_a_doubt_is_settled_as_a_person_says_where_the_service_cannot_be_asked(
    command: Command, service: FakeService, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    leave_in_doubt(command, service)
    forget_key(monkeypatch)
    taken = command("resolve", "out", "a", *words)
    assert taken.exit_code == 0, taken.output
    assert "could not be asked: no API key" in taken.output


def test_the_generation_of_an_earlier_submission_of_the_same_job_does_not_settle_its_doubt(
    command: Command, service: FakeService
) -> None:
    write(Path("jobs.jsonl"), "a")
    service.broken["gen-0"] = "out of memory"
    assert command(*run()).exit_code == 1
    service.lost.append(Unclear("reset"))
    service.listing_delay = 1e6
    assert command(*run("--retry-failed", "--timeout", 100)).exit_code == 3
    wrong = command("resolve", "out", "a", "--generation", "gen-0")
    assert wrong.exit_code == 2
    assert "generation gen-0 is that of an earlier submission of job 'a'" in wrong.output
    assert command("resolve", "out", "a", "--generation", "gen-1").exit_code == 0
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 2


def test_a_generation_that_failed_for_another_job_does_not_settle_a_doubt_also_where_nobody_can_be_asked(
    command: Command, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Path("jobs.jsonl"), "a", "b")
    service.broken["gen-0"] = "out of memory"
    service.lost.extend([None, Unclear("reset")])
    service.listing_delay = 1e6
    assert command(*run("--timeout", 100)).exit_code == 3
    write(Path("a.jsonl"), "a")
    assert command(*run("--retry-failed", file="a.jsonl")).exit_code == 0
    forget_key(monkeypatch)
    wrong = command("resolve", "out", "b", "--generation", "gen-0")
    assert wrong.exit_code == 2, wrong.output
    assert "generation gen-0 is that of job 'a' already" in wrong.output


def test_what_the_log_has_under_another_model_settles_no_doubt(command: Command, service: FakeService) -> None:
    service.accepted["gen-0"] = 0.0
    service.note("gen-0", "", "luma/ray-2")
    leave_in_doubt(command, service)
    service.log[0].accepted_at = service.log[0].listed_at = 0.0
    wrong = command("resolve", "out", "a", "--generation", "gen-0")
    assert wrong.exit_code == 2, wrong.output
    assert "the service's log has generation gen-0 under model luma/ray-2" in wrong.output
    assert "1 in doubt" in command("status", "out").output


@pytest.mark.parametrize("words", [["--generation", "gen-0"], ["--not-accepted"]])
def test_what_the_log_has_under_the_lost_submission_s_own_id_is_its_generation(
    command: Command, service: FakeService, words: list[str]
) -> None:
    service.accepted["gen-0"] = 0.0
    service.note("gen-0", "")
    leave_in_doubt(command, service)
    for row in service.log:
        row.accepted_at = row.listed_at = 0.0  # each command has a clock of its own, which begins at 0
    wrong = command("resolve", "out", "a", *words)
    assert wrong.exit_code == 2, wrong.output
    assert "has become generation gen-1" in wrong.output
    assert command("resolve", "out", "a", "--generation", "gen-1").exit_code == 0
    assert command(*run()).exit_code == 0
    assert len(service.by_request) == 1


@pytest.mark.parametrize("words", [["--generation", "gen-0"], ["--not-accepted"]])
def test_a_doubt_that_was_settled_by_an_id_which_nobody_knows_can_be_settled_again(
    command: Command, service: FakeService, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    leave_in_doubt(command, service)
    with monkeypatch.context() as offline:
        forget_key(offline)
        assert command("resolve", "out", "a", "--generation", "gen-O").exit_code == 0
        again = command("resolve", "out", "a", *words)
        assert again.exit_code == 2
        assert "job 'a' is not in doubt: it is rendering" in again.output
    assert command(*run()).exit_code == 3, "the service knows no such generation"
    assert command("resolve", "out", "a", *words).exit_code == 0
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == (1 if "gen-0" in words else 2)


@for_each(
    ("typed", "retry"),
    [
        ("aimlvideo run jobs.jsonl -o out", "aimlvideo run jobs.jsonl -o out --retry-failed"),
        ("aimlvideo resume out", "aimlvideo resume out --retry-failed"),
        ("aimlvideo wait gen-9 -o out", "aimlvideo resume out --retry-failed"),
        ("aimlvideo demo -o out", "aimlvideo resume out --retry-failed"),
    ],
)
def test_the_command_that_tries_failed_jobs_again_is_one_that_can(typed: str, retry: str) -> None:
    assert session._retry_command(typed, Path("out")) == retry


# The journal goes --------------------------------------------------------------------------------------------------


def test_a_journal_that_is_deleted_while_its_run_goes_on_halts_it_and_loses_nothing(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY)
    post = service._post

    def deleting(request: Any) -> Any:
        if len(service.accepted) == 5:
            for file in (tmp_path / "out").glob("journal.sqlite3*"):
                file.unlink()
        return post(request)

    service._post = deleting  # type: ignore[method-assign]
    halted = command(*run("--max-outstanding", 2))
    assert halted.exit_code == 3
    assert "journal" in halted.output
    assert "nothing was sent" not in halted.output
    assert len(service.accepted) < 10
    service._post = post  # type: ignore[method-assign]
    bought = len(service.accepted)
    again = command(*run())
    assert again.exit_code == 0, again.output
    assert len(service.accepted) == 60
    assert bought < 10


def when(service: FakeService, bought: int, happens: Callable[[], object]) -> None:
    """Let something happen, once, when the service is sent the next job after so many."""
    post, happened = service._post, []

    def hooked(request: Any) -> Any:
        if len(service.accepted) == bought and not happened:
            happened.append(happens())
        return post(request)

    service._post = hooked  # type: ignore[method-assign]


def overwrite(folder: Path) -> None:
    (folder / "journal.sqlite3").write_bytes(b"garbage" * 5000)


def truncate(folder: Path) -> None:
    os.truncate(folder / "journal.sqlite3", 0)


def delete_wal(folder: Path) -> None:
    (folder / "journal.sqlite3-wal").unlink()


@pytest.mark.parametrize("harm", [shutil.rmtree, overwrite, truncate, delete_wal])
def test_whatever_happens_to_the_folder_under_a_run_nothing_is_bought_twice(
    command: Command, service: FakeService, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY[:9])
    folder = tmp_path / "out"
    when(service, 5, lambda: harm(folder))
    halted = command(*run("--max-outstanding", 2))
    assert halted.exit_code == 3, halted.output
    assert "while its run goes on, so nothing more is submitted" in halted.output
    assert len(service.accepted) < 9
    if (rescued := folder / "journal.sqlite3.rescued").exists():
        refused = command(*run())
        assert "journal.sqlite3.rescued beside it has what the last run held" in refused.output
        rescued.replace(folder / "journal.sqlite3")
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 9


def test_a_folder_that_is_renamed_under_its_run_is_named_and_the_same_command_buys_nothing_again(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", *MANY[:9])
    when(service, 5, lambda: (tmp_path / "out").rename(tmp_path / "renamed"))
    halted = command(*run("--max-outstanding", 2))
    assert halted.exit_code == 3
    assert f"go on with {tmp_path / 'renamed'}" in halted.output
    bought = len(service.accepted)
    again = command(*run())
    assert again.exit_code == 2
    assert f"go on with {tmp_path / 'renamed'}" in again.output
    assert len(service.accepted) == bought < 9
    assert command(*run(output="renamed")).exit_code == 0
    assert len(service.accepted) == 9


def test_a_folder_that_is_renamed_when_all_is_sent_is_named_at_the_end(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    check = service._check

    def renaming(name: str) -> Any:
        if (tmp_path / "out").is_dir():
            (tmp_path / "out").rename(tmp_path / "renamed")
        return check(name)

    service._check = renaming  # type: ignore[method-assign]
    ended = command(*run())
    assert ended.exit_code == 3
    assert f"go on with {tmp_path / 'renamed'}" in ended.output
    assert command(*run(output="renamed")).exit_code == 0
    assert len(service.accepted) == 1


def test_a_folder_that_is_deleted_when_all_is_sent_loses_no_id(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    check = service._check

    def deleting(name: str) -> Any:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return check(name)

    service._check = deleting  # type: ignore[method-assign]
    assert command(*run()).exit_code == 3
    service._check = check  # type: ignore[method-assign]
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 2


@pytest.mark.parametrize("words", [run(), ["resume", "out"]], ids=["run", "resume"])
def test_a_command_looks_once_whether_its_journal_is_an_older_copy(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[Any]
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--timeout", 1)).exit_code == 3
    paid_generations, looks = ResultsFile.paid_generations, []

    def counted(path: Path) -> Any:
        looks.append(path)
        return paid_generations(path)

    monkeypatch.setattr(ResultsFile, "paid_generations", counted)
    assert command(*words).exit_code == 0
    assert looks == [Path("out/results.jsonl")]


def test_ids_that_no_folder_can_keep_are_said(
    command: Command, service: FakeService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    check = service._check

    def deleting(name: str) -> Any:
        if (tmp_path / "out").is_dir():
            shutil.rmtree(tmp_path / "out")
            (tmp_path / "out").write_text("a file in its place")
        return check(name)

    service._check = deleting  # type: ignore[method-assign]
    lost = command(*run())
    assert lost.exit_code == 3
    assert "Paid or in doubt, by job: a: gen-0, b: gen-1" in " ".join(lost.output.split())
    assert "a: gen-0, b: gen-1" in caplog.text


@pytest.mark.parametrize("error", [DiskFailed("no space"), JournalError("malformed")])
def test_an_id_that_cannot_be_written_down_is_looked_up_and_not_bought_again(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: VideoError
) -> None:
    step, failures = SqliteJournal.step, [error]

    def failing(journal: SqliteJournal, job: VideoJob, progress: Progress) -> None:
        if progress.stage is Stage.RENDERING and failures:
            raise failures.pop()
        step(journal, job, progress)

    monkeypatch.setattr(SqliteJournal, "step", failing)
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--max-outstanding", 1)).exit_code == 3
    assert command(*run("--max-outstanding", 1)).exit_code == 0
    assert len(service.accepted) == 2


def test_a_refused_run_leaves_the_journal_of_a_folder_that_was_begun_in_python(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    async def begin() -> None:
        async with FakeClient(service) as client:
            await run_all(client, [{**JOB, "id": "a"}], output=tmp_path / "out")

    asyncio.run(begin())
    write(tmp_path / "jobs.jsonl", "b")
    answers.append(False)
    assert command(*run("--confirm-above", 0)).exit_code == 2
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 1


def test_a_refused_run_into_a_folder_where_a_run_had_no_jobs_does_not_stand_in_the_way_of_the_next(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path
) -> None:
    async def begin() -> None:
        async with FakeClient(service) as client:
            await run_all(client, [], output=tmp_path / "out")

    asyncio.run(begin())
    write(tmp_path / "jobs.jsonl", "a")
    answers.append(False)
    assert command(*run("--confirm-above", 0)).exit_code == 2
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 1


def test_a_run_that_is_refused_leaves_the_journal_of_one_that_began_at_the_same_moment(
    command: Command, service: FakeService, answers: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    assert command(*run(output="begun")).exit_code == 0
    open_folder = run_command.checked_folder

    def begun_meanwhile(folder: Path) -> Path:
        (tmp_path / "begun").rename(folder)
        return open_folder(folder)

    write(tmp_path / "more.jsonl", "b")
    answers.append(False)
    with monkeypatch.context() as patched:
        patched.setattr(run_command, "checked_folder", begun_meanwhile)
        assert command(*run("--confirm-above", 0, file="more.jsonl")).exit_code == 2
    assert command(*run()).exit_code == 0
    assert len(service.accepted) == 1


def delete_beside(folder: Path) -> None:
    for file in folder.glob(".clip.mp4.journal*"):
        file.unlink()


def overwrite_beside(folder: Path) -> None:
    (folder / ".clip.mp4.journal").write_bytes(b"garbage" * 5000)


def once(service: FakeService, method: str, happens: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Let something happen when the service is asked in this way for the first time."""
    hooked, happened = getattr(service, method), list[object]()

    def asked(given: Any) -> Any:
        if not happened:
            happened.append(happens())
        return hooked(given)

    patch.setattr(service, method, asked)


@pytest.mark.parametrize("harm", [delete_beside, overwrite_beside])
def test_a_clip_is_not_bought_where_its_journal_is_lost_before_it_is_sent(
    command: Command, service: FakeService, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        once(service, "answer", lambda: harm(tmp_path), patch)
        halted = command(*ONE)
    assert halted.exit_code == 3
    assert "the journal .clip.mp4.journal " in halted.output
    assert service.posted_at == []
    delete_beside(tmp_path)
    assert command(*ONE).exit_code == 0


@pytest.mark.parametrize("method", ["_post", "_check"])
def test_a_clip_whose_journal_is_deleted_while_it_is_made_is_fetched_by_the_same_command(
    command: Command, service: FakeService, tmp_path: Path, method: str
) -> None:
    service.seconds = 5000.0
    with pytest.MonkeyPatch.context() as patch:
        once(service, method, lambda: delete_beside(tmp_path), patch)
        halted = command(*ONE, "--timeout", 100)
    assert halted.exit_code == 3
    assert "the same command again" in halted.output
    service.seconds = 1.0
    assert command(*ONE).exit_code == 0
    assert len(service.posted_at) == 1
    assert (tmp_path / "clip.mp4").exists()


@pytest.mark.parametrize("method", ["_post", "_check"])
def test_a_clip_whose_journal_is_overwritten_while_it_is_made_is_fetched_from_what_was_rescued(
    command: Command, service: FakeService, tmp_path: Path, method: str
) -> None:
    service.seconds = 5000.0
    with pytest.MonkeyPatch.context() as patch:
        once(service, method, lambda: overwrite_beside(tmp_path), patch)
        halted = command(*ONE, "--timeout", 100)
    assert halted.exit_code == 3
    assert "gen-0" in halted.output
    again = command(*ONE)
    assert again.exit_code == 2
    assert "move .clip.mp4.journal away, and that file to its place" in again.output
    (tmp_path / ".clip.mp4.journal.rescued").replace(tmp_path / ".clip.mp4.journal")
    service.seconds = 1.0
    assert command(*ONE).exit_code == 0
    assert len(service.posted_at) == 1


def test_a_clip_whose_journal_is_overwritten_between_two_commands_is_adopted_by_its_id(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.seconds = 5000.0
    assert command(*ONE, "--timeout", 100).exit_code == 3
    overwrite_beside(tmp_path)
    again = command(*ONE)
    assert again.exit_code == 2
    assert "aimlvideo adopt FOLDER GENERATION" in again.output
    assert len(service.posted_at) == 1


def test_an_older_copy_of_the_journal_buys_nothing_again_and_takes_no_id_away(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    journal, older, newest = (tmp_path / name for name in ("out/journal.sqlite3", "older", "newest"))
    results = tmp_path / "out/results.jsonl"
    write(tmp_path / "jobs.jsonl", "a", "b")
    command(*run())
    shutil.copy(journal, older)
    write(tmp_path / "jobs.jsonl", "a", "b", "c", "d")
    command(*run())
    shutil.copy(journal, newest)
    shutil.copy(older, journal)
    lines = results.read_text()
    for again in (run(), ["resume", "out"]):
        refused = command(*again)
        assert refused.exit_code == 2
        assert "results.jsonl has generation gen-" in refused.output
        assert "aimlvideo recover out" in refused.output
        assert "0.50" not in refused.output, "what was paid is not offered for its price once more"
    assert (len(service.posted_at), results.read_text()) == (4, lines)
    with read_journal(journal) as opened:
        assert opened.counts() == {"saved": 2}
    shutil.copy(newest, journal)
    assert command(*run()).exit_code == 0
    assert len(service.posted_at) == 4


def test_lines_of_jobs_that_were_left_or_are_tried_again_are_no_sign_of_an_older_journal(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    service.broken["gen-0"] = "no GPU"
    write(tmp_path / "jobs.jsonl", "a", "b")
    assert command(*run("--timeout", 20)).exit_code == 3
    assert command(*run()).exit_code == 1
    with (tmp_path / "out/results.jsonl").open("a") as file:
        file.write(json.dumps({"id": "z", "stage": "failed", "generation_id": "gen-9"}) + "\ncut sho")
    assert command(*run("--retry-failed")).exit_code == 0
    assert len(service.posted_at) == 3


def test_waiting_for_generations_by_their_ids_buys_nothing_that_the_folder_has_planned(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b", "c")
    command(*run("--max-spend", 0.25))
    assert len(service.accepted) == 1
    write(tmp_path / "others.jsonl", "x")
    command(*run(file="others.jsonl", output="elsewhere"))
    done = command("wait", "gen-1", "gen-1", "-o", "out", "--poll", "every:15")
    assert done.exit_code == 0, done.output
    assert "2 more are planned here" in done.output
    assert len(service.accepted) == 2
    named_job = command("wait", "b", "-o", "out", "--poll", "every:15")
    assert named_job.exit_code == 2
    assert "'b' is the id of a job here: expected the id of a generation, and this job has none yet" in named_job.output
    assert len(service.accepted) == 2


@pytest.mark.parametrize("words", [("adopt", "out", "gen-7", "a"), ("wait", "gen-7", "a", "-o", "out")])
def test_of_generations_of_which_one_is_wrong_none_is_taken(
    command: Command, service: FakeService, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    command(*run())
    assert command(*words).exit_code == 2
    with read_journal(tmp_path / "out" / JOURNAL) as journal:
        assert [record.job.id for record in journal.all_jobs()] == ["a"]


def test_a_generation_that_a_job_of_the_folder_has_already_is_not_counted_and_saved_once_more(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a")
    said = command(*run()).output
    assert "1 saved; 0.25 USD; in out\n" in said
    assert said.endswith("report: out/report.html\n"), "the folder was named"
    assert "0 adopted, 1 here before" in command("adopt", "out", "gen-0").output
    assert "1 saved; 0.25 USD" in command("status", "out").output
    assert command("wait", "gen-0", "-o", "out", "--poll", "every:15").exit_code == 0
    assert [clip.name for clip in (tmp_path / "out").glob("*.mp4")] == ["a.mp4"]


def test_one_clip_with_a_misspelt_parameter_is_made_and_said_so(command: Command, service: FakeService) -> None:
    done = command(*ONE, "--set", "duraton=10")
    assert done.exit_code == 0, done.output
    assert "note: " in done.output
    assert "duraton: unknown parameter for this model; sent unchanged" in done.output
    assert len(service.accepted) == 1


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("prompt=storm", "prompt is given twice, by --prompt and by --set prompt=..."),
        ("image_url=https://example.com/other.png", "image_url is given twice, by --image and by --set image_url=..."),
        ("id=a", "--set id=...: expected a parameter of the model"),
        ("model=other", "--set model=...: expected a parameter of the model"),
    ],
)
def test_one_clip_is_not_bought_by_words_that_contradict_each_other(
    command: Command, service: FakeService, assignment: str, reason: str
) -> None:
    refused = command(*ONE, "--set", assignment)
    assert (refused.exit_code, len(service.accepted)) == (2, 0)
    assert reason in refused.output


def test_a_clip_that_another_process_is_about_to_buy_keeps_its_journal(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    journal = JournalFile(tmp_path / ".clip.mp4.journal")
    with journal.lock():
        with journal.opened_to_write(create=False):
            before = journal.path.stat().st_ino
        refused = command(*ONE)
        assert refused.exit_code == 2
        assert ".clip.mp4.journal is in use by another run" in refused.output
        assert journal.path.stat().st_ino == before
        assert journal.path.with_name(".clip.mp4.journal.lock").exists()
    assert not service.accepted


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_signal_while_jobs_come_from_a_pipe_ends_the_command_without_waiting_for_its_writer(
    command: Command, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []

    def jobs(self: JobReader, lines: Iterator[Any], title: str) -> Iterator[Any]:
        signal.raise_signal(signal.SIGTERM)
        waited.append("for the next line")
        yield from ()

    write(tmp_path / "jobs.jsonl", "a")
    monkeypatch.setattr(JobReader, "jobs", jobs)
    monkeypatch.setattr(JobReader, "finds_mistakes", lambda *_: False)
    done = command(*run())
    assert (done.exit_code, waited) == (3, [])
    assert not (tmp_path / "out").exists()
    assert not service.accepted


def test_clips_are_not_bought_for_names_that_no_job_can_fill(
    command: Command, service: FakeService, tmp_path: Path
) -> None:
    write(tmp_path / "jobs.jsonl", "a", "b")
    command(*run("--max-spend", 0.1))
    refused = command("resume", "out", "--name", "{sed}", "--poll", "every:15")
    assert refused.exit_code == 2
    assert "the name template '{sed}' has {sed}, which no job has" in refused.output
    assert not service.accepted
    assert command("resume", "out", "--name", "{prompt} {id}", "--poll", "every:15").exit_code == 0
    assert sorted(clip.name for clip in (tmp_path / "out").glob("*.mp4")) == ["waves a.mp4", "waves b.mp4"]
